//go:build integration

package export

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Of a program that packs and is killed, neither mksquashfs nor its file stay.
func TestRootfsKilled(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	started := filepath.Join(bin, "started")
	must(t, unix.Mkfifo(started, 0o600))
	program := filepath.Join(bin, "mksquashfs")
	must(t, os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\necho $$ > %s\nexec sleep 1000\n", started), 0o755))
	root := plant(t)
	cmd := child(t, childOrders{Dir: dir, Root: root, Program: program})
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
	_, err = Rootfs(t.Context(), filepath.Join(dir, rootfsName), mounted(root), RootfsOptions{})
	must(t, err)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != rootfsName {
		t.Errorf("after the next run there is %v, %v; want %s alone", left, err, rootfsName)
	}
}

// fullDisk returns a file system with so many bytes.
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

func TestPublishFullDisk(t *testing.T) {
	dir := fullDisk(t, 256<<10)
	mustPublish(t, dir, built(t, first, "one", "web01"))
	r := next(t)
	must(t, os.Truncate(r.Rootfs.Path, 1<<20))
	if _, err := Publish(t.Context(), dir, r, TreeOptions{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want that of the full disk", err)
	}
	wantServed(t, dir, first)
	mustPublish(t, dir, next(t)) // a smaller one
	wantServed(t, dir, second)
}

func TestPublishOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	p, err := Publish(t.Context(), dir, built(t, first, "one", "web01"), TreeOptions{Owner: "nobody:daemon"})
	must(t, err)
	must(t, p.Verify())
	for name := range listing(t, dir) {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, name), &st))
		if st.Uid != 65534 || st.Gid != 1 {
			t.Errorf("%s belongs to %d:%d, want nobody:daemon", name, st.Uid, st.Gid)
		}
	}
}
