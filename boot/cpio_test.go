package boot

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestCPIO(t *testing.T) {
	var archive bytes.Buffer
	files := []cpioFile{
		{name: "dir", mode: cpioDir},
		{name: "dir/empty", mode: cpioRegular},
		{name: "dir/one", mode: cpioRegular, data: []byte("1")},
		{name: "dir/program", mode: cpioProgram, data: []byte("#!/bin/sh\n")},
	}
	if err := writeCPIO(&archive, files); err != nil {
		t.Fatal(err)
	}
	if archive.Len()%4 != 0 {
		t.Errorf("the archive has %d bytes, no multiple of four", archive.Len())
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "cpio", "--extract", "--quiet", "--make-directories", "--no-absolute-filenames", "--no-preserve-owner")
	cmd.Dir, cmd.Stdin = dir, &archive
	if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
		t.Fatalf("unpacking with cpio: %v: %s", err, out)
	}
	for _, file := range files {
		info, err := os.Lstat(filepath.Join(dir, file.name))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := info.Mode().Perm(), os.FileMode(file.mode&0o777); got != want {
			t.Errorf("%s: mode %o, want %o", file.name, got, want)
		}
		if info.IsDir() {
			continue
		}
		if got, err := os.ReadFile(filepath.Join(dir, file.name)); err != nil || !bytes.Equal(got, file.data) {
			t.Errorf("%s: %q, %v; want %q", file.name, got, err, file.data)
		}
	}
}

type brokenWriter struct{ room int }

func (b *brokenWriter) Write(p []byte) (int, error) {
	if len(p) > b.room {
		return 0, os.ErrClosed
	}
	b.room -= len(p)
	return len(p), nil
}

func TestCPIOWriteError(t *testing.T) {
	if err := writeCPIO(&brokenWriter{room: 200}, []cpioFile{{name: "a", data: make([]byte, 400)}}); err == nil {
		t.Error("a write error was lost")
	}
}
