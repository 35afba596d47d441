package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name, before string
		fails        error
		want         string // content; "" for no file
	}{
		{name: "new", want: "text"},
		{name: "replaced", before: "more than the text", want: "text"},
		{name: "failed", fails: broken},
		{name: "failed over another", before: "old", fails: broken, want: "old"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			if test.before != "" {
				if err := os.WriteFile(path, []byte(test.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := Write(path, 0o640, func(w io.Writer) error {
				_, err := fmt.Fprint(w, "text")
				return errors.Join(err, test.fails)
			})
			if !errors.Is(err, test.fails) || err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %v", err)
			}
			if got, _ := os.ReadFile(path); string(got) != test.want {
				t.Errorf("the file holds %q, want %q", got, test.want)
			}
			if info, err := os.Stat(path); err == nil && test.fails == nil && info.Mode() != 0o640 {
				t.Errorf("the file's mode is %v", info.Mode())
			}
			if names := list(t, dir); len(names) > 1 {
				t.Errorf("the folder holds %q", names)
			}
		})
	}
}

func TestWriteNeedsAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "file")
	if err := WriteFile(path, nil, 0o600); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for _, path := range []string{from, to} {
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Rename(from, to); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(to); string(got) != from || len(list(t, dir)) != 1 {
		t.Errorf("%q holds %q in %q", to, got, list(t, dir))
	}
	if err := Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("moving nothing: %v", err)
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
