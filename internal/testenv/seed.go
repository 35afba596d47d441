package testenv

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/filelock"
	"vauban/layers"
	"vauban/layers/daemon"
)

// Kind is one of the bases.
type Kind string

const (
	// Whole is what [BaseTar] has.
	Whole Kind = "whole"
	// Lean is the whole base without what apt and people need: half of it.
	Lean Kind = "lean"
)

// seedImage names the base in a seed.
const seedImage = "testenv/base"

// seedLife is how long a seed that nobody makes any more is kept.
const seedLife = 24 * time.Hour

// Where a seed has what [Plant] gives, and where snapshots belong.
const (
	seedRoot      = "containerd"
	seedSnapshots = "snapshots"
	overlayDir    = "io.containerd.snapshotter.v1.overlayfs"
)

// Plant gives a state directory that no engine was opened on yet what an
// engine has there after it imported the base: [Base] finds it. The files of
// the root filesystem are links, which nothing may write to: as lower files of
// overlay mounts they are read-only. All else is the state directory's own.
func Plant(t testing.TB, stateDir string, kind Kind) {
	t.Helper()
	lock, err := filelock.Open(t.Context(), filepath.Join(SharedDir(t), "seed.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	from, root := seed(t, kind), filepath.Join(stateDir, "containerd")
	err = copyTree(t.Context(), filepath.Join(from, seedRoot), root)
	if err == nil {
		snapshots := filepath.Join(root, overlayDir, "snapshots")
		if err = copyTree(t.Context(), filepath.Join(from, seedSnapshots), snapshots, "--link"); err != nil {
			// The state directory is on another disk.
			err = errors.Join(os.RemoveAll(snapshots), copyTree(t.Context(), filepath.Join(from, seedSnapshots), snapshots))
		}
	}
	if err != nil {
		t.Fatalf("copying a base: %v", err)
	}
}

func copyTree(ctx context.Context, from, to string, options ...string) error {
	args := append([]string{"--archive", "--no-target-directory"}, append(options, "--", from, to)...)
	if out, err := exec.CommandContext(ctx, "cp", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// seed is the folder with what a containerd has that imported the base. The
// caller holds the lock.
func seed(t testing.TB, kind Kind) string {
	t.Helper()
	base := BaseTar(t)
	path := filepath.Join(SharedDir(t), "seed-"+string(kind)+"-"+seedKey(t, base))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	removeOldSeeds(t)
	dir, err := os.MkdirTemp(SharedDir(t), "new-seed-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	state, whole := filepath.Join(dir, "state"), filepath.Join(dir, "seed")
	if err := growSeed(t.Context(), state, base, kind); err != nil {
		t.Fatalf("making a base to copy: %v", err)
	}
	err = errors.Join(os.Mkdir(whole, 0o700),
		os.Rename(filepath.Join(state, "containerd"), filepath.Join(whole, seedRoot)),
		os.Rename(filepath.Join(whole, seedRoot, overlayDir, "snapshots"), filepath.Join(whole, seedSnapshots)),
		os.Rename(whole, path))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// seedKey digests what a seed depends on: the base, and the code of the engine.
func seedKey(t testing.TB, base string) string {
	t.Helper()
	info, err := os.Stat(base)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	fmt.Fprintln(sum, filepath.Base(base), info.Size(), info.ModTime().UnixNano())
	top := moduleDir(t)
	for _, pattern := range []string{"go.sum", "layers/*.go", "layers/*/*.go", "internal/testenv/*.go"} {
		files, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("looking for %s: %v", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(sum, "%s %d\n%s", strings.TrimPrefix(file, top), len(text), text)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:6])
}

// moduleDir is where go.mod is: go test runs each test in its package's folder.
func moduleDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("this test does not run in the module's folder")
		}
		dir = filepath.Dir(dir)
	}
}

// removeOldSeeds leaves those of other working copies alone for a day.
func removeOldSeeds(t testing.TB) {
	t.Helper()
	for _, pattern := range []string{"seed-*-*", "new-seed-*"} {
		paths, err := filepath.Glob(filepath.Join(SharedDir(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > seedLife {
				os.RemoveAll(path)
			}
		}
	}
}

// growSeed makes a state directory with the base, and ends its containerd.
func growSeed(ctx context.Context, dir, base string, kind Kind) error {
	if err := importSeed(ctx, dir, base, kind); err != nil {
		return err
	}
	release, err := daemon.Alone(ctx, dir)
	if err != nil {
		return err
	}
	return release()
}

func importSeed(ctx context.Context, dir, base string, kind Kind) (err error) {
	e, err := layers.Open(ctx, layers.Options{StateDir: dir, Embedded: true, Version: "test"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	img, err := importBase(ctx, e, base, kind)
	if err != nil {
		return err
	}
	return e.SetImage(ctx, seedImage, img)
}

func importBase(ctx context.Context, e *layers.Engine, base string, kind Kind) (layers.Image, error) {
	file, err := os.Open(base)
	if err != nil {
		return layers.Image{}, err
	}
	defer file.Close()
	var tar io.Reader = file
	if kind == Lean {
		read, write := io.Pipe()
		defer read.Close()
		go func() { write.CloseWithError(thin(write, file)) }()
		tar = read
	}
	return e.ImportRootfs(ctx, tar, ocispec.ImageConfig{}, layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "mmdebstrap"})
}

// leftOut are the folders of the whole base that are empty in the lean one.
var leftOut = []string{"usr/share/", "var/cache/", "usr/lib/systemd/", "var/lib/apt/lists/"}

func thin(w io.Writer, whole io.Reader) error {
	out := tar.NewWriter(w)
	for in := tar.NewReader(whole); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		} else if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeDir && isLeftOut(strings.TrimPrefix(h.Name, "./")) {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

func isLeftOut(name string) bool {
	for _, dir := range leftOut {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return false
}
