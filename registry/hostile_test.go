package registry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hostile is a server that counts what is asked of it and sent by it.
type hostile struct {
	*httptest.Server
	requests, bytes atomic.Int64
	greeted         atomic.Bool // and rightly so
}

// answer is how a hostile server answers one request, once it is greeted.
type answer func(h *hostile, w http.ResponseWriter, r *http.Request)

func newHostile(t *testing.T, answers answer) *hostile {
	t.Helper()
	h := &hostile{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.requests.Add(1)
		if r.Method != http.MethodHead { // whose answer has no body
			w = &counted{w, &h.bytes}
		}
		answers(h, w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// flood sends more than any client should take.
func flood(w http.ResponseWriter, head string) {
	_, _ = io.WriteString(w, head)
	if _, hasBody := w.(*counted); !hasBody {
		return
	}
	for range 256 {
		if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
			return
		}
	}
}

func manifestJSON(mutate func(*ocispec.Manifest)) []byte {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    inline(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","architecture":"amd64"}`)),
		Layers:    []ocispec.Descriptor{inline(ocispec.MediaTypeImageLayer, []byte("layer"))},
	}
	m.Config.Data, m.Layers[0].Data = nil, nil
	mutate(&m)
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return raw
}

// sends answers each request for a manifest with a document.
func sends(mediaType string, document []byte) answer {
	return func(_ *hostile, w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v2/") {
			return
		}
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Docker-Content-Digest", digest.FromBytes(document).String())
			w.Header().Set("Content-Length", fmt.Sprint(len(document)))
			_, _ = w.Write(document)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}
}

// greets lets the client in and answers everything else.
func greets(answers answer) answer {
	return func(h *hostile, w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v2/") {
			h.greeted.Store(true)
			return
		}
		answers(h, w, r)
	}
}

func bigIndex() []byte {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for i := range 15_000 {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest,
			Digest: digest.FromString(fmt.Sprint(i)), Size: 1, Platform: &ocispec.Platform{OS: "o\x1b[2J", Architecture: fmt.Sprint(i)}})
	}
	raw, _ := json.Marshal(index)
	return raw
}

// nests answers with an index in an index, without end.
func nests() answer {
	var mu sync.Mutex
	documents := map[string][]byte{}
	inner := manifestJSON(func(*ocispec.Manifest) {})
	mediaType := ocispec.MediaTypeImageManifest
	for range 20 {
		documents[digest.FromBytes(inner).String()] = inner
		inner, _ = json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{{MediaType: mediaType, Digest: digest.FromBytes(inner), Size: int64(len(inner)),
				Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"}}}})
		mediaType = ocispec.MediaTypeImageIndex
	}
	return func(h *hostile, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		document, ok := documents[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		if !ok {
			document = inner
		}
		sends(ocispec.MediaTypeImageIndex, document)(h, w, r)
	}
}

func challenges(realm string) answer {
	return func(h *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", strings.ReplaceAll(realm, "HOST", h.Listener.Addr().String()))
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// hostileAnswers are the kinds of answers. The error is what the text of the
// error has at least, whatever is asked.
var hostileAnswers = map[string]struct {
	answer answer
	err    string // "": any
}{
	"an error of gigabytes": {err: "500", answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		flood(w, "trouble ")
	})},
	"a greeting of gigabytes": {answer: func(_ *hostile, w http.ResponseWriter, _ *http.Request) { flood(w, "{") }},
	"a document of gigabytes": {answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		flood(w, `{"tags":["`)
	})},
	"compressed gigabytes": {answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(gzipBomb())
	})},
	"a length that is a lie": {answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = io.WriteString(w, "{}")
	})},
	"headers without end": {answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		for i := range 1000 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
		}
	})},
	"garbage": {answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "\x00\x1b]0;title\x07 not json")
	})},
	"HTML": {answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>log in</html>")
	})},
	"nothing":             {answer: greets(func(*hostile, http.ResponseWriter, *http.Request) {})},
	"a broken connection": {answer: greets(func(*hostile, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })},
	"escape sequences": {err: "400", answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "\x1b[2J\x1b]52;c;aGk=\x07")
	})},
	"too many requests for ever": {err: "asks to wait", answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusTooManyRequests)
	})},
	"too many requests, for no time": {err: "429", answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "-1")
		w.WriteHeader(http.StatusTooManyRequests)
	})},
	"a redirect in circles": {err: "redirect", answer: greets(func(_ *hostile, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"x", http.StatusTemporaryRedirect)
	})},
	"a redirect to a file": {answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/shadow")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})},
	"a redirect to plain HTTP elsewhere": {err: "plain HTTP", answer: greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://192.0.2.1/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})},
	"a login elsewhere over plain HTTP": {answer: challenges(`Bearer realm="http://192.0.2.1/token"`)},
	"a login at a file":                 {answer: challenges(`Bearer realm="file:///etc/shadow"`)},
	"a login without a realm":           {answer: challenges(`Bearer service="x"`)},
	"a login that is garbage":           {answer: challenges("\"=,Bearer ;=\"")},
	"a token of gigabytes": {answer: func(h *hostile, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/token") {
			flood(w, `{"token":"`)
			return
		}
		challenges(`Bearer realm="http://HOST/token"`)(h, w, r)
	}},
	"a token that is none": {answer: func(h *hostile, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/token") {
			_, _ = io.WriteString(w, `{"token":""}`)
			return
		}
		challenges(`Bearer realm="http://HOST/token"`)(h, w, r)
	}},
	"a token that is never good": {answer: func(h *hostile, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/token") {
			_, _ = io.WriteString(w, `{"token":"x"}`)
			return
		}
		challenges(`Bearer realm="http://HOST/token"`)(h, w, r)
	}},
}

