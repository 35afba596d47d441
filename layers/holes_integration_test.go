//go:build integration

package layers_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHolesAreMadeAgain: a layer holds the holes of sparse files as zeros, and a
// machine that unpacks it gets holes, not gigabytes.
func TestHolesAreMadeAgain(t *testing.T) {
	e, base := shared.use(t)
	img := applyOne(t, e, `cd /srv
printf begin >sparse && truncate -s 1G sparse && printf end >>sparse
head -c 8M /dev/zero >zeros
head -c 2M /dev/urandom >dense && cp dense dense-copy
ln sparse linked
touch -d @1234567890 sparse zeros dense`, target("sparse", base))
	if err := errors.Join(e.Pack(t.Context(), base, img), e.Collect(t.Context())); err != nil {
		t.Fatal(err)
	}
	if packed := unpackedFiles(t, "sparse"); len(packed) > 0 {
		t.Fatalf("not packed: %q", packed)
	}
	read(t, e, img, "srv/zeros")
	for name, want := range map[string]struct{ size, most int64 }{
		"sparse": {1<<30 + 3, 1 << 20}, "linked": {1<<30 + 3, 1 << 20}, "zeros": {8 << 20, 64 << 10}, "dense": {2 << 20, 3 << 20},
	} {
		found := unpackedFiles(t, name)
		if len(found) != 1 {
			t.Fatalf("%s is at %q", name, found)
		}
		var st unix.Stat_t
		if err := unix.Stat(found[0], &st); err != nil {
			t.Fatal(err)
		}
		if st.Size != want.size || st.Blocks*512 > want.most {
			t.Errorf("%s has %d bytes, %d on disk; want %d, at most %d", name, st.Size, st.Blocks*512, want.size, want.most)
		}
		if at := time.Unix(st.Mtim.Unix()); !at.Equal(time.Unix(1234567890, 0)) {
			t.Errorf("%s is of %v", name, at)
		}
	}
	f, err := os.Open(unpackedFiles(t, "sparse")[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, want := range map[int64]string{0: "begin\x00", 1<<30 - 2: "\x00\x00end"} {
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, at); err != nil && !errors.Is(err, io.EOF) || string(got) != want {
			t.Errorf("at %d: %q, want %q, %v", at, got, want, err)
		}
	}
	dense, err := os.ReadFile(unpackedFiles(t, "dense")[0])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(unpackedFiles(t, "dense-copy")[0]); err != nil || !bytes.Equal(dense, again) {
		t.Errorf("dense differs from its copy, %v", err)
	}
}

// unpackedFiles are those of a name below /srv in all snapshots.
func unpackedFiles(t *testing.T, name string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(shared.dir, "containerd", "io.containerd.snapshotter.v1.overlayfs", "snapshots", "*", "fs", "srv", name))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
