//go:build integration

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/progress"
)

// troubled fails on one host with much to say, on another with what must not
// be said, and waits as long as it is told.
const troubled = `
- hosts: all
  gather_facts: false
  tasks:
    - name: "what a \e[?25lterminal would obey"
      ansible.builtin.debug:
        msg: "\e[2J"
    - name: many words
      ansible.builtin.shell: "for i in 1 2 3 4 5 6 7 8; do echo word $i >&2; done; exit 1"
      when: inventory_hostname == 'host02'
    - name: no words
      ansible.builtin.command: echo canary-3141 --fail
      failed_when: true
      no_log: true
      when: inventory_hostname == 'host03'
    - name: a long time
      ansible.builtin.command: sleep {{ lookup('env', 'WAIT_FOR') or 0 }}
`

// trouble is a machine with a master of three hosts, whose conffs can be cut.
type trouble struct{ dir, state string }

func newTrouble(t *testing.T) trouble {
	t.Helper()
	dir := t.TempDir()
	w := trouble{dir: dir, state: filepath.Join(dir, "state")}
	for name, text := range map[string]string{
		"config.yml": "configuration: {ansible_repo: playbooks}\n" +
			"suite: {release: bookworm, name: base/iso, master-test: {stages: [play.yml], conffs: 'host*'}}\n",
		"playbooks/play.yml":    troubled,
		"playbooks/hosts":       "host01\nhost02\nhost03\n",
		"playbooks/ansible.cfg": "[defaults]\ninventory = hosts\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"}, {"add", "."},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=all"},
	} {
		git := exec.CommandContext(t.Context(), "git", args...)
		git.Dir = filepath.Join(dir, "playbooks")
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	testenv.Plant(t, w.state, testenv.Whole)
	engine, err := layers.Open(t.Context(), layers.Options{StateDir: w.state, Embedded: true, Version: version, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	img := testenv.Base(t, engine)
	if err := errors.Join(engine.SetImage(t.Context(), "master-test", img), engine.Close()); err != nil {
		t.Fatal(err)
	}
	return w
}

// vauban cuts the conffs of hosts.
func (w trouble) vauban(t *testing.T, hosts, wait string, more ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--config", filepath.Join(w.dir, "config.yml"), "--state", w.state,
		"build", "master-test", "--stage", "conffs", "--on", "latest", "--no-publish", "--limit", hosts}, more...)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), asVauban+"=1", "TERM=xterm", "TMPDIR="+w.dir, "WAIT_FOR="+wait, "DEBIAN_CACHE_PATH="+testenv.AptPool(t), "GITLAB_CI=", "GITHUB_ACTIONS=")
	return cmd
}

// TestRunIsShown interrupts runs on a terminal, and then looks at all that one
// to the end tells.
func TestRunIsShown(t *testing.T) {
	w := newTrouble(t)
	t.Run("interrupted", func(t *testing.T) { w.interrupt(t, 1, 10*time.Second) })
	t.Run("interrupted twice", func(t *testing.T) { w.interrupt(t, 2, time.Second) })
	t.Run("with failures", w.fail)
}

