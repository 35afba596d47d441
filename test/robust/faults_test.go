//go:build integration

package robust

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hangUp breaks the connection without an answer, in the middle of what is
// sent.
func hangUp(rw http.ResponseWriter, request *http.Request) {
	_, _ = request.Body.Read(make([]byte, 1000)) // as far as it came
	conn, _, err := rw.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

// The registry fails in every way that one does.
func TestRegistryFails(t *testing.T) {
	s := newServer(t)
	w := s.on(bareWorld(t, t.TempDir()))
	w.importBase(t, s.address+"/fleet")
	rootfs := []string{"build", "one", "--stage", "rootfs", "--no-publish"}
	var requests atomic.Int64
	fault := func(answer func(n int64, rw http.ResponseWriter, request *http.Request) bool) {
		requests.Store(0)
		f := func(rw http.ResponseWriter, request *http.Request) bool {
			return answer(requests.Add(1), rw, request)
		}
		s.fault.Store(&f)
	}
	w.turn(t, 1)
	fault(func(int64, http.ResponseWriter, *http.Request) bool { return true })
	w.must(t, rootfs...)
	whole := requests.Load()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))

	for _, where := range []int64{1, 2 + random.Int64N(whole/2)} {
		t.Run("dead from request "+strconv.FormatInt(where, 10)+" of "+strconv.FormatInt(whole, 10), func(t *testing.T) {
			w.turn(t, int(10+where))
			fault(func(n int64, rw http.ResponseWriter, request *http.Request) bool {
				if n >= where {
					hangUp(rw, request)
				}
				return n < where
			})
			r := w.start(t, rootfs...)
			if code := r.code(); requests.Load() < where {
				t.Logf("it needed %d requests only", requests.Load())
			} else if code != 1 || !strings.Contains(r.said.String(), s.address) {
				t.Errorf("exit code %d, and it does not name the registry:\n%s", code, r.said)
			}
			s.fault.Store(nil)
			w.check(t)
			w.must(t, rootfs...)
			w.check(t)
			s.check(t)
		})
	}
	t.Run("in trouble now and then", func(t *testing.T) {
		w.turn(t, 2)
		fault(func(n int64, rw http.ResponseWriter, request *http.Request) bool {
			switch n % 12 {
			case 3:
				rw.WriteHeader(http.StatusServiceUnavailable)
			case 6:
				rw.Header().Set("Retry-After", "1")
				rw.WriteHeader(http.StatusTooManyRequests)
			case 9:
				hangUp(rw, request)
			case 11:
				time.Sleep(300 * time.Millisecond)
				return true
			default:
				return true
			}
			return false
		})
		w.must(t, rootfs...)
		s.fault.Store(nil)
		w.check(t)
		s.check(t)
	})
}

// size gives the tmpfs at dir so many free bytes.
func size(t *testing.T, dir string, free uint64) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	bytes := (st.Blocks-st.Bfree)*uint64(st.Bsize) + free
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size="+strconv.FormatUint(bytes, 10)); err != nil {
		t.Fatal(err)
	}
}

// disk mounts a tmpfs at dir.
func (w *world) disk(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=700"); err != nil {
		t.Fatal(err)
	}
	w.disks = append(w.disks, dir)
	t.Cleanup(func() {
		for _, d := range w.containerds(t) { // it lingers
			_ = syscall.Kill(d.pid, syscall.SIGTERM)
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// The disk is full, at the start, while squashfs is made, and while it is
// published: the run fails and says why, and with room the next one succeeds.
func TestFullDisk(t *testing.T) {
	w := bareWorld(t, t.TempDir())
	w.write(t, "lean.txt", "usr/bin/*\nusr/lib/python3*\n") // some 30 MiB are left
	w.disk(t, w.state)
	w.disk(t, w.pxe)
	w.importBase(t, "")
	w.must(t, build...)
	before := w.releases(t)
	const room = 1 << 30
	for i, tt := range []struct {
		name       string
		state, pxe uint64 // bytes that are free
	}{
		{"nothing can be written", 0, room},
		{"a little can be built", 1 << 20, room},
		{"no room for the squashfs", 8 << 20, room},
		{"no room in the tree", room, 64 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.turn(t, i+1)
			size(t, w.state, tt.state)
			size(t, w.pxe, tt.pxe)
			r := w.start(t, build...)
			if code := r.code(); code != 1 || !strings.Contains(strings.ToLower(r.said.String()), "no space left on device") {
				t.Errorf("exit code %d:\n%s", code, r.said)
			}
			size(t, w.state, room)
			size(t, w.pxe, room)
			for _, release := range glob(t, filepath.Join(w.pxe, "*/releases/*")) {
				if _, err := os.Stat(filepath.Join(release, "SHA256SUMS")); err != nil {
					t.Error(err)
				}
			}
			w.checkTree(t)
			if t.Failed() {
				t.Log(r.said)
			}
		})
	}
	w.must(t, build...)
	w.check(t)
	if after := w.releases(t); len(after) <= len(before) {
		t.Errorf("releases %q, before %q", after, before)
	}
}
