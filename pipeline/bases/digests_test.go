package bases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/config"
)

// TestContents replaces files of a base, in ways that leave the path, the size
// or the date as they were.
func TestContents(t *testing.T) {
	cfg := &config.Config{Dir: t.TempDir()}
	c := Digests{filepath.Join(t.TempDir(), "digests")}
	long := time.Now().Add(-time.Hour)
	put := func(name, text string) {
		t.Helper()
		next := filepath.Join(cfg.Dir, name+".next")
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(next, long, long); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(cfg.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b := &config.Base{Source: config.Source{Kind: config.File, Value: "root.raw"}, Keyring: "keys.gpg"}
	put("root.raw", "one")
	put("keys.gpg", "key")
	before, err := c.Of(t.Context(), cfg, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, file, text, want string }{
		{"nothing", "", "", ""},
		{"the same content in another file", "root.raw", "one", ""},
		{"another image of the same size and date", "root.raw", "two", "the content of `file:`"},
		{"other keys", "keys.gpg", "yek", "the content of `keyring:`"},
	} {
		if tt.file != "" {
			put(tt.file, tt.text)
		}
		now, err := c.Of(t.Context(), cfg, b)
		if err != nil {
			t.Fatal(err)
		}
		var changed []string
		for name, d := range now {
			if d != before[name] {
				changed = append(changed, name)
			}
		}
		if got := strings.Join(changed, ", "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		before = now
	}
	b.SHA256 = "config.yml says it"
	if now, err := c.Of(t.Context(), cfg, b); err != nil || len(now) != 1 {
		t.Errorf("with `sha256:`: %v, %v", now, err)
	}
}

// TestContentsAreReadOnce: what is kept is used while the file stays, and a file
// that was just written is not trusted to stay.
func TestContentsAreReadOnce(t *testing.T) {
	c := Digests{t.TempDir()}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := func() int {
		t.Helper()
		if _, err := c.digest(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if n := kept(); n != 0 {
		t.Errorf("the digest of a file that is being written was kept")
	}
	time.Sleep(settled + 50*time.Millisecond)
	if n := kept(); n != 1 {
		t.Fatalf("%d digests were kept", n)
	}
	entries, _ := os.ReadDir(c.Dir)
	copyOf := filepath.Join(c.Dir, entries[0].Name())
	data, err := os.ReadFile(copyOf)
	if err != nil {
		t.Fatal(err)
	}
	of, _ := c.digest(t.Context(), path)
	other := "sha256:" + strings.Repeat("0", 64)
	if err := os.WriteFile(copyOf, []byte(strings.Replace(string(data), of.String(), other, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := c.digest(t.Context(), path); err != nil || got.String() != other {
		t.Errorf("the file was read again: %s, %v", got, err)
	}
	if _, err := c.digest(t.Context(), t.TempDir()); err == nil {
		t.Error("a folder has a digest")
	}
}
