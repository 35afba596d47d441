//go:build integration

package layers

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/internal/beneath"
	"vauban/internal/hostile"
)

// readersInside are what the engine reads of a container's files, or replaces
// there, before a step and after it.
var readersInside = []struct {
	file string
	read func(context.Context) error
	// replaces: what is there is gone afterwards.
	replaces bool
}{
	{"etc/hosts", lendAll, false},
	{"etc/hostname", lendAll, true},
	{"etc/machine-id", lendAll, true},
	{"etc/resolv.conf", lendAll, true},
	{"run/systemd/resolve/resolv.conf", lendAll, true},
	{"etc/passwd", readUser, false},
	{"etc/group", readUser, false},
	{"etc/apt/sources.list", readAllSources, false},
	{"etc/apt/sources.list.d/x.list", readAllSources, false},
	{"etc/apt/sources.list.d/x.sources", readAllSources, false},
	{"bin/sh", func(context.Context) error { return checkUsable("/") }, false},
}

func lendAll(ctx context.Context) error {
	c := &Container{options: ContainerOptions{Name: "web01", MachineID: strings.Repeat("0", 32)}}
	if err := c.lend(ctx); err != nil {
		return err
	}
	c.options.MachineID = ""
	return c.lend(ctx)
}

func readUser(context.Context) error {
	_, err := ExecUser("daemon:daemon")
	return err
}

func readAllSources(ctx context.Context) error {
	root, err := beneath.OpenRoot("/")
	if err != nil {
		return err
	}
	defer root.Close()
	releaseOf(ctx, root)
	all, err := readSources(ctx, root)
	if strings.Contains(string(all), hostile.Secret) {
		return errors.New("a file of the builder was read")
	}
	return err
}

// plain makes a root with what the readers need, each a good one.
func plain(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"bin/sh": "", "etc/hosts": "127.0.0.1 localhost\n", "etc/passwd": "daemon:x:1:1::/:/bin/sh\n", "etc/group": "daemon:x:1:\n",
		"etc/apt/sources.list": "deb http://deb.debian.org/debian bookworm main\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestHostileInside reads each file as each kind of thing. Nothing waits,
// nothing is read without end, and nothing of the builder's is read.
func TestHostileInside(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(hostile.Secret), 0o644); err != nil {
		t.Fatal(err)
	}
	kinds := hostile.Kinds(secret)
	for _, r := range readersInside {
		if err := hostile.In(plain(t), func() error { return r.read(t.Context()) }); err != nil {
			t.Errorf("%s, a good one: %v", r.file, err)
		}
		for _, k := range kinds {
			root := plain(t)
			if err := hostile.Plant(root, r.file, k); err != nil {
				t.Fatal(err)
			}
			err := hostile.In(root, func() error { return r.read(t.Context()) })
			info, statErr := os.Lstat(filepath.Join(root, r.file))
			switch {
			case r.file == "bin/sh" && k.Name != "sparse file of 10 TiB":
				if err == nil {
					t.Errorf("%s, %s: it is a shell", r.file, k.Name)
				}
			case r.file == "bin/sh":
			case r.replaces && k.Name == "directory":
				if err == nil {
					t.Errorf("%s, a directory: replaced", r.file)
				}
			case r.replaces:
				if err != nil || statErr != nil || !info.Mode().IsRegular() {
					t.Errorf("%s, %s: %v, %v, %v", r.file, k.Name, err, info, statErr)
				}
			case k.Missing || strings.Contains(r.file, "sources.list") && k.Name == "directory":
				if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "unable to find") && !strings.Contains(err.Error(), "no matching entries") {
					t.Errorf("%s, %s, as if it were missing: %v", r.file, k.Name, err)
				}
			case !errors.Is(err, beneath.ErrRefused) || !strings.Contains(err.Error(), "/"+r.file):
				t.Errorf("%s, %s: %v", r.file, k.Name, err)
			}
		}
	}
	t.Logf("hostile files: %d kinds × %d readers", len(kinds), len(readersInside))
}
