//go:build integration

package export

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is also the program that a test kills: told so by its environment, it
// packs a root.
func TestMain(m *testing.M) {
	if out := os.Getenv("EXPORT_TEST_OUT"); out != "" {
		_, err := Rootfs(context.Background(), out, mounted(os.Getenv("EXPORT_TEST_ROOT")), RootfsOptions{Program: os.Getenv("EXPORT_TEST_PROGRAM")})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Of a program that packs and is killed, neither mksquashfs nor its file stay.
func TestRootfsKilled(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	started := filepath.Join(bin, "started")
	must(t, unix.Mkfifo(started, 0o600))
	program := filepath.Join(bin, "mksquashfs")
	must(t, os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\necho $$ > %s\nexec sleep 1000\n", started), 0o755))
	root := plant(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), "EXPORT_TEST_OUT="+filepath.Join(dir, "rootfs.squashfs"), "EXPORT_TEST_ROOT="+root, "EXPORT_TEST_PROGRAM="+program)
	must(t, cmd.Start())
	f, err := os.Open(started)
	must(t, err)
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	process, err := unix.PidfdOpen(pid, 0)
	must(t, err)
	defer unix.Close(process)
	must(t, cmd.Process.Kill())
	cmd.Wait()
	poll := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 30_000); n != 1 {
		t.Errorf("mksquashfs outlived the program that ran it: %v", errors.Join(err, unix.Kill(pid, unix.SIGKILL)))
	}

	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Fatalf("the killed run left %v, %v; want its file", left, err)
	}
	_, err = Rootfs(t.Context(), filepath.Join(dir, "rootfs.squashfs"), mounted(root), RootfsOptions{})
	must(t, err)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "rootfs.squashfs" {
		t.Errorf("after the next run there is %v, %v; want %s alone", left, err, "rootfs.squashfs")
	}
}

// fullDisk returns a filesystem with so many bytes.
func fullDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestRootfsFullDisk(t *testing.T) {
	dir := fullDisk(t, 8<<10)
	root := plant(t)
	noise, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "usr/bin/large"), noise, 0o755))
	_, err = Rootfs(t.Context(), filepath.Join(dir, "out"), mounted(root), RootfsOptions{})
	if err == nil || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("error %v, want one that says why", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
