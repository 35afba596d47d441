package export

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantOnly checks that a directory holds one file of the given content.
func wantOnly(t *testing.T, dir, content string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("directory holds %v, want one file", entries)
	}
	b, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
	if err != nil || string(b) != content {
		t.Errorf("%s holds %q, %v; want %q", entries[0].Name(), b, err, content)
	}
}

func TestOutputReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	for _, content := range []string{"one", "two"} {
		o, err := createOutput(path)
		must(t, err)
		_, err = o.WriteString(content)
		must(t, err)
		size, err := o.commit()
		must(t, err)
		o.discard()
		if size != int64(len(content)) {
			t.Errorf("size %d, want %d", size, len(content))
		}
		wantOnly(t, dir, content)
	}
}

func TestOutputSweepsDeadWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	must(t, os.WriteFile(filepath.Join(dir, ".out.tmp-dead"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, ".other.tmp-1"), nil, 0o600))
	live, err := createOutput(path)
	must(t, err)
	defer live.discard()
	other, err := createOutput(path)
	must(t, err)
	defer other.discard()
	for name, there := range map[string]bool{".out.tmp-dead": false, ".other.tmp-1": true, filepath.Base(live.Name()): true} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s is there: %v, want %v", name, !there, there)
		}
	}
}

func TestOutputMode(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	path := filepath.Join(t.TempDir(), "out")
	o, err := createOutput(path)
	must(t, err)
	defer o.discard()
	_, err = o.commit()
	must(t, err)
	var st syscall.Stat_t
	must(t, syscall.Stat(path, &st))
	if st.Mode&0o777 != 0o644 {
		t.Errorf("mode %o under umask 077, want 644: web servers read it", st.Mode&0o777)
	}
}
