package bases

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/config"
)

// canary is a password that must show nowhere.
const canary = "canary-of-a-url"

// urlWorld is a server of a root filesystem and its lists, and an opener.
func urlWorld(t *testing.T) (server *httptest.Server, content []byte, o *Opener, shown *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	content = smallTar(t)
	sum := sha512.Sum512(content)
	for name, data := range map[string][]byte{
		"root.tar": content, "root.tar.xz": compressed(t, "xz", content),
		"SHA512SUMS": fmt.Appendf(nil, "%x  root.tar\n", sum), "OTHERS": fmt.Appendf(nil, "%x  other.tar\n", sum),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := http.FileServer(http.Dir(dir))
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if _, password, ok := request.BasicAuth(); ok && password != canary {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	shown = &bytes.Buffer{}
	o = &Opener{Config: &config.Config{Path: "config.yml", Dir: t.TempDir()}, StateDir: t.TempDir(),
		Log: slog.New(slog.NewTextHandler(shown, nil)), Say: func(format string, args ...any) { fmt.Fprintf(shown, format+"\n", args...) }}
	return server, content, o, shown
}

func TestURL(t *testing.T) {
	server, content, o, shown := urlWorld(t)
	sha, xz := fmt.Sprintf("%x", sha256.Sum256(content)), fmt.Sprintf("%x", sha256.Sum256(compressed(t, "xz", content)))
	address := strings.Replace(server.URL, "//", "//user:"+canary+"@", 1)
	for _, tt := range []struct {
		name string
		base config.Base
		file string
		err  string
	}{
		{name: "a digest", file: "/root.tar", base: config.Base{SHA256: sha}},
		{name: "a list", file: "/root.tar?x=1", base: config.Base{SHA512Sums: address + "/SHA512SUMS"}},
		{name: "both", file: "/root.tar", base: config.Base{SHA256: sha, SHA512Sums: address + "/SHA512SUMS"}},
		{name: "compressed", file: "/root.tar.xz", base: config.Base{SHA256: xz}},
		{name: "another file", file: "/root.tar.xz", base: config.Base{SHA256: sha[1:] + "0"}, err: "nothing of it is kept"},
		{name: "both, and one is wrong", file: "/root.tar", base: config.Base{SHA256: xz, SHA512Sums: address + "/SHA512SUMS"}, err: "its digest is sha256:" + sha},
		{name: "not in the list", file: "/root.tar", base: config.Base{SHA512Sums: address + "/OTHERS"}, err: `it does not list "root.tar"`},
		{name: "no list", file: "/root.tar", base: config.Base{SHA512Sums: address + "/NONE"}, err: server.URL + "/NONE`: downloading"},
		{name: "no file", file: "/none.tar", base: config.Base{SHA256: xz[1:] + "1"}, err: "404 Not Found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.base.Source = config.Source{Kind: config.URL, Value: address + tt.file}
			root, from, err := o.Root(t.Context(), &tt.base)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), canary) {
					t.Errorf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if got, err := io.ReadAll(root); err != nil || !bytes.Equal(got, content) || from == "" {
				t.Errorf("it reads %d bytes of %s, %v", len(got), from, err)
			}
		})
	}
	kept, err := filepath.Glob(filepath.Join(o.StateDir, "downloads", "sha*", "file"))
	if err != nil || len(kept) != 3 {
		t.Errorf("the cache has %v, %v", kept, err)
	}
	// What is in the cache needs no server, nor does the list that it is in.
	server.Close()
	for _, b := range []config.Base{{SHA256: sha}, {SHA512Sums: address + "/SHA512SUMS"}} {
		b.Source = config.Source{Kind: config.URL, Value: address + "/root.tar"}
		root, _, err := o.Root(t.Context(), &b)
		if err != nil {
			t.Errorf("without a network: %v", err)
			continue
		}
		root.Close()
	}
	if shown.Len() == 0 || strings.Contains(shown.String(), canary) {
		t.Errorf("shown:\n%s", shown)
	}
}

// A list of digests that has another one makes a base stale.
func TestUpstreamList(t *testing.T) {
	server, content, o, _ := urlWorld(t)
	named := NewUpstream(o.Config, config.Settings{}, o.StateDir, o.Log)
	b := &config.Base{Source: config.Source{Kind: config.URL, Value: server.URL + "/root.tar"}, SHA512Sums: server.URL + "/SHA512SUMS"}
	if got, err := named(t.Context(), b); err != nil || got != digest.SHA512.FromBytes(content) {
		t.Errorf("%s, %v", got, err)
	}
	b.SHA512Sums, b.SHA256 = "", strings.Repeat("0", 64)
	if got, err := named(t.Context(), b); err != nil || got != "" {
		t.Errorf("what config.yml says alone: %s, %v", got, err)
	}
}
