//go:build integration

package robust

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rounds is how often a run is killed, unless VAUBAN_KILL_ROUNDS says so.
const rounds = 3

// victims are what is killed with the run, or instead of it, by parts of their
// command lines.
var victims = []struct {
	name    string
	run     bool // the run itself
	command []string
}{
	{"the run", true, nil},
	{"the run and its containerd", true, []string{"__containerd"}},
	{"the run and its networks", true, []string{"slirp4netns"}},
	{"ansible alone", false, []string{"ansible-playbook"}},
	{"containerd alone", false, []string{"__containerd"}},
	{"a network alone", false, []string{"slirp4netns"}},
}

// A run that is killed, at whatever moment and with whatever of its helpers,
// leaves nothing that the next one does not clean up; what it published or
// pushed is whole.
func TestKilledAtAnyMoment(t *testing.T) {
	seed, n := uint64(time.Now().UnixNano()), rounds
	if text := os.Getenv("VAUBAN_KILL_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv("VAUBAN_KILL_ROUNDS"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	t.Logf("VAUBAN_KILL_SEED=%d VAUBAN_KILL_ROUNDS=%d", seed, n)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	begun := time.Now()
	said := w.must(t, build...)
	whole, lines := time.Since(begun), strings.Count(said, "\n")
	w.check(t)
	t.Logf("a whole run takes %v and says %d lines", whole, lines)
	first := random.IntN(len(victims))
	for i := range n {
		victim := victims[(first+i)%len(victims)]
		// Half of the moments are spread over the time, half over what happens.
		after := time.Duration(random.Int64N(int64(whole)))
		line := 0
		if i%2 == 1 {
			line, after = random.IntN(lines), time.Duration(random.Int64N(int64(300*time.Millisecond)))
		}
		t.Run(fmt.Sprintf("%d: %s, %v after line %d", i, victim.name, after, line), func(t *testing.T) {
			w.turn(t, i+1)
			r := w.start(t, build...)
			r.wait(line, after)
			dead := w.runs(t)
			for _, part := range victim.command {
				w.kill(t, r, part)
			}
			if victim.run {
				_ = r.Process.Kill() // may have ended
			}
			select {
			case <-r.ended:
			case <-time.After(2 * time.Minute):
				t.Fatalf("the run neither fails nor ends:\n%s", r.said)
			}
			again := w.start(t, build...)
			if code := again.code(); code != 0 {
				t.Fatalf("the next run: exit code %d\n%s\nthe killed one said\n%s", code, again.said, r.said)
			}
			w.check(t, dead...)
			if t.Failed() {
				t.Logf("killed:\n%s\nnext:\n%s", r.said, again.said)
			}
		})
		if t.Failed() {
			break
		}
	}
}

// wait returns some time after the run said so many lines, or when it ended.
func (r *run) wait(lines int, after time.Duration) {
	for range lines {
		select {
		case <-r.said.line:
		case <-r.ended:
			return
		}
	}
	select {
	case <-time.After(after):
	case <-r.ended:
	}
}

// kill kills those of the world's processes whose command line has a part.
func (w *world) kill(t *testing.T, r *run, part string) {
	t.Helper()
	all := w.processes(t, w.runs(t))
	if part == "__containerd" {
		all = w.containerds(t)
	}
	all = slices.DeleteFunc(all, func(p process) bool { return p.pid == r.Process.Pid || !strings.Contains(p.command, part) })
	for _, p := range all {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // may have ended
	}
}
