//go:build integration

package layers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"vauban/layers"
)

// environment is all that a command inside sees.
var environment = []string{
	"DEBIAN_FRONTEND=noninteractive",
	"HOME=/root",
	"LC_ALL=C.UTF-8",
	"LOGNAME=root",
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"PYTHONDONTWRITEBYTECODE=1",
	"SHELL=/bin/sh",
	"SYSTEMD_OFFLINE=1",
	"USER=root",
	"container=vauban",
}

func TestExec(t *testing.T) {
	t.Setenv("REGISTRY_PASSWORD", "canary")
	e, base := shared.use(t)
	live(t, e, target("exec01", base), func(c *layers.Container) {
		mustSh(t, c, `groupadd -g 4242 crew && usermod -aG crew,adm www-data`)
		for name, test := range map[string]struct {
			process layers.Process
			input   string
			want    string
		}{
			"arguments are not a shell's": {
				process: layers.Process{Args: []string{"printf", "%s|", "a b", "$HOME", "*", "'\"", "line\nbreak", ""}},
				want:    "a b|$HOME|*|'\"|line\nbreak||",
			},
			"standard input": {
				process: layers.Process{Args: []string{"cat"}}, input: "over the wall\n",
				want: "over the wall\n",
			},
			"no standard input": {
				process: layers.Process{Args: []string{"cat"}},
			},
			"environment": {
				process: layers.Process{Args: []string{"sh", "-c", "env -u PWD | sort"}},
				want:    strings.Join(environment, "\n") + "\n",
			},
			"more environment": {
				process: layers.Process{Args: []string{"sh", "-c", `echo "$ONE-$TWO-$HOME"`}, Env: []string{"ONE=1 1", "TWO=", "HOME=/srv"}},
				want:    "1 1--/srv\n",
			},
			"directory": {
				process: layers.Process{Args: []string{"pwd"}, Dir: "/var/lib"},
				want:    "/var/lib\n",
			},
			"no directory": {
				process: layers.Process{Args: []string{"pwd"}},
				want:    "/\n",
			},
			"umask": {
				process: layers.Process{Args: []string{"sh", "-c", "umask"}},
				want:    "0022\n",
			},
			"user by name, with his groups": {
				process: layers.Process{Args: []string{"sh", "-c", "id -un; id -gn; id -Gn; echo $HOME"}, User: "www-data"},
				want:    "www-data\nwww-data\nwww-data adm crew\n/var/www\n",
			},
			"user by number": {
				process: layers.Process{Args: []string{"id", "-un"}, User: "33"},
				want:    "www-data\n",
			},
			"user and group": {
				process: layers.Process{Args: []string{"sh", "-c", "id -un; id -Gn"}, User: "www-data:crew"},
				want:    "www-data\ncrew\n",
			},
			"number without a name": {
				process: layers.Process{Args: []string{"sh", "-c", "id -u; id -g; id -G"}, User: "70000:70001"},
				want:    "70000\n70001\n70001\n",
			},
			"root by name": {
				process: layers.Process{Args: []string{"id", "-u"}, User: "root"},
				want:    "0\n",
			},
		} {
			t.Run(name, func(t *testing.T) {
				var out, said bytes.Buffer
				test.process.Stdout, test.process.Stderr = &out, &said
				if test.input != "" {
					test.process.Stdin = strings.NewReader(test.input)
				}
				if err := c.Exec(t.Context(), test.process); err != nil {
					t.Fatalf("%v: %s", err, said.String())
				}
				if diff := cmp.Diff(test.want, out.String()); diff != "" {
					t.Error(diff)
				}
			})
		}
		t.Run("failures", func(t *testing.T) { testExecFailures(t, c) })
		t.Run("capabilities are the container's", func(t *testing.T) { testCapabilities(t, c) })
		t.Run("nothing is left of a cancelled command", func(t *testing.T) { testExecCancelled(t, c) })
		t.Run("process 1 reaps orphans", func(t *testing.T) {
			mustSh(t, c, `(sleep 0.1 & sleep 0.1 &); sleep 0.2`)
			eventually(t, "all are reaped", func() bool { _, err := sh(t, c, `ps -eo stat= | grep ^Z`); return err != nil })
		})
		t.Run("process 1 does not die of what happens inside", func(t *testing.T) {
			mustSh(t, c, `for s in $(seq 1 64); do kill -$s 1; done; cd /proc/1/task && for t in *; do for s in $(seq 1 64); do kill -$s $t; done; done`)
			mustSh(t, c, `pkill -x init; true`)
			mustSh(t, c, `kill -0 1`)
		})
	})
}