// operations are what a registry is asked.
var operations = map[string]func(ctx context.Context, t *testing.T, r *Registry) error{
	"log in": func(ctx context.Context, _ *testing.T, r *Registry) error { return r.Check(ctx) },
	"resolve": func(ctx context.Context, _ *testing.T, r *Registry) error {
		_, err := r.Resolve(ctx, "web", Latest)
		return err
	},
	"digest": func(ctx context.Context, _ *testing.T, r *Registry) error {
		_, err := r.Digest(ctx, "web", Latest)
		return err
	},
	"choose": func(ctx context.Context, _ *testing.T, r *Registry) error {
		_, _, err := r.Choose(ctx, "web", Latest)
		return err
	},
	"pull": func(ctx context.Context, t *testing.T, r *Registry) error {
		_, err := r.Pull(ctx, "web", Latest, newStore(t))
		return err
	},
	"tags":   func(ctx context.Context, _ *testing.T, r *Registry) error { _, err := r.Tags(ctx, "web"); return err },
	"images": func(ctx context.Context, _ *testing.T, r *Registry) error { _, err := r.Images(ctx); return err },
	"record": func(ctx context.Context, _ *testing.T, r *Registry) error {
		_, err := r.FetchArtifact(ctx, "web", "record", recordType)
		return err
	},
	"push": func(ctx context.Context, t *testing.T, r *Registry) error {
		store := newStore(t)
		desc, _ := newImage(t, store)
		_, err := r.Push(ctx, "web", desc, store, PushOptions{Tags: []string{noonTag}})
		return err
	},
	"delete": func(ctx context.Context, _ *testing.T, r *Registry) error { return r.Delete(ctx, "web", Latest) },
}

// What a hostile registry answers ends as one error that names the registry and
// is short and printable, after few requests and few bytes; or, where the answer
// is next to the question, as the right result. Never is a login sent elsewhere.
func TestHostileRegistry(t *testing.T) {
	// What is right all the same.
	fine := func(h *hostile, operation, name string) bool {
		switch operation {
		case "log in":
			return h.greeted.Load()
		case "delete": // whatever the answer is, beyond that it is one
			return name == "garbage" || name == "HTML" || name == "nothing"
		}
		return false
	}
	tried := 0
	for name, test := range hostileAnswers {
		for operation, run := range operations {
			tried++
			t.Run(operation+"/"+name, func(t *testing.T) {
				t.Parallel()
				h := newHostile(t, test.answer)
				r := open(t, Options{Hostname: h.Listener.Addr().String(), Username: "user", Password: "canary-password", Attempts: 3})
				err := run(t.Context(), t, r)
				h.check(t, r, err, test.err, fine(h, operation, name))
			})
		}
	}
	t.Logf("%d kinds of answers x %d operations = %d tried", len(hostileAnswers), len(operations), tried)
}

