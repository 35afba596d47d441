package registry

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestTimestampTags(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	store := newStore(t)
	one, _ := newImage(t, store)
	two, _ := newImage(t, store)
	mustPush(t, r, "web", one, store, PushOptions{Tags: []string{noonTag, Latest}})
	mustPush(t, r, "web", one, store, PushOptions{Tags: []string{noonTag}}) // the same again is fine

	if _, err := r.Push(t.Context(), "web", two, store, PushOptions{Tags: []string{noonTag}}); !errors.Is(err, ErrTagMoved) {
		t.Errorf("pushing another image with the same timestamp: %v, want ErrTagMoved", err)
	}
	if err := r.Tag(t.Context(), "web", two, noonTag); !errors.Is(err, ErrTagMoved) {
		t.Errorf("tagging another image with the same timestamp: %v, want ErrTagMoved", err)
	}
	wantTag(t, r, "web", noonTag, one.Digest)

	free, err := r.FreeTimestamp(t.Context(), noon, "web", "absent")
	if err != nil || free != laterTag {
		t.Errorf("free timestamp is %q (%v), want %q", free, err, laterTag)
	}
	mustPush(t, r, "web", two, store, PushOptions{Tags: []string{free, Latest}})
	wantTag(t, r, "web", Latest, two.Digest)
}

func TestFreeTimestampFollowsClocksAhead(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	store := newStore(t)
	for _, ahead := range []time.Duration{time.Minute, 24 * time.Hour} {
		desc, _ := newImage(t, store)
		mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{Timestamp(noon.Add(ahead))}})
	}
	free, err := r.FreeTimestamp(t.Context(), noon, "web")
	if want := Timestamp(noon.Add(time.Minute + time.Second)); err != nil || free != want {
		t.Errorf("free timestamp is %q (%v), want %q", free, err, want)
	}
}

func TestLatestNeverGoesBack(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	store := newStore(t)
	older, _ := newImage(t, store)
	newer, _ := newImage(t, store)
	mustPush(t, r, "web", newer, store, PushOptions{Tags: []string{laterTag, Latest}})

	got := mustPush(t, r, "web", older, store, PushOptions{Tags: []string{noonTag, Latest}})
	if diff := cmp.Diff([]string{noonTag}, got.Tags); diff != "" {
		t.Errorf("tags of the older image (-want +got):\n%s", diff)
	}
	wantTag(t, r, "web", Latest, newer.Digest)
	if err := r.Tag(t.Context(), "web", older, Latest); err != nil {
		t.Fatal(err)
	}
	wantTag(t, r, "web", Latest, newer.Digest)

	mustPush(t, r, "web", older, store, PushOptions{Tags: []string{"deployed"}})
	wantTag(t, r, "web", "deployed", older.Digest)
	mustPush(t, r, "plain", older, store, PushOptions{Tags: []string{Latest}})
	mustPush(t, r, "plain", newer, store, PushOptions{Tags: []string{Latest}})
	wantTag(t, r, "plain", Latest, newer.Digest)
}

// Two machines: between the last look of the slow one and its write of
// "latest", the fast one pushes a newer image from beginning to end.
func TestLatestIsRepairedAfterARace(t *testing.T) {
	store := newStore(t)
	older, _ := newImage(t, store)
	newer, _ := newImage(t, store)
	var fast *Registry
	var raced atomic.Bool
	address := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.Method == http.MethodPut && strings.HasSuffix(request.URL.Path, "/manifests/"+Latest) {
				if !raced.Swap(true) {
					_, err := fast.Push(t.Context(), "web", newer, store, PushOptions{Tags: []string{laterTag, Latest}})
					if err != nil {
						t.Error(err)
					}
				}
			}
			next.ServeHTTP(w, request)
		})
	})
	fast = open(t, Options{Hostname: address})
	slow := open(t, Options{Hostname: address})

	got := mustPush(t, slow, "web", older, store, PushOptions{Tags: []string{noonTag, Latest}})
	if diff := cmp.Diff([]string{noonTag}, got.Tags); diff != "" {
		t.Errorf("tags of the slow machine (-want +got):\n%s", diff)
	}
	wantTag(t, slow, "web", Latest, newer.Digest)
}

func TestRunsOnOneStateDir(t *testing.T) {
	dir, store := t.TempDir(), newStore(t)
	var group sync.WaitGroup
	newest := ""
	for i := range 6 {
		desc, _ := newImage(t, store)
		newest = desc.Digest.String()
		r := open(t, Options{StateDir: dir})
		group.Go(func() {
			tags := []string{Timestamp(noon.Add(time.Duration(i) * time.Second)), Latest}
			if _, err := r.Push(t.Context(), "web", desc, store, PushOptions{Tags: tags}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	r := open(t, Options{StateDir: dir})
	got, err := r.Resolve(t.Context(), "web", Latest)
	if err != nil || got.Digest.String() != newest {
		t.Errorf("latest is %s (%v), want the newest, %s", got.Digest, err, newest)
	}
	if tags, err := r.Tags(t.Context(), "web"); err != nil || len(tags) != 7 {
		t.Errorf("tags %q (%v), want 7", tags, err)
	}
}

// A run that was killed has set its timestamp, but not "latest"; the next one
// makes what was there before again.
func TestLatestAfterAKilledPush(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	store := newStore(t)
	before, _ := newImage(t, store)
	killed, _ := newImage(t, store)
	mustPush(t, r, "web", before, store, PushOptions{Tags: []string{noonTag, Latest}})
	mustPush(t, r, "web", killed, store, PushOptions{Tags: []string{laterTag}})

	third := Timestamp(noon.Add(time.Minute))
	got := mustPush(t, r, "web", before, store, PushOptions{Tags: []string{third, Latest}})
	if diff := cmp.Diff([]string{third, Latest}, got.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	wantTag(t, r, "web", Latest, before.Digest)
}

func TestDelete(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	store := newStore(t)
	desc, _ := newImage(t, store)
	mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{noonTag, Latest}})
	if err := r.Delete(t.Context(), "web", noonTag); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context(), "web", noonTag); !errdefs.IsNotFound(err) {
		t.Errorf("resolving a deleted tag: %v", err)
	}
	wantTag(t, r, "web", Latest, desc.Digest)
	if err := r.Delete(t.Context(), "web", noonTag); !errdefs.IsNotFound(err) {
		t.Errorf("deleting twice: %v", err)
	}
	if err := r.Delete(t.Context(), "web", desc.Digest.String()); err == nil {
		t.Error("deleting a digest takes all its tags along, and was not refused")
	}
}

func FuzzParseTimestamp(f *testing.F) {
	for _, tag := range []string{noonTag, Latest, "2026-11-20T211348", "2026-11-31T000000Z", "2026-11-20T21134Z", "2026-11-20T211348.5Z"} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		moment, ok := ParseTimestamp(tag)
		if ok && Timestamp(moment) != tag {
			t.Errorf("%q parses but is written %q", tag, Timestamp(moment))
		}
	})
}