// fail looks at all that a run tells of hosts that fail.
func (w trouble) fail(t *testing.T) {
	cmd := w.vauban(t, "host*", "0", "--progress", "json", "--output", "json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != exitFailed {
		t.Fatalf("it ended with %v: %s", err, &stderr)
	}
	types := map[progress.Type]int{}
	for lines := bufio.NewScanner(&stderr); lines.Scan(); {
		var e progress.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Time.IsZero() {
			t.Errorf("%q is no event: %v", lines.Text(), err)
		}
		types[e.Type]++
	}
	if types[progress.HostEnded] != 3 || types[progress.TaskEnded] != 2 || types[progress.RunEnded] != 1 || types[progress.Image] != 1 {
		t.Errorf("events: %v", types)
	}
	var s progress.Summary
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s", err, &stdout)
	}
	conffs, release := s.Tasks[0], s.Tasks[1]
	if s.Outcome != progress.Failed || conffs.Outcome != progress.Failed || release.Outcome != progress.Skipped || len(s.Images) != 1 {
		t.Errorf("summary: %s", &stdout)
	}
	if h := conffs.Hosts; h == nil || h.Total != 3 || h.Done != 1 || len(h.Failed) != 2 {
		t.Fatalf("hosts: %s", &stdout)
	}
	for _, h := range conffs.Hosts.Failed {
		want := map[string]progress.Failure{
			"host02": {Task: "many words", Place: "play.yml:8", Message: "word 8"},
			"host03": {Task: "no words", Place: "play.yml:11", Message: "no_log"},
		}[h.Host]
		if f := h.Failure; f == nil || f.Task != want.Task || f.Place != want.Place || !strings.Contains(f.Message, want.Message) {
			t.Errorf("%s failed with %+v", h.Host, h.Failure)
		}
		log := readFile(t, h.Log)
		if end := "\nFAILED: " + h.Reason + "\n"; !strings.HasSuffix(log, end) {
			t.Errorf("the log of %s ends with %q, not %q", h.Host, log[max(0, len(log)-len(end)):], end)
		}
	}
	w.checkLogs(t, &s)
}

// checkLogs looks into the run's log and at who may read all.
func (w trouble) checkLogs(t *testing.T, s *progress.Summary) {
	t.Helper()
	said := readFile(t, s.Log)
	for _, want := range []string{
		"run " + s.Tag, "conffs master-test: play.yml: what a terminal would obey", "host02: failed: task \"many words\"",
		"conffs master-test: word 8", "run failed after", "level=INFO msg=\"no vault is set up",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("run.log lacks %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "\x1b") {
		t.Errorf("run.log has escape sequences: %q", said)
	}
	logs, err := filepath.Glob(filepath.Join(s.Logs, "*"))
	if err != nil || len(logs) < 5 {
		t.Errorf("logs: %v, %v", logs, err)
	}
	for _, log := range logs {
		if strings.Contains(readFile(t, log), "canary-3141") {
			t.Errorf("%s has what no_log hides", log)
		}
		if info, err := os.Stat(log); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", log, info.Mode(), err)
		}
	}
	links := filepath.Join(w.dir, "vauban-logs")
	if latest, err := os.Readlink(filepath.Join(links, "latest")); err != nil || latest != s.Logs {
		t.Errorf("latest is %q: %v", latest, err)
	}
	for _, dir := range []string{links, s.Logs} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v: %v", dir, info.Mode(), err)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// interrupt presses Ctrl-C while a host is built and the view is live: vauban
// ends in time, and nothing is left to undo in the terminal. What is left
// elsewhere the next run cleans up.
func (w trouble) interrupt(t *testing.T, presses int, within time.Duration) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	before := modes(t, tty)
	cmd := w.vauban(t, "host01", "300")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	waiting, all := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(all)
		seen := false
		for buffer := make([]byte, 4096); ; {
			n, err := master.Read(buffer)
			shown.Write(buffer[:n])
			if !seen && bytes.Contains(shown.Bytes(), []byte("play.yml: a long time")) {
				seen = true
				close(waiting)
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-waiting:
	case <-time.After(2 * time.Minute):
		_ = cmd.Process.Kill()
		t.Fatal("the task that waits did not start")
	}
	start := time.Now()
	for range presses {
		if _, err := master.Write([]byte{3}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = cmd.Wait()
	took := time.Since(start)
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || took > within {
		t.Errorf("exit code %d after %s", code, took)
	}
	if after := modes(t, tty); after != before {
		t.Errorf("the terminal's modes: %+v, before %+v", after, before)
	}
	tty.Close()
	<-all
	for _, sequence := range regexp.MustCompile(`\x1b[^\x1b]?[0-9;?]*.?`).FindAllString(shown.String(), -1) {
		if !regexp.MustCompile(`^\x1b\[([0-9]+A|J|[0-9;]*m)$`).MatchString(sequence) {
			t.Errorf("it wrote %q", sequence)
		}
	}
	if presses == 1 && !strings.Contains(shown.String(), "run interrupted") {
		t.Errorf("it showed %s", &shown)
	}
}

func modes(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	modes, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *modes
}
