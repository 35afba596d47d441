package registry

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// A registry that hangs, in the middle of what it sends or takes, is asked
// again; one that always does is given up.
func TestHangingRegistry(t *testing.T) {
	store := newStore(t)
	desc, layers := newImage(t, store)
	ended := make(chan struct{})
	defer close(ended)
	var mode atomic.Value
	mode.Store("")
	var hung atomic.Int64
	address := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			isBlob := strings.HasSuffix(request.URL.Path, layers[0].Digest.String())
			switch {
			case mode.Load() == "sending" && request.Method == http.MethodGet && isBlob && hung.Add(1) == 1:
				cut := &cutWriter{w, layerSize / 2}
				defer func() {
					_ = recover() // instead of breaking the connection
					select {
					case <-ended:
					case <-request.Context().Done():
					}
					panic(http.ErrAbortHandler)
				}()
				next.ServeHTTP(cut, request)
			case mode.Load() == "taking" && request.Method == http.MethodPatch && hung.Add(1) == 1,
				mode.Load() == "always":
				_, _ = io.ReadFull(request.Body, make([]byte, 100))
				select {
				case <-ended:
				case <-request.Context().Done():
				}
			default:
				next.ServeHTTP(w, request)
			}
		})
	})
	r := open(t, Options{Hostname: address, Attempts: 3, patience: 300 * time.Millisecond})

	mode.Store("taking")
	mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{noonTag, Latest}})
	if hung.Swap(0) < 2 {
		t.Error("nothing hung and was sent again")
	}
	wantTag(t, r, "web", Latest, desc.Digest)

	mode.Store("sending")
	to := newStore(t)
	if _, err := r.Pull(t.Context(), "web", Latest, to); err != nil {
		t.Error(err)
	}
	if hung.Load() < 2 {
		t.Error("nothing hung and was asked for again")
	}
	if _, err := to.Info(t.Context(), layers[0].Digest); err != nil {
		t.Error(err)
	}

	mode.Store("always")
	began := time.Now()
	_, err := r.Resolve(t.Context(), "web", Latest)
	if !errdefs.IsUnavailable(err) || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v, want that it is unavailable", time.Since(began), err)
	}
}