// check is what holds after each hostile answer.
func (h *hostile) check(t *testing.T, r *Registry, err error, want string, mayBeFine bool) {
	t.Helper()
	if n := h.requests.Load(); n > 60 {
		t.Errorf("%d requests", n)
	}
	// Of a body without end, what lies in the buffers of the connection is sent
	// besides what is read.
	if n := h.bytes.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	if err == nil {
		if !mayBeFine {
			t.Errorf("no error, want one about %q", want)
		}
		return
	}
	text := err.Error()
	if !mayBeFine && !strings.Contains(text, want) {
		t.Errorf("error %q, want one about %q", text, want)
	}
	if !strings.Contains(text, r.Address()) {
		t.Errorf("the error does not name the registry: %q", text)
	}
	if strings.ContainsAny(text, "\x1b\x07\x00") || len(text) > 3*maxText {
		t.Errorf("an error of %d bytes: %.300q", len(text), text)
	}
	if strings.Contains(text, "canary") {
		t.Errorf("the password shows: %.300q", text)
	}
}

// Documents that are hostile in what they say.
func TestHostileManifest(t *testing.T) {
	image := func(mutate func(*ocispec.Manifest)) answer {
		return sends(ocispec.MediaTypeImageManifest, manifestJSON(mutate))
	}
	layer := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("x"), Size: 1}
	tests := map[string]struct {
		answer answer
		err    string
	}{
		"no layers":             {image(func(m *ocispec.Manifest) { m.Layers = nil }), "it has no layers"},
		"a layer of -1 bytes":   {image(func(m *ocispec.Manifest) { m.Layers[0].Size = -1 }), "of -1 bytes"},
		"a layer of 2^62 bytes": {image(func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 62 }), "more than 256 GiB"},
		"sizes that overflow": {image(func(m *ocispec.Manifest) {
			layer := layer
			layer.Size = 1<<63 - 1
			m.Layers = []ocispec.Descriptor{layer, layer, layer}
		}), "more than 256 GiB"},
		"a configuration of a gigabyte": {image(func(m *ocispec.Manifest) { m.Config.Size = 1 << 30 }), "the configuration has 1073741824 bytes"},
		"10,000 layers": {image(func(m *ocispec.Manifest) {
			m.Layers = slicesRepeat(layer, 10_000)
		}), "10000 layers, at most 500"},
		"a digest that is none":        {image(func(m *ocispec.Manifest) { m.Layers[0].Digest = "sha256:../../etc/passwd" }), "sha256:../../etc/passwd"},
		"an unknown algorithm":         {image(func(m *ocispec.Manifest) { m.Layers[0].Digest = "md5:00" }), "md5:00"},
		"an artifact":                  {image(func(m *ocispec.Manifest) { m.Config = ocispec.DescriptorEmptyJSON }), "artifact"},
		"layers of another type":       {image(func(m *ocispec.Manifest) { m.Layers[0].MediaType = "text/html" }), "text/html"},
		"not an object":                {sends(ocispec.MediaTypeImageManifest, []byte("[]")), "not a manifest"},
		"another media type":           {sends("text/html", manifestJSON(func(*ocispec.Manifest) {})), "text/html"},
		"schema 1":                     {sends("application/vnd.docker.distribution.manifest.v1+json", []byte(`{}`)), "schema 1"},
		"deep JSON":                    {sends(ocispec.MediaTypeImageManifest, bytes.Repeat([]byte("["), 1<<20)), "not a manifest"},
		"an index in an index":         {nests(), "more than 3 deep"},
		"an index of 15,000":           {sends(ocispec.MediaTypeImageIndex, bigIndex()), "and 14990 more"},
		"an empty index":               {sends(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2}`)), "no image for linux/amd64"},
		"an index that is none":        {sends(ocispec.MediaTypeImageIndex, []byte(`{"manifests":7}`)), "cannot unmarshal"},
		"a child that is not there":    {sends(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[{"digest":"sha256:`+strings.Repeat("0", 64)+`"}]}`)), "does not match requested digest"},
		"a child whose digest is none": {sends(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[{"digest":"sha256:00"}]}`)), "wrong number of hex digits"},
		"a manifest of 5 MiB": {image(func(m *ocispec.Manifest) {
			m.Annotations = map[string]string{"x": strings.Repeat("x", 5<<20)}
		}), "more than 4194304 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t, test.answer)
			r := open(t, Options{Hostname: h.Listener.Addr().String(), Architecture: "amd64", Attempts: 3})
			_, _, err := r.Choose(t.Context(), "web", Latest)
			if err == nil {
				t.Fatal("no error")
			}
			h.check(t, r, err, test.err, false)
		})
	}
	t.Logf("%d hostile manifests", len(tests))
}

func slicesRepeat(d ocispec.Descriptor, n int) []ocispec.Descriptor {
	all := make([]ocispec.Descriptor, n)
	for i := range all {
		all[i] = d
	}
	return all
}

// A blob that is not what its manifest says.
func TestHostileBlob(t *testing.T) {
	m := manifestJSON(func(*ocispec.Manifest) {})
	for name, test := range map[string]struct {
		blob func(w http.ResponseWriter, r *http.Request)
		err  string
	}{
		"without end":   {func(w http.ResponseWriter, _ *http.Request) { flood(w, "") }, "the blob is longer than the"},
		"shorter":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, "short read"},
		"of other text": {func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), blobSize(r))) }, "content does not match its digest"},
		"of another place": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7-11/12")
			w.WriteHeader(http.StatusPartialContent)
		}, "another part of the blob"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, func(h *hostile, w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/blobs/") {
					test.blob(w, r)
					return
				}
				sends(ocispec.MediaTypeImageManifest, m)(h, w, r)
			})
			r := open(t, Options{Hostname: h.Listener.Addr().String(), Architecture: "amd64", Attempts: 3})
			_, err := r.Pull(t.Context(), "web", Latest, newStore(t))
			if err == nil {
				t.Fatal("no error")
			}
			h.check(t, r, err, test.err, false)
		})
	}
}

// A registry that sends, or takes, as little as it may does not hold a run for ever.
func TestImageTime(t *testing.T) {
	m := manifestJSON(func(*ocispec.Manifest) {})
	for operation, there := range map[string]bool{"pull": true, "push": false} {
		t.Run(operation, func(t *testing.T) {
			h := newHostile(t, func(h *hostile, w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.Contains(r.URL.Path, "/blobs/"):
					<-r.Context().Done()
				case there || !strings.Contains(r.URL.Path, "/manifests/"):
					sends(ocispec.MediaTypeImageManifest, m)(h, w, r)
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			})
			r := open(t, Options{Hostname: h.Listener.Addr().String(), Architecture: "amd64", limits: limits{transfer: 200 * time.Millisecond}})
			err := operations[operation](t.Context(), t, r)
			h.check(t, r, err, "the image took more than 200ms", false)
		})
	}
}

// blobSize is how long the blob of manifestJSON is that is asked for.
func blobSize(r *http.Request) int {
	if strings.HasSuffix(r.URL.Path, digest.FromString("layer").String()) {
		return len("layer")
	}
	return len(`{"os":"linux","architecture":"amd64"}`)
}

// A list of tags, or of images, ends, whatever the links between its pages say.
func TestHostileList(t *testing.T) {
	page := func(link, tags string) answer {
		n := 0
		return greets(func(h *hostile, w http.ResponseWriter, r *http.Request) {
			n++
			link := strings.ReplaceAll(link, "HOST", h.Listener.Addr().String())
			w.Header().Set("Link", strings.ReplaceAll(link, "NUMBER", fmt.Sprint(n)))
			fmt.Fprintf(w, `{"tags":[%s],"repositories":[%[1]s]}`, tags)
		})
	}
	for name, test := range map[string]struct {
		answer   answer
		err      string
		requests int64
	}{
		"to itself":         {page(`</v2/web/tags/list?last=a>; rel="next"`, `"a"`), "leads back", 4},
		"without end":       {page(`</v2/web/tags/list?last=NUMBER>; rel="next"`, `"a"`), "more than 10 pages", 13},
		"empty, no end":     {page(`</v2/web/tags/list?last=NUMBER>; rel="next"`, ``), "more than 10 pages", 13},
		"too many":          {page(`</v2/web/tags/list?last=NUMBER>; rel="next"`, strings.Repeat(`"a",`, 30)+`"a"`), "more than 100 entries", 6},
		"to another host":   {page(`<http://192.0.2.1/v2/web/tags/list>; rel="next"`, `"a"`), "host", 2},
		"to another scheme": {page(`<file:///etc/shadow>; rel="next"`, `"a"`), "scheme", 2},
		"garbage":           {page("x>;<", `"a"`), "link", 2},
	} {
		t.Run(name, func(t *testing.T) {
			for operation, run := range map[string]string{"tags": "tags", "images": "images"} {
				h := newHostile(t, test.answer)
				r := open(t, Options{Hostname: h.Listener.Addr().String(), Attempts: 1, limits: limits{pages: 10, entries: 100}})
				err := operations[run](t.Context(), t, r)
				if err == nil {
					t.Fatalf("%s: no error", operation)
				}
				h.check(t, r, err, test.err, false)
				if n := h.requests.Load(); n > test.requests {
					t.Errorf("%s: %d requests, want at most %d", operation, n, test.requests)
				}
			}
		})
	}
	t.Run("names that are none", func(t *testing.T) {
		h := newHostile(t, greets(func(_ *hostile, w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"tags":["\u001b[2J"],"repositories":["\u001b[2J","web","../x"]}`)
		}))
		r := open(t, Options{Hostname: h.Listener.Addr().String(), Attempts: 1})
		_, err := r.Tags(t.Context(), "web")
		h.check(t, r, err, "is listed as a tag", false)
		images, err := r.Images(t.Context())
		if diff := cmp.Diff([]string{"web"}, images); err != nil || diff != "" {
			t.Errorf("images (-want +got): %v\n%s", err, diff)
		}
	})
}

// Another server gets no login, and nothing on this machine is reached by way of
// a registry elsewhere.
func TestLoginStaysWithItsRegistry(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Header.Get("Authorization")+string(body))
		w.WriteHeader(http.StatusNotFound)
	}))
	defer other.Close()
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	for name, realm := range map[string]string{"basic": `Basic realm="x"`, "bearer": `Bearer realm="http://HOST/token"`} {
		t.Run(name, func(t *testing.T) {
			got = nil
			h := newHostile(t, func(h *hostile, w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/token" || r.Header.Get("Authorization") != "" && strings.Contains(r.URL.Path, "/manifests/"):
					http.Redirect(w, r, elsewhere+"/x", http.StatusTemporaryRedirect)
				case r.Header.Get("Authorization") == "":
					challenges(realm)(h, w, r)
				}
			})
			r := open(t, Options{Hostname: h.Listener.Addr().String(), Username: "user", Password: "canary", Attempts: 1})
			if _, err := r.Resolve(t.Context(), "web", Latest); err == nil {
				t.Error("no error")
			}
			if len(got) == 0 {
				t.Error("the other server was not reached: this test proves nothing")
			}
			for _, login := range got {
				if login != "" {
					t.Errorf("the other server got %q", login)
				}
			}
		})
	}
}

// limiter is a registry that says how long to wait, as its window is.
type limiter struct {
	until   time.Time
	header  func(left time.Duration) string
	refused int
}

func (l *limiter) RoundTrip(request *http.Request) (*http.Response, error) {
	left := time.Until(l.until)
	response := &http.Response{StatusCode: http.StatusOK, Request: request, Header: http.Header{}, Body: http.NoBody}
	if left > 0 {
		l.refused++
		response.StatusCode = http.StatusTooManyRequests
		response.Header.Set("Retry-After", l.header(left))
	}
	return response, nil
}

// A registry that says how long to wait is obeyed, in seconds and by a date; the
// user hears of it once.
func TestRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		window, least time.Duration
		header        func(left time.Duration) string
		err           string
		refused       int
	}{
		"seconds": {window: 20 * time.Second, least: 20 * time.Second, refused: 1,
			header: func(left time.Duration) string { return fmt.Sprint(int(left.Seconds()) + 1) }},
		"a date": {window: 10 * time.Minute, least: 10 * time.Minute, refused: 1,
			header: func(left time.Duration) string {
				return time.Now().Add(left + time.Second).UTC().Format(http.TimeFormat)
			}},
		"nothing": {window: time.Minute, least: time.Minute, refused: 10, header: func(time.Duration) string { return "" }},
		"a day": {window: 24 * time.Hour, refused: 1, err: "the server asks to wait 24h",
			header: func(time.Duration) string { return "86400" }},
		"for ever, without a word": {window: 24 * time.Hour, refused: triesKnown, err: "tried 12 times",
			header: func(time.Duration) string { return "" }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				r := newRegistryOf(&log)
				l := &limiter{until: time.Now().Add(test.window), header: test.header}
				b := &bounded{RoundTripper: l, limits: r.limits, answered: &r.answered}
				began := time.Now()
				err := r.do(t.Context(), "asking", func(ctx context.Context) error { return ask(ctx, b) })
				took := time.Since(began)
				if test.err == "" && (err != nil || took < test.least || took > test.least+2*time.Minute) {
					t.Errorf("after %v: %v", took, err)
				}
				if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || took > 10*time.Minute) {
					t.Errorf("after %v: %v, want an error about %q", took, err, test.err)
				}
				if l.refused > test.refused {
					t.Errorf("refused %d times, want at most %d", l.refused, test.refused)
				}
				if n := strings.Count(log.String(), "asks to wait"); n > 1 || test.err == "" && test.refused == 1 && n != 1 {
					t.Errorf("logged %d times: %s", n, log.String())
				}
			})
		})
	}
}

func newRegistryOf(log io.Writer) *Registry {
	r := &Registry{secrets: &secrets{}, backoff: 500 * time.Millisecond, limits: limits{}.withDefaults(),
		log: slog.New(slog.NewTextHandler(log, nil))}
	r.host, r.project, _ = parseHostname("registry.example")
	return r
}

func ask(ctx context.Context, by http.RoundTripper) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.example/v2/x/manifests/y", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: by}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return transport.CheckError(response, http.StatusOK)
}

// gzipBomb is 64 MiB of text, compressed.
var gzipBomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, `{"tags":["`)
	for range 64 {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
	}
	w.Close()
	return b.Bytes()
})

// Whatever a registry answers as a manifest or an index is refused or understood.
func FuzzAnswers(f *testing.F) {
	f.Add(ocispec.MediaTypeImageManifest, manifestJSON(func(*ocispec.Manifest) {}))
	f.Add(ocispec.MediaTypeImageManifest, manifestJSON(func(m *ocispec.Manifest) { m.Layers = nil }))
	f.Add(ocispec.MediaTypeImageManifest, manifestJSON(func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 62 }))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[{"digest":"sha256:00","platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}`))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[{"digest":"","platform":{"os":"linux","architecture":"amd64"}},{"platform":{}}]}`))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[{}]}`))
	r := newRegistryOf(io.Discard)
	r.platform = &v1.Platform{OS: "linux", Architecture: "amd64"}
	f.Fuzz(func(t *testing.T, mediaType string, document []byte) {
		if !isObject(document) {
			return
		}
		if chosen, err := r.choosePlatform(document); err == nil && chosen.Validate() != nil {
			t.Errorf("chose %q", chosen)
		} else if err != nil && len(err.Error()) > 2*maxText {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		m, err := parseManifest(ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(document)}, document)
		if err != nil || m.checkBounds() != nil || m.checkLayers() != nil {
			return
		}
		if n := len(m.blobs); n < 2 || n > maxLayers+1 {
			t.Errorf("%d blobs passed", n)
		}
	})
}

func FuzzParseSource(f *testing.F) {
	for _, seed := range []string{"debian", "debian:12", "registry.example:5000/a/b@sha256:" + strings.Repeat("0", 64), "[::1]:5000/x", "a//b", "UPPER", "../x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSource(text)
		if err != nil {
			return
		}
		if again, err := ParseSource(s.String()); err != nil || again != s {
			t.Errorf("%+v reads back as %+v (%v)", s, again, err)
		}
	})
}

// What a registry says is printed without anything that a terminal acts on.
func FuzzClean(f *testing.F) {
	f.Add("\x1b[2J\x07\x00\u202e\xff")
	f.Add(strings.Repeat("é", maxText))
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text)
		if len(got) > maxText+50 || strings.ContainsFunc(got, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f }) {
			t.Errorf("%q", got)
		}
	})
}
