package layers

import (
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
