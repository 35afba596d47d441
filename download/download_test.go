package download

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "crypto/sha512" // digests of both kinds
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vauban/internal/retry"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// origin is a server of one file, whose answers a test can spoil.
type origin struct {
	*httptest.Server
	content []byte

	mu     sync.Mutex
	ranges []string // of the requests
	sent   int
	// spoil answers a request in the file's place, if it likes; n counts them.
	spoil func(w http.ResponseWriter, r *http.Request, n int) bool
}

func newOrigin(t *testing.T, size int) *origin {
	o := &origin{content: make([]byte, size)}
	rand.Read(o.content)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.ranges = append(o.ranges, r.Header.Get("Range"))
		n, spoil := len(o.ranges), o.spoil
		o.mu.Unlock()
		if spoil == nil || !spoil(w, r, n) {
			http.ServeContent(&counting{w, o}, r, "", time.Time{}, bytes.NewReader(o.content))
		}
	}))
	t.Cleanup(o.Close)
	return o
}

type counting struct {
	http.ResponseWriter
	o *origin
}

func (c *counting) Write(p []byte) (int, error) {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	c.o.sent += len(p)
	return c.ResponseWriter.Write(p)
}

// cut sends the beginning of an answer and breaks the connection.
func (o *origin) cut(w http.ResponseWriter, from, n int) {
	w.Header().Set("Content-Length", strconv.Itoa(len(o.content)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(o.content)-1, len(o.content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(o.content[from : from+n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// asked are the ranges of the requests until now.
func (o *origin) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.ranges)
}

func (o *origin) digests() []digest.Digest {
	return []digest.Digest{digest.FromBytes(o.content), digest.SHA512.FromBytes(o.content)}
}

func client(t *testing.T) Client {
	return Client{Dir: t.TempDir(), Backoff: time.Millisecond}
}

// wantFile checks what File gave, and that nothing half stays next to it.
func wantFile(t *testing.T, path string, err error, content []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("it has %d bytes, %v, want the server's %d", len(got), err, len(content))
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "part")); err == nil {
		t.Error("a part is left")
	}
}

func TestFile(t *testing.T) {
	o, c := newOrigin(t, 3<<20), client(t)
	var told []int64
	c.Progress = func(have, size int64) { told = append(told, have, size) }
	path, err := c.File(t.Context(), o.URL+"/disk.raw", o.digests()...)
	wantFile(t, path, err, o.content)
	if want := filepath.Join(c.Dir, "sha256-"+digest.FromBytes(o.content).Encoded(), "file"); path != want {
		t.Errorf("it is %s, not %s", path, want)
	}
	if len(told) != 2 || told[0] != 0 || told[1] != 3<<20 {
		t.Errorf("progress: %v", told)
	}
	// A use is what keeps it from being pruned.
	old := time.Now().AddDate(0, 0, -90)
	if err := os.Chtimes(filepath.Dir(path), old, old); err != nil {
		t.Fatal(err)
	}
	o.Close() // no network is needed any more
	path, err = c.File(t.Context(), o.URL+"/disk.raw", o.digests()...)
	wantFile(t, path, err, o.content)
	if info, err := os.Stat(filepath.Dir(path)); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("the use left no date: %v", err)
	}
}

func TestFileGoesOn(t *testing.T) {
	const size = 1 << 20
	for _, tt := range []struct {
		name  string
		part  func(content []byte) []byte // what an earlier run left; nil: nothing
		spoil func(o *origin, w http.ResponseWriter, r *http.Request, n int) bool
		// ranges are what is asked for.
		ranges string
	}{
		{name: "a connection that breaks, twice", spoil: func(o *origin, w http.ResponseWriter, _ *http.Request, n int) bool {
			if n < 3 {
				o.cut(w, (n-1)*1000, 1000)
			}
			return false
		}, ranges: "|bytes=1000-|bytes=2000-"},
		{name: "what an earlier run left", part: func(all []byte) []byte { return all[:size/2] }, ranges: "bytes=524288-"},
		{name: "all but the name", part: func(all []byte) []byte { return all }, ranges: "bytes=1048576-"},
		{name: "of another file", part: func([]byte) []byte { return make([]byte, 5000) }, ranges: "bytes=5000-|"},
		{name: "of a longer file", part: func([]byte) []byte { return make([]byte, 2*size) }, ranges: "bytes=2097152-|"},
		{name: "a server without parts", part: func(all []byte) []byte { return all[:5000] }, ranges: "bytes=5000-",
			spoil: func(o *origin, w http.ResponseWriter, _ *http.Request, _ int) bool {
				w.Write(o.content)
				return true
			}},
		{name: "a server with wrong parts", part: func(all []byte) []byte { return all[:5000] }, ranges: "bytes=5000-|",
			spoil: func(o *origin, w http.ResponseWriter, r *http.Request, n int) bool {
				if n == 1 {
					r.Header.Set("Range", "bytes=1-")
				}
				return false
			}},
		{name: "a server in trouble", ranges: "||", spoil: func(_ *origin, w http.ResponseWriter, _ *http.Request, n int) bool {
			if n < 3 {
				http.Error(w, "later", http.StatusServiceUnavailable)
			}
			return n < 3
		}},
		{name: "an answer that is marked as compressed", ranges: "", spoil: func(o *origin, w http.ResponseWriter, r *http.Request, _ int) bool {
			// As servers send .gz files when they are told wrongly.
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(o.content)
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, c := newOrigin(t, size), client(t)
			if tt.spoil != nil {
				o.spoil = func(w http.ResponseWriter, r *http.Request, n int) bool { return tt.spoil(o, w, r, n) }
			}
			if tt.part != nil {
				dir := c.folder(o.digests()[0])
				if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "part"), tt.part(o.content), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			path, err := c.File(t.Context(), o.URL, o.digests()...)
			wantFile(t, path, err, o.content)
			if got := strings.Join(o.asked(), "|"); got != tt.ranges {
				t.Errorf("asked for %q, want %q", got, tt.ranges)
			}
		})
	}
}

// An interrupted run leaves what came, and the next one gets the rest alone.
func TestFileInterrupted(t *testing.T) {
	const size, first = 4 << 20, 2 << 20
	o, c := newOrigin(t, size), client(t)
	ctx, interrupt := context.WithCancelCause(t.Context())
	over := errors.New("interrupted")
	o.spoil = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Write(o.content[:first])
		w.(http.Flusher).Flush()
		for part := filepath.Join(c.folder(o.digests()[0]), "part"); ; time.Sleep(time.Millisecond) {
			if info, err := os.Stat(part); err == nil && info.Size() >= first {
				break
			}
		}
		interrupt(over)
		<-r.Context().Done()
		return true
	}
	if _, err := c.File(ctx, o.URL, o.digests()...); !errors.Is(err, over) {
		t.Fatalf("interrupted: %v", err)
	}
	o.mu.Lock()
	o.sent = 0
	o.mu.Unlock()
	path, err := c.File(t.Context(), o.URL, o.digests()...)
	wantFile(t, path, err, o.content)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sent != size-first {
		t.Errorf("the rest is %d bytes, and %d were sent", size-first, o.sent)
	}
}

func TestFileRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		spoil    func(w http.ResponseWriter, r *http.Request, n int) bool
		requests int
		want     string
	}{
		{name: "another file", requests: 1, want: "its digest is sha256:", spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			fmt.Fprint(w, "something else")
			return true
		}},
		{name: "none", requests: 1, want: "404 Not Found: check the URL", spoil: func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.NotFound(w, r)
			return true
		}},
		{name: "no login", requests: 1, want: "401 Unauthorized: check the URL's user", spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}},
		{name: "a server that stays in trouble", requests: 5, want: "502 Bad Gateway", spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}},
		{name: "a circle", requests: 10, want: "redirects in circles", spoil: func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, "/", http.StatusFound)
			return true
		}},
		{name: "silence", requests: 5, want: "nothing came for 100ms", spoil: func(_ http.ResponseWriter, r *http.Request, _ int) bool {
			<-r.Context().Done()
			return true
		}},
		{name: "more than the disk takes", requests: 1, want: "no space left on device", spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Content-Length", strconv.FormatInt(1<<60, 10))
			w.WriteHeader(http.StatusOK)
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, c := newOrigin(t, 100), client(t)
			o.spoil = tt.spoil
			c.Patience = 100 * time.Millisecond
			var log bytes.Buffer
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			address := strings.Replace(o.URL, "//", "//user:canary-password@", 1) + "/disk.raw?token=canary-token"
			_, err := c.File(t.Context(), address, o.digests()...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
			if strings.Contains(fmt.Sprint(err, log.String()), "canary") {
				t.Errorf("a secret shows: %v\n%s", err, log.String())
			}
			if n := len(o.asked()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			for _, name := range []string{"file", "part"} {
				if _, err := os.Stat(filepath.Join(c.folder(o.digests()[0]), name)); err == nil {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

// A file that is too long, whether or not its length is said, and a server that
// sends a byte at a time, come to an end.
func TestHostileServer(t *testing.T) {
	for _, tt := range []struct {
		name     string
		requests int
		want     string
		spoil    func(o *origin, w http.ResponseWriter, n int) bool
	}{
		{"a length that is too large", 1, "it is too long: 5000 bytes, at most 1000", func(_ *origin, w http.ResponseWriter, _ int) bool {
			w.Header().Set("Content-Length", "5000")
			return true
		}},
		{"no end", 1, "it is too long: more than 1000 bytes", func(_ *origin, w http.ResponseWriter, _ int) bool {
			w.(http.Flusher).Flush()
			w.Write(make([]byte, 5000))
			return true
		}},
		{"a byte at a time", 5, "unexpected EOF", func(o *origin, w http.ResponseWriter, n int) bool {
			o.cut(w, n-1, 1)
			return true
		}},
		{"a wait of a day", 1, "asks to wait 24h0m0s; vauban waits at most 30m0s", func(_ *origin, w http.ResponseWriter, _ int) bool {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}},
		{"a redirect to a file", 1, "a place that is not followed", func(_ *origin, w http.ResponseWriter, _ int) bool {
			w.Header().Set("Location", "file:///etc/shadow")
			w.WriteHeader(http.StatusFound)
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, c := newOrigin(t, 900), client(t)
			c.MaxBytes = 1000
			o.spoil = func(w http.ResponseWriter, _ *http.Request, n int) bool { return tt.spoil(o, w, n) }
			_, err := c.File(t.Context(), o.URL+"/disk.raw", o.digests()...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
			if n := len(o.asked()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
		})
	}
}

// A server that says when to come back is obeyed, more often than one that fails
// is asked; all its waits together have a bound.
func TestFileRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		window  time.Duration // in which it refuses
		seconds string
		want    string
		least   time.Duration
	}{
		"longer than the tries":  {window: 20 * time.Minute, seconds: "60", least: 20 * time.Minute},
		"without a time":         {window: 20 * time.Minute, seconds: "", want: "429"},
		"again and again a bit":  {window: 24 * time.Hour, seconds: "1", want: "vauban waits at most 30m0s"},
		"a long time, then more": {window: 24 * time.Hour, seconds: "1000", want: "vauban waits at most 30m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, requests := time.Now(), 0
				client := Client{}.withDefaults()
				err := client.retry(t.Context(), &server{address: &url.URL{}}, func() (bool, error) {
					requests++
					if time.Since(began) < test.window {
						header := http.Header{"Retry-After": {test.seconds}}
						return false, &statusError{429, "x", retry.Asked(&http.Response{StatusCode: 429, Header: header})}
					}
					return true, nil
				})
				took := time.Since(began)
				if test.want == "" && (err != nil || took < test.least || took > test.least+2*time.Minute) {
					t.Errorf("after %v: %v", took, err)
				}
				if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || took > 31*time.Minute) {
					t.Errorf("after %v: %v, want %q", took, err, test.want)
				}
				if requests > 50 {
					t.Errorf("%d requests", requests)
				}
			})
		})
	}
}

// The kind of an error tells a full disk, whose part is gone.
func TestFileDiskFull(t *testing.T) {
	o, c := newOrigin(t, 100), client(t)
	o.spoil = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.Header().Set("Content-Length", strconv.FormatInt(1<<60, 10))
		w.WriteHeader(http.StatusOK)
		return true
	}
	if _, err := c.File(t.Context(), o.URL, o.digests()...); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.folder(o.digests()[0]), "part")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the part stays: %v", err)
	}
}

