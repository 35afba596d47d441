package ansible

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuilderFacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.facts")
	told := map[string]int{}
	n := notices{notice: func(host, text string) { told[host+": "+text]++ }}
	if err := n.builderFacts(path); err != nil || len(told) > 0 {
		t.Errorf("without a file: told %v, error %v", told, err)
	}
	line := `{"host": "web1", "file": "/etc/x", "facts": ["ansible_memtotal_mb", "ansible_processor"]}` + "\n"
	if err := os.WriteFile(path, []byte(line+line), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.builderFacts(path); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"web1: /etc/x was written from ansible_memtotal_mb, ansible_processor of the builder: " +
		"set it in `facts:` of the master or in the host's variables": 1}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, []byte(line+"{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.builderFacts(path); err == nil {
		t.Error("half a line is no error")
	}
}
