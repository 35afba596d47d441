//go:build integration

package gateway

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// launchIn names the folder in which the test binary, run again, starts
// slirp4netns and does not connect to it.
const launchIn = "VAUBAN_TEST_LAUNCH_IN"

func TestMain(m *testing.M) {
	dir := os.Getenv(launchIn)
	if dir == "" {
		os.Exit(m.Run())
	}
	folder, err := os.Open(dir)
	if err != nil {
		panic(err)
	}
	s, _, err := launch("", folder)
	if err != nil {
		panic(err)
	}
	for !exists(filepath.Join(dir, socketName)) {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(s.cmd.Process.Pid)
	select {}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A run that is killed before it connects leaves neither slirp4netns nor the
// child that it has.
func TestKilledBeforeItConnects(t *testing.T) {
	run := exec.Command(os.Args[0])
	run.Env = append(os.Environ(), launchIn+"="+t.TempDir())
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid == 0 {
		t.Fatalf("it started %q: %v", line, err)
	}
	if len(group(t, pid)) == 0 {
		t.Fatal("slirp4netns is not found")
	}
	if err := run.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	run.Wait()
	for deadline := time.Now().Add(time.Minute); len(group(t, pid)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			left := group(t, pid)
			for _, one := range left {
				if p, err := os.FindProcess(one); err == nil {
					p.Kill()
				}
			}
			t.Fatalf("left are the processes %v", left)
		}
	}
}

// group lists the processes of a process group, see proc_pid_stat(5).
func group(t *testing.T, id int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, _ := os.ReadFile(file) // it may have ended
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 3 || fields[0] == "Z" || fields[2] != strconv.Itoa(id) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