func testExecFailures(t *testing.T, c *layers.Container) {
	const notStarted = -2
	for name, test := range map[string]struct {
		process layers.Process
		code    int // -1: killed by a signal; notStarted: the command is not started
		says    string
	}{
		"exit code":         {layers.Process{Args: []string{"sh", "-c", "exit 7"}}, 7, `"sh" in the container of "exec01"`},
		"signal":            {layers.Process{Args: []string{"sh", "-c", "kill -KILL $$"}}, -1, "signal: killed"},
		"no such program":   {layers.Process{Args: []string{"no-such-program"}}, 127, "no-such-program"},
		"no such directory": {layers.Process{Args: []string{"true"}, Dir: "/nowhere"}, 125, ""},
		"no such user":      {layers.Process{Args: []string{"true"}, User: "nobody-knows"}, notStarted, `user "nobody-knows"`},
		"no such group":     {layers.Process{Args: []string{"true"}, User: "www-data:nobody-knows"}, notStarted, "nobody-knows"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Exec(t.Context(), test.process)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("the error is %v", err)
			}
			var exit *exec.ExitError
			if errors.As(err, &exit) == (test.code == notStarted) || exit != nil && exit.ExitCode() != test.code {
				t.Errorf("the error is %v, want exit code %d", err, test.code)
			}
		})
	}
}

// testCapabilities compares what commands have with containerd's default set
// and NET_ADMIN.
func testCapabilities(t *testing.T, c *layers.Container) {
	var all uint64
	for _, bit := range []int{
		unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD,
		unix.CAP_NET_RAW, unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP,
		unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE, unix.CAP_NET_ADMIN,
	} {
		all |= 1 << bit
	}
	sets := func(inherited, permitted, effective uint64) string {
		return fmt.Sprintf("CapInh:\t%016x\nCapPrm:\t%016x\nCapEff:\t%016x\nCapBnd:\t%016x\nCapAmb:\t%016x", inherited, permitted, effective, all, 0)
	}
	const show = `grep ^Cap /proc/self/status`
	for name, test := range map[string]struct{ script, want string }{
		"of a command":           {show, sets(0, all, all)},
		"of process 1":           {`grep ^Cap /proc/1/status`, sets(0, all, all)},
		"after sudo":             {`sudo ` + show, sets(0, all, all)},
		"of another user":        {`setpriv --reuid 33 --clear-groups ` + show, sets(0, 0, 0)},
		"after sudo to and fro":  {`sudo -u www-data sh -c '` + show + `'`, sets(0, 0, 0)},
		"of a shell's own child": {`sh -c 'sh -c "` + show + `"'`, sets(0, all, all)},
	} {
		if said := mustSh(t, c, test.script); said != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, said, test.want)
		}
	}
}

func testExecCancelled(t *testing.T, c *layers.Container) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- c.Exec(ctx, layers.Process{Args: []string{"sh", "-c", "touch /srv/started; sleep 4711 & sleep 4712"}})
	}()
	eventually(t, "the command runs", func() bool { _, err := sh(t, c, `pgrep -f 'sleep 4712'`); return err == nil })
	cancel()
	if err := <-ended; err == nil {
		t.Error("a cancelled command gave no error")
	}
	eventually(t, "its processes are gone", func() bool { _, err := sh(t, c, `pgrep -f 'sleep 471[12]'`); return err != nil })
}

// eventually waits until something that the kernel or another process does
// has happened.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this does not happen: %s", what)
		}
	}
}

var listedFolder = regexp.MustCompile(`^/proc/[0-9]+/fd$`)

// What a vauban inherits, as the pipe of a CI job, is not for a container.
func TestNoFileOfTheCallerReachesAContainer(t *testing.T) {
	e, base := shared.use(t)
	if err := e.SetImage(t.Context(), "base", base); err != nil {
		t.Fatal(err)
	}
	canary, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer canary.Close()
	// The shell becomes ls: its own pipes and saved files are not the caller's.
	child := newChild(t, shared.dir, `exec ls -l /proc/self/fd`, "files01")
	child.cmd.ExtraFiles = []*os.File{canary}
	said := child.run(t)
	var open []string
	listed := 0
	for _, line := range said {
		words, target, ok := strings.Cut(line, " -> ")
		if !ok {
			continue
		}
		listed++
		fd := words[strings.LastIndex(words, " ")+1:]
		// The last one is the folder that ls reads.
		if !slices.Contains([]string{"0", "1", "2"}, fd) && !listedFolder.MatchString(target) {
			open = append(open, fd+" "+target)
		}
	}
	if listed < 3 {
		t.Errorf("not even the standard streams are listed: %q", said)
	}
	if len(open) > 0 {
		t.Errorf("open inside: %q", open)
	}
}

// A step can end process 1 no more than a builder's out-of-memory killer can
// be kept from it. Its number is free then, and goes to whatever starts next.
func TestAReusedPidIsNotEntered(t *testing.T) {
	e, base := shared.use(t)
	live(t, e, target("reuse01", base), func(c *layers.Container) {
		pid := c.Pid()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the pid is free", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
		reuse(t, pid)
		if said, err := sh(t, c, `hostname`); err == nil || !strings.Contains(said, "process 1 of the container has ended") {
			t.Errorf("a command ran in another process's namespaces: error %v: %s", err, said)
		}
		err := c.Inside(func() error { _, err := os.Stat("/"); return err })
		if err == nil {
			t.Error("another process's mount namespace was entered")
		}
	})
}

// reuse starts processes of the builder until one has the pid.
func reuse(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("a process gets the pid %d", pid), func() bool {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", fmt.Append(nil, pid-1), 0); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return syscall.Kill(pid, 0) == nil
	})
}
