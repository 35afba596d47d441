// Package pace gives up on HTTP servers that are silent or too slow.
package pace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// ErrStalled is the kind of error of a server that is silent or too slow.
var ErrStalled = errors.New("the server is too slow")

// Transport makes requests that fail with [ErrStalled] when the server is
// silent for a Window, or moves fewer bytes of a body than Rate allows in a
// Window that is spent waiting for it. A shorter body must be done in one Window.
// The time that the caller takes between two reads does not count, so a busy
// machine never makes a server look slow.
type Transport struct {
	// Base makes the requests.
	Base http.RoundTripper
	// Window is how long a server may be silent. 0: a minute.
	Window time.Duration
	// Rate is how many bytes per second must move, on average over a Window.
	// 0: 4096.
	Rate int64
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	w := t.watch(cancel)
	request = request.WithContext(ctx)
	w.send(request)
	response, err := t.Base.RoundTrip(request)
	w.pause()
	if err != nil {
		err = w.cause(ctx, err)
		cancel(nil)
		return nil, err
	}
	response.Body = &received{body: response.Body, ctx: ctx, watch: w}
	return response, nil
}

func (t *Transport) watch(cancel context.CancelCauseFunc) *watch {
	w := &watch{cancel: cancel, window: t.Window}
	if w.window <= 0 {
		w.window = time.Minute
	}
	rate := t.Rate
	if rate <= 0 {
		rate = 4096
	}
	w.least = int64(float64(rate) * w.window.Seconds())
	w.silence = time.AfterFunc(w.window, func() {
		cancel(fmt.Errorf("%w: nothing came for %v", ErrStalled, w.window))
	})
	return w
}

// watch ends one request that does not get on. The body of the request and that
// of the response may move at the same time.
type watch struct {
	cancel  context.CancelCauseFunc
	window  time.Duration
	least   int64
	silence *time.Timer

	mu     sync.Mutex
	waited time.Duration // in this window
	moved  int64         // in this window
}

// add takes note of bytes that moved, and of the time spent waiting for them.
func (w *watch) add(n int, waited time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved += int64(n)
	if w.waited += waited; w.waited < w.window {
		return
	}
	if w.moved < w.least {
		w.cancel(fmt.Errorf("%w: %d bytes in %v, at least %d are expected",
			ErrStalled, w.moved, w.waited.Round(time.Millisecond), w.least))
	}
	w.moved, w.waited = 0, 0
}

func (w *watch) pause()  { w.silence.Stop() }
func (w *watch) resume() { w.silence.Reset(w.window) }

// cause is why a request ended.
func (w *watch) cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrStalled) {
		return cause
	}
	return err
}

// send watches how the request's body is taken.
func (w *watch) send(request *http.Request) {
	if request.Body == nil || request.Body == http.NoBody {
		return
	}
	request.Body = &sent{ReadCloser: request.Body, watch: w}
	if again := request.GetBody; again != nil {
		request.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &sent{ReadCloser: body, watch: w}, nil
		}
	}
}

// sent is a body on its way to the server: the time between two reads is what
// the server takes.
type sent struct {
	io.ReadCloser
	watch *watch
	last  time.Time // of the end of a read
	n     int
}

// Read implements io.Reader.
func (s *sent) Read(p []byte) (int, error) {
	if !s.last.IsZero() {
		s.watch.add(s.n, time.Since(s.last))
	}
	s.watch.pause()
	n, err := s.ReadCloser.Read(p)
	s.watch.resume()
	s.last, s.n = time.Now(), n
	return n, err
}

// received is a body that comes from the server.
type received struct {
	body  io.ReadCloser
	ctx   context.Context // ends the request
	watch *watch
}

// Read implements io.Reader.
func (r *received) Read(p []byte) (int, error) {
	began := time.Now()
	r.watch.resume()
	n, err := r.body.Read(p)
	r.watch.pause()
	r.watch.add(n, time.Since(began))
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.watch.cause(r.ctx, err)
	}
	return n, err
}

// Close implements io.Closer.
func (r *received) Close() error {
	r.watch.pause()
	r.watch.cancel(nil)
	return r.body.Close()
}
