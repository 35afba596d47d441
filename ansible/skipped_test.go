package ansible

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestLabelPassed(t *testing.T) {
	reboot := Passed{Host: "web1", Task: "restart", Path: "play.yml:3", What: "reboot: a stage does not reboot"}
	other := Passed{Host: "web2", Task: "restart", Path: "play.yml:3", What: "reboot: a stage does not reboot"}
	config := &ocispec.ImageConfig{}
	if err := labelPassed(config, "web1", []Passed{other, reboot}); err != nil {
		t.Fatal(err)
	}
	want := `[{"task":"restart","path":"play.yml:3","what":"reboot: a stage does not reboot"}]`
	if got := config.Labels[LabelPassed]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// the parent's list does not stay
	if err := labelPassed(config, "web1", []Passed{other}); err != nil {
		t.Fatal(err)
	}
	if got, ok := config.Labels[LabelPassed]; ok {
		t.Errorf("the label of a stage that skipped nothing is %s", got)
	}
}

// TestManyNotes is about a container that writes without end: the work is
// linear in what it writes, and what is kept has a bound.
func TestManyNotes(t *testing.T) {
	r := newTestRecord(t)
	var stream strings.Builder
	stream.WriteString(`{"event": "start", "version": "2.14.18"}` + "\n")
	const lines = 150_000
	long := strings.Repeat("\\u001b<", 2000)
	for i := range lines {
		fmt.Fprintf(&stream, `{"event": "passed", "host": "web1", "task": "one", "path": "play.yml:2", "what": "%d"}`+"\n", i)
		if i%1000 == 0 {
			fmt.Fprintf(&stream, `{"event": "passed", "host": "web2", "task": "%s", "path": "%[1]s", "what": "%[1]s%d"}`+"\n", long, i)
		}
	}
	r.read(strings.NewReader(stream.String()))
	passed := r.passed.list()
	config := &ocispec.ImageConfig{}
	for host, more := range map[string]int{"web1": lines - maxPassed, "web2": 0} {
		if err := labelPassed(config, host, passed); err != nil {
			t.Fatal(err)
		}
		label := config.Labels[LabelPassed]
		var kept []Passed
		if err := json.Unmarshal([]byte(label), &kept); err != nil {
			t.Fatal(err)
		}
		if last := kept[len(kept)-1]; last.More != more || len(kept) > maxPassed+1 || len(label) > 1<<20 || strings.Contains(label, "u001b") {
			t.Errorf("%s: %d notes are kept, the last is %+v, the label has %d bytes", host, len(kept), last, len(label))
		}
	}
	if got, want := (Passed{More: 149_900}).String(), "and 149900 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRefusePassed(t *testing.T) {
	failed := fmt.Errorf("it failed")
	o := outcome{failed: map[string]error{"web3": failed}, passed: []Passed{
		{Host: "web1", Task: "one", Path: "play.yml:3", What: "mount: so"},
		{Host: "web1", Task: "two", What: "umount: so"},
		{Host: "web3", Task: "one", Path: "play.yml:3", What: "mount: so"},
	}}
	o.refusePassed()
	got := map[string]string{}
	for host, err := range o.failed {
		got[host] = err.Error()
	}
	want := map[string]string{"web1": `--strict: task "one" (play.yml:3): mount: so`, "web3": "it failed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