func TestFileDamaged(t *testing.T) {
	o, c := newOrigin(t, 1000), client(t)
	path, err := c.File(t.Context(), o.URL, o.digests()...)
	wantFile(t, path, err, o.content)
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err = c.File(t.Context(), o.URL, o.digests()...)
	wantFile(t, path, err, o.content)
}

// Two runs at once get a file once.
func TestFileTwice(t *testing.T) {
	o, c := newOrigin(t, 1<<20), client(t)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if _, err := c.File(t.Context(), o.URL, o.digests()...); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if n := len(o.asked()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// The login is for the server of the URL, and no other one hears of it.
func TestRedirect(t *testing.T) {
	o, c := newOrigin(t, 1000), client(t)
	o.spoil = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		for _, name := range []string{"Authorization", "Referer"} {
			if value := r.Header.Get(name); value != "" {
				t.Errorf("the other server sees %s: %s", name, value)
			}
		}
		return false
	}
	elsewhere := strings.Replace(o.URL, "127.0.0.1", "localhost", 1)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "pass word" {
			t.Errorf("the login is %q, %q", user, password)
		}
		http.Redirect(w, r, elsewhere+"/x?signature=1", http.StatusFound)
	}))
	defer first.Close()
	address := strings.Replace(first.URL, "//", "//user:pass%20word@", 1) + "/disk.raw?token=1"
	path, err := c.File(t.Context(), address, o.digests()...)
	wantFile(t, path, err, o.content)
}

