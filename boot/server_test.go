package boot

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHandler(t *testing.T) {
	tree, _ := writeTree(t)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(tree, "escape")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(tree, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	server := httptest.NewServer(NewHandler(root, slog.New(slog.DiscardHandler)))
	defer server.Close()

	for _, test := range []struct {
		name, method, path, ranges string
		status                     int
		body                       string
	}{
		{"file", "GET", "/web/releases/r1/rootfs.squashfs", "", 200, "rootfs of r1"},
		{"through current", "GET", "/web/current/rootfs.squashfs", "", 200, "rootfs of r2"},
		{"range", "GET", "/web/releases/r1/rootfs.squashfs", "bytes=10-", 206, "r1"},
		{"range beyond the end", "GET", "/web/releases/r1/rootfs.squashfs", "bytes=12-", 416, ""},
		{"head", "HEAD", "/web/releases/r1/rootfs.squashfs", "", 200, ""},
		{"directory", "GET", "/web/", "", 404, ""},
		{"top", "GET", "/", "", 404, ""},
		{"missing", "GET", "/web/releases/r9/rootfs.squashfs", "", 404, ""},
		{"above", "GET", "/web/../../../etc/passwd", "", 404, ""},
		{"a pipe", "GET", "/pipe", "", 404, ""},
		{"link out", "GET", "/escape", "", 404, ""},
		{"method", "PUT", "/web/releases/r1/rootfs.squashfs", "", 405, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), test.method, server.URL+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.ranges != "" {
				request.Header.Set("Range", test.ranges)
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.status || test.status < 400 && string(body) != test.body {
				t.Errorf("got %d %q, want %d %q", response.StatusCode, body, test.status, test.body)
			}
		})
	}
}

// Whatever is asked for, only files of the tree are given.
func FuzzHandler(f *testing.F) {
	tree := f.TempDir()
	for name, content := range map[string]string{"above": "secret", "tree/web/file": "public"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(content), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.Symlink("../above", filepath.Join(tree, "tree/link")); err != nil {
		f.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(tree, "tree"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { root.Close() })
	handler := NewHandler(root, slog.New(slog.DiscardHandler))
	for _, path := range []string{"/web/file", "/../above", "/link", "//web//file", "/web/file/../../../above", "/\x00", ""} {
		f.Add("GET", path, "bytes=0-1", "Mon, 02 Jan 2006 15:04:05 GMT")
	}
	f.Add("HEAD", "/web/file", "bytes=-1,-1,-1", "x")
	f.Fuzz(func(t *testing.T, method, path, ranges, since string) {
		request := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{"Range": {ranges}, "If-Modified-Since": {since}}}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		body := answer.Body.String()
		if strings.Contains(body, "secret") || answer.Code < 200 || answer.Code >= 500 || len(body) > 1<<20 {
			t.Errorf("%s %q: %d, %.100q", method, path, answer.Code, body)
		}
	})
}
