//go:build integration

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"vauban/internal/testenv"
)

// program is the program as `make build` makes it.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vauban-program-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "vauban")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return path, nil
})

// site is a folder with a config.yml and a repository of playbooks, as a user
// has it. Its base is quick to make and its kernel boots nothing.
type site struct {
	dir string
	bin string // a folder with the program
	env []string
}

// Recipes next to config.yml take the place of vauban's own.
const (
	siteBase = `ARG SOURCE
FROM ${SOURCE}
RUN mkdir -p /usr/lib/modules/6.1.0-1-test/kernel && echo kernel >/boot/vmlinuz-6.1.0-1-test
`
	siteInitramfs = `ARG SOURCE
FROM ${SOURCE}
ARG KERNEL_VERSION=
RUN mkdir /boot-out && cp "/boot/vmlinuz-$KERNEL_VERSION" /boot-out/vmlinuz && echo initramfs >/boot-out/initramfs.img
`
)

// newSite writes the files, those below playbooks/ into a git repository. The
// base's tar is base.tar.
func newSite(t *testing.T, files map[string]string) *site {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: t.TempDir(), bin: filepath.Dir(path)}
	s.env = append(os.Environ(), "PATH="+s.bin+":"+os.Getenv("PATH"), "VAUBAN_STATE_DIR="+s.path("state"), "UPLOAD_DIR="+s.path("pxe"), "DEBIAN_CACHE_PATH="+testenv.AptPool(t))
	s.write(t, "Dockerfiles/Dockerfile.base", siteBase)
	s.write(t, "Dockerfiles/Dockerfile.initramfs", siteInitramfs)
	for name, text := range files {
		s.write(t, name, text)
	}
	if err := os.Symlink(testenv.BaseTar(t), s.path("base.tar")); err != nil {
		t.Fatal(err)
	}
	s.sh(t, `cd playbooks && git init --quiet --initial-branch=main && git add . &&
		git -c user.name=test -c user.email=test@example.com commit --quiet --message=all`)
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sh runs a script that must succeed in the site's folder and gives what it
// printed on stdout. env is added to the site's.
func (s *site) sh(t *testing.T, script string, env ...string) string {
	t.Helper()
	out, said, err := s.try(t, script, env...)
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", script, err, out, said)
	}
	return out
}

func (s *site) try(t *testing.T, script string, env ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir, cmd.Env = s.dir, append(s.env, env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return out.String(), strings.TrimSpace(said.String()), err
}