func TestText(t *testing.T) {
	o, c := newOrigin(t, 1000), client(t)
	c.Attempts = 2
	for _, tt := range []struct {
		name  string
		spoil func(w http.ResponseWriter, r *http.Request, n int) bool
		limit int64
		err   string
	}{
		{name: "what the server has", limit: 1000},
		{name: "too much", limit: 999, err: "too long"},
		{name: "a server in trouble", limit: 1000, spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}},
		{name: "gone", limit: 1000, err: "410 Gone", spoil: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusGone)
			return true
		}},
	} {
		o.spoil = tt.spoil
		text, err := c.Text(t.Context(), o.URL, tt.limit)
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && (err != nil || !bytes.Equal(text, o.content)) {
			t.Errorf("%s: %d bytes, %v", tt.name, len(text), err)
		}
	}
	o.Close()
	if text, err := c.Text(t.Context(), o.URL, 1000); err != nil || !bytes.Equal(text, o.content) {
		t.Errorf("without a network: %d bytes, %v", len(text), err)
	}
	if _, err := c.Text(t.Context(), o.URL+"/other", 1000); err == nil {
		t.Error("what never came is there")
	}
}

func TestAddress(t *testing.T) {
	for _, address := range []string{"", "file:///etc/passwd", "http://", "://canary", "http://user:canary@[::1"} {
		_, err := client(t).File(t.Context(), address, digest.FromString(""))
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
