//go:build integration

package layers

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"vauban/internal/filelock"
)

// A run that starts is never taken for a dead one, whose lock is free.
func TestStartingRunsHoldTheirLock(t *testing.T) {
	runs := t.TempDir()
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for range 500 {
				r, err := startRun(runs)
				if err != nil {
					t.Error(err)
					return
				}
				if err := r.end(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	over := make(chan struct{})
	go func() {
		starting.Wait()
		close(over)
	}()
	for {
		select {
		case <-over:
			return
		default:
			lookForDeadRuns(t, runs)
		}
	}
}

func lookForDeadRuns(t *testing.T, runs string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(runs, "*.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // it ended
		}
		if dead, _ := filelock.Try(lock, filelock.Exclusive); dead {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("the lock %s is free", path)
			}
		}
		lock.Close()
	}
}
