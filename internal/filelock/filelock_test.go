package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for _, tt := range []struct {
		held, wanted Kind
		want         bool
	}{
		{Shared, Shared, true},
		{Shared, Exclusive, false},
		{Exclusive, Shared, false},
		{Exclusive, Exclusive, false},
	} {
		a, b := open(t, path), open(t, path)
		if taken, err := Try(a, tt.held); !taken || err != nil {
			t.Fatalf("a free lock: %v, %v", taken, err)
		}
		if taken, err := Try(b, tt.wanted); taken != tt.want || err != nil {
			t.Errorf("%v beside %v: %v, %v", tt.wanted, tt.held, taken, err)
		}
		if err := Release(a); err != nil {
			t.Fatal(err)
		}
		if taken, err := Try(b, tt.wanted); !taken || err != nil {
			t.Errorf("%v after a release: %v, %v", tt.wanted, taken, err)
		}
		a.Close()
		b.Close()
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	why := errors.New("told so")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, why)
	defer cancel()
	_, err = Open(ctx, path)
	if !errors.Is(err, why) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want the cause and the file's name", err)
	}
}

func TestOpenKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	inside, most := 0, 0
	var mu sync.Mutex
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		inside += n
		most = max(most, inside)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			f, err := Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			count(1)
			time.Sleep(time.Millisecond)
			count(-1)
			f.Close()
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d had the lock at once", most)
	}
}

func TestOpenOfFoldersAndShared(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	type opening = func(context.Context, string) (*os.File, error)
	for i, test := range []struct {
		path         string
		held, wanted opening
	}{{path, OpenShared, Open}, {path, Open, OpenShared}, {dir, OpenDir, OpenDir}} {
		held, err := test.held(t.Context(), test.path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := test.wanted(ctx, test.path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d: a lock that is held: %v", i, err)
		}
		cancel()
		held.Close()
	}
}

func TestTryOfAClosedFile(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "lock"))
	f.Close()
	if taken, err := Try(f, Shared); taken || err == nil {
		t.Errorf("a closed file was locked: %v, %v", taken, err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
