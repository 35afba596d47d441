package repository

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/internal/damage"
	"vauban/internal/gittest"
)

func TestDamagedMirror(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, mirror string){
		"objects emptied": func(t *testing.T, mirror string) { eachObject(t, mirror, func([]byte) []byte { return nil }) },
		"objects cut short": func(t *testing.T, mirror string) {
			eachObject(t, mirror, func(b []byte) []byte { return b[:len(b)/2] })
		},
		"objects flipped": func(t *testing.T, mirror string) {
			eachObject(t, mirror, func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b })
		},
	} {
		t.Run(name, func(t *testing.T) {
			repo := gittest.Repository(t, map[string]string{"site.yml": "[]\n"})
			o := Options{Repo: repo, StateDir: t.TempDir(), Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}}
			if err := playbookIn(t, o); err != nil {
				t.Fatal(err)
			}
			if found, err := CheckState(t.Context(), o.StateDir); err != nil || len(found) > 0 {
				t.Fatalf("in a sound state directory %v is found, %v", found, err)
			}
			mirrors, _ := filepath.Glob(filepath.Join(o.StateDir, "git/*.git"))
			harm(t, mirrors[0])
			err := playbookIn(t, o)
			if _, ok := errors.AsType[*damage.Error](err); !ok || !strings.Contains(err.Error(), "vauban doctor --state "+o.StateDir+" --repair") {
				t.Errorf("using it: %v", err)
			}
			found, err := CheckState(t.Context(), o.StateDir)
			if err != nil || len(found) != 1 || found[0].Kind != damage.Mirror || found[0].Path != mirrors[0] {
				t.Fatalf("%+v is found, %v", found, err)
			}
			if err := found[0].Remove(); err != nil {
				t.Fatal(err)
			}
			if err := playbookIn(t, o); err != nil {
				t.Errorf("after the repair: %v", err)
			}
		})
	}
}

// playbookIn opens a repository and looks for its playbook.
func playbookIn(t *testing.T, o Options) error {
	t.Helper()
	r, err := Open(t.Context(), o)
	if err != nil {
		return err
	}
	defer r.Close()
	revision, err := r.Revision(t.Context(), "main")
	if err != nil {
		return err
	}
	return r.HasPlaybook(t.Context(), revision, "site.yml")
}

func eachObject(t *testing.T, mirror string, change func([]byte) []byte) {
	t.Helper()
	changed := 0
	err := filepath.WalkDir(filepath.Join(mirror, "objects"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".idx") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		changed++
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, change(text), 0o600))
	})
	if err != nil || changed == 0 {
		t.Fatalf("%d objects are changed, %v", changed, err)
	}
}
