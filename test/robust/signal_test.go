//go:build integration

package robust

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Who is asked to end does so in time, says that it was interrupted, and
// leaves nothing: nobody needs to come after it.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	lines := strings.Count(w.must(t, build...), "\n")
	for i, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		line := 1 + (lines*i+rand.IntN(lines))/2
		t.Run(fmt.Sprintf("%v after line %d", signal, line), func(t *testing.T) {
			w.turn(t, i+1)
			r := w.start(t, build...)
			r.wait(line, rand.N(200*time.Millisecond))
			runs := w.runs(t)
			asked := time.Now()
			_ = r.Process.Signal(signal) // it may have ended
			code := r.code()
			if took := time.Since(asked); code != 130 && code != 0 || took > 10*time.Second {
				t.Errorf("exit code %d after %v, want 130 within ten seconds:\n%s", code, took, r.said)
			}
			w.check(t, runs...)
		})
	}
	t.Run("a second signal", func(t *testing.T) {
		w.turn(t, 9)
		r := w.start(t, build...)
		r.wait(lines/2, 0)
		runs := w.runs(t)
		asked := time.Now()
		for range 2 {
			_ = r.Process.Signal(os.Interrupt) // it may have ended
			time.Sleep(50 * time.Millisecond)
		}
		code := r.code()
		if took := time.Since(asked); code != 130 && code != 0 || took > 2*time.Second {
			t.Errorf("exit code %d after %v, want 130 at once:\n%s", code, took, r.said)
		}
		w.must(t, build...)
		w.check(t, runs...)
	})
}
