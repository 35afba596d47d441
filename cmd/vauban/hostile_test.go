package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/drift"
	"vauban/internal/beneath"
	"vauban/internal/hostile"
	"vauban/pipeline/provenance"
)

// TestHostileRoots compares and reads roots in which every file is hostile.
// Each command ends, with an error that names the file or as if the image did
// not have it, and shows nothing of the builder.
func TestHostileRoots(t *testing.T) {
	top := t.TempDir()
	secret := filepath.Join(top, "secret")
	if err := os.WriteFile(secret, []byte(hostile.Secret), 0o644); err != nil {
		t.Fatal(err)
	}
	names := []string{"etc/hosts", "etc/passwd", "usr/lib/os-release", "boot/grub/grub.cfg", "var/lib/dpkg/status"}
	tried := 0
	kinds := hostile.Kinds(secret)
	for _, k := range kinds {
		dir := filepath.Join(top, k.Name)
		for _, name := range append(names, "imginfo") {
			if err := hostile.Plant(dir, name, k); err != nil {
				t.Fatal(err)
			}
		}
		tried += 1 + 2*len(names)
		_, err := provenance.HistoryIn(t.Context(), dir)
		wantRefused(t, k, err)
		root, err := beneath.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		changed, err := changesIn(t.Context(), root, bytes.NewReader(textsAt(t, names)))
		if err != nil || len(changed) != len(names) {
			t.Errorf("diff, %s: %d changes, %v", k.Name, len(changed), err)
		}
		drifted, err := drift.Compare(t.Context(), root, bytes.NewReader(textsAt(t, names)), drift.Options{Diff: true})
		if err != nil || len(drifted) != len(names) {
			t.Errorf("drift, %s: %d changes, %v", k.Name, len(drifted), err)
		}
		var out bytes.Buffer
		if err := errors.Join(printChanges(&out, "text", changed), printDrift(&out, "text", drifted), root.Close()); err != nil {
			t.Error(err)
		}
		if strings.Contains(out.String(), "builder's") {
			t.Errorf("%s: a file of the builder is shown:\n%s", k.Name, out.String())
		}
	}
	t.Logf("hostile files: %d kinds, %d reads", len(kinds), tried)
}

func wantRefused(t *testing.T, k hostile.Kind, err error) {
	t.Helper()
	if !errors.Is(err, beneath.ErrRefused) && !(k.Missing && errors.Is(err, fs.ErrNotExist)) {
		t.Errorf("%s: %v", k.Name, err)
	}
}

// textsAt is the tar of a small text at each name.
func textsAt(t *testing.T, names []string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 5, Uid: os.Getuid(), Gid: os.Getgid()}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("text\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
