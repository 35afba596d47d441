package pace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// server is a server in memory: it reads the request's body, then answers.
type server struct {
	take   time.Duration // for each read of the request's body
	header time.Duration // before it answers
	body   *drip
}

func (s server) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		for buffer := make([]byte, 600); ; {
			_, err := request.Body.Read(buffer)
			if errors.Is(err, io.EOF) {
				break
			}
			if sleep(request.Context(), s.take) != nil {
				return nil, request.Context().Err()
			}
		}
	}
	if err := sleep(request.Context(), s.header); err != nil {
		return nil, err
	}
	s.body.ctx = request.Context()
	return &http.Response{StatusCode: http.StatusOK, Body: s.body}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// drip is a body that gives a piece after each interval.
type drip struct {
	ctx      context.Context
	interval time.Duration
	piece    int
	left     int
	served   int
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	if err := sleep(d.ctx, d.interval); err != nil {
		return 0, err
	}
	n := min(d.piece, len(p), d.left)
	d.left -= n
	d.served += n
	return n, nil
}

func (d *drip) Close() error { return nil }

func TestTransport(t *testing.T) {
	const minute, window = time.Minute, 5 * time.Minute
	for name, test := range map[string]struct {
		server server
		upload int
		served int // at most, of a body that is given up
		err    string
	}{
		"a large body at a fair speed": {server: server{body: &drip{interval: minute, piece: 1000, left: 100_000}}},
		"a small body, slowly":         {server: server{body: &drip{interval: minute, piece: 10, left: 30}}},
		"an answer after a while":      {server: server{header: 4 * minute, body: &drip{}}},
		"a large upload":               {upload: 100_000, server: server{take: minute, body: &drip{}}},
		"one byte in four minutes": {server: server{body: &drip{interval: 4 * minute, piece: 1, left: 1000}},
			served: 2, err: "2 bytes in 8m0s, at least 2400 are expected"},
		"silence in the middle": {server: server{body: &drip{interval: 6 * minute, piece: 1, left: 1000}},
			err: "nothing came for 5m0s"},
		"no answer": {server: server{header: 6 * minute, body: &drip{}}, err: "nothing came for 5m0s"},
		"an upload that is taken slowly": {upload: 100_000, server: server{take: 4 * minute, body: &drip{}},
			err: "1200 bytes in 8m0s"},
		"an upload that is not taken": {upload: 100_000, server: server{take: 6 * minute, body: &drip{}},
			err: "nothing came for 5m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &Transport{Base: test.server, Window: window, Rate: 8}
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://server/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				if test.upload > 0 {
					request.Body = io.NopCloser(bytes.NewReader(make([]byte, test.upload)))
				}
				response, err := transport.RoundTrip(request)
				if err == nil {
					_, err = io.ReadAll(response.Body)
					response.Body.Close()
				}
				switch {
				case test.err == "" && err != nil:
					t.Errorf("error %v", err)
				case test.err != "" && (!errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), test.err)):
					t.Errorf("error %v, want one with %q", err, test.err)
				}
				if test.err != "" && test.server.body.served > test.served {
					t.Errorf("%d bytes were taken, want at most %d", test.server.body.served, test.served)
				}
			})
		})
	}
}

// The caller's own slowness is not the server's.
func TestSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &Transport{Base: server{body: &drip{piece: 1, left: 20}}, Rate: 1000}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server/", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		for {
			_, err := response.Body.Read(make([]byte, 1))
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
	})
}
