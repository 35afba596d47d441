package memo

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestMemo(t *testing.T) {
	var m Memo[string, int]
	var computed atomic.Int32
	failure := errors.New("no")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, err := m.Get("a", func() (int, error) { computed.Add(1); return 3, failure })
			if got != 3 || !errors.Is(err, failure) {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
	all.Wait()
	if computed.Load() != 1 {
		t.Errorf("computed %d times", computed.Load())
	}
	if got, err := m.Get("b", func() (int, error) { return 4, nil }); got != 4 || err != nil {
		t.Errorf("another key: got %d, %v", got, err)
	}
}
