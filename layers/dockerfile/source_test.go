package dockerfile

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestDownload(t *testing.T) {
	modified := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/dir/tool" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Last-Modified", modified.Format(http.TimeFormat))
		io.WriteString(w, "content")
	}))
	defer server.Close()
	b := &dockerBuild{ctx: t.Context()}

	source, err := b.download(server.URL+"/dir/tool?x=y", digest.FromString("content").String())
	if err != nil {
		t.Fatal(err)
	}
	defer closeSources([]copySource{source})
	err = source.walk(func(e treeEntry) error {
		for range 2 {
			if sum, err := e.digest(); err != nil || sum != digest.FromString("content") {
				t.Errorf("the file's digest is %s, error %v", sum, err)
			}
		}
		if source.name != "tool" || e.path != "." || e.mode != 0o600 || !e.modified.Equal(modified) {
			t.Errorf("%q is placed as %+v", source.name, e)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	for from, test := range map[string]struct{ checksum, want string }{
		server.URL + "/dir/tool":       {digest.FromString("other").String(), "its content is not that of --checksum"},
		server.URL + "/dir/tool?":      {"sha256:abc", "--checksum=sha256:abc"},
		server.URL + "/missing":        {"", "404 Not Found"},
		"http://user:pass@" + "[::bad": {"", "missing ']'"},
	} {
		_, err := b.download(from, test.checksum)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: the error is %v; want %q", from, err, test.want)
		}
	}
}

// A server that asks to wait is asked again after that time.
func TestDownloadRetryAfter(t *testing.T) {
	var at []time.Time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if at = append(at, time.Now()); len(at) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		io.WriteString(w, "the file")
	}))
	defer server.Close()
	var said bytes.Buffer
	b := dockerBuild{ctx: t.Context(), log: newLineWriter(&sharedLog{w: &said}, "")}
	if _, err := b.download(server.URL+"/x", digest.FromString("the file").String()); err != nil {
		t.Fatal(err)
	}
	if len(at) != 2 || at[1].Sub(at[0]) < time.Second {
		t.Errorf("asked at %v", at)
	}
	if !strings.Contains(said.String(), "waiting 1s: the server answers 429") {
		t.Errorf("said %q", said.String())
	}
}

// A server that misbehaves ends ADD with one error that says at which bound.
func TestHostileDownload(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	wait := func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		build  dockerBuild
		want   string
	}{
		"silence": {func(_ http.ResponseWriter, r *http.Request) { wait(r) }, dockerBuild{addWindow: 50 * time.Millisecond}, "nothing came for 50ms"},
		"half a file": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "x")
		}, dockerBuild{}, "unexpected EOF"},
		"too slow": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			wait(r)
		}, dockerBuild{addTime: 50 * time.Millisecond}, "the download takes more than"},
		"without end": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, dockerBuild{maxAdded: 1 << 20}, "more than 1048576 bytes"},
		"a circle": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, dockerBuild{}, "redirects"},
		"a wait of a day": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusTooManyRequests)
		}, dockerBuild{}, "429 Too Many Requests, and asks to wait 24h0m0s: at most 30m0s are waited"},
		"waits without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, dockerBuild{addTime: 50 * time.Millisecond}, "the download takes more than"},
		"a file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/shadow", http.StatusFound)
		}, dockerBuild{}, "unsupported protocol scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			test.build.ctx, test.build.log = t.Context(), newLineWriter(&sharedLog{}, "")
			_, err := test.build.download(strings.Replace(server.URL, "//", "//user:canary@", 1)+"/x?token=canary", "")
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("the error is %v; want %q", err, test.want)
			}
		})
	}
}
