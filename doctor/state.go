// Package doctor checks what a state directory and a published tree hold.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/ansible/repository"
	"vauban/internal/damage"
	"vauban/internal/sealed"
	"vauban/layers/daemon"
	"vauban/layers/store"
	"vauban/pipeline/freshness"
	"vauban/registry"
	"vauban/release"
)

// Options say what is checked.
type Options struct {
	StateDir string
	// UploadDir is the published tree. Empty: none is checked.
	UploadDir string
	// Repair removes what is damaged and can be made again. Published releases
	// and the vault are never changed.
	Repair bool
}

// Check reads everything that a state directory keeps, and the published tree.
// Nothing else may use the directory meanwhile: daemon.ErrBusy when a run does. It
// returns what it found, repaired or not.
func Check(ctx context.Context, o Options) (found []damage.Finding, err error) {
	if _, err := os.Stat(o.StateDir); errors.Is(err, fs.ErrNotExist) {
		return checkReleases(o.UploadDir)
	}
	release, err := daemon.Alone(ctx, o.StateDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	for _, check := range []func(context.Context, string) ([]damage.Finding, error){
		func(ctx context.Context, dir string) ([]damage.Finding, error) { return store.In(dir).Check(ctx) },
		registry.CheckStorage, checkKernels, repository.CheckState, checkDownloads, checkRecords,
	} {
		some, err := check(ctx, o.StateDir)
		if err != nil {
			return found, fmt.Errorf("checking the state directory %q: %w", o.StateDir, err)
		}
		found = append(found, some...)
	}
	releases, err := checkReleases(o.UploadDir)
	if err != nil {
		return found, err
	}
	found = append(found, releases...)
	if o.Repair {
		return found, repair(found)
	}
	return found, nil
}

func repair(found []damage.Finding) error {
	var errs []error
	for _, f := range found {
		if f.Remove == nil {
			continue
		}
		if err := f.Remove(); err != nil {
			errs = append(errs, fmt.Errorf("repairing %s (%s): %w", f.What, f.Path, err))
		}
	}
	return errors.Join(errs...)
}

func checkKernels(ctx context.Context, stateDir string) ([]damage.Finding, error) {
	return sealed.Damaged(ctx, damage.Kernel, filepath.Join(stateDir, "kernels", "*"))
}

// checkDownloads compares each file with the digest that its folder is called
// by.
func checkDownloads(ctx context.Context, stateDir string) (found []damage.Finding, err error) {
	files, err := filepath.Glob(filepath.Join(stateDir, "downloads", "*", "file"))
	for _, file := range files {
		want := digest.Digest(strings.Replace(filepath.Base(filepath.Dir(file)), "-", ":", 1))
		if want.Validate() != nil {
			continue
		}
		damaged := store.CheckBlob(ctx, file, want)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if damaged != nil {
			found = append(found, damage.Finding{Kind: damage.Download, Path: file, Err: damaged,
				Remove: func() error { return os.Remove(file) }})
		}
	}
	return found, err
}

func checkRecords(_ context.Context, stateDir string) ([]damage.Finding, error) {
	return freshness.CheckRecords(stateDir)
}

// checkReleases reads all releases of a published tree. Machines boot them, so
// nothing of them is removed here.
func checkReleases(dir string) (found []damage.Finding, err error) {
	if dir == "" {
		return nil, nil
	}
	masters, err := release.Masters(dir)
	for _, master := range masters {
		releases, err := release.Releases(dir, master)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			found = append(found, damage.Finding{Kind: damage.Release, Path: filepath.Join(dir, master), Err: err})
		}
		for _, r := range releases {
			if err := r.Verify(); err != nil {
				found = append(found, damage.Finding{Kind: damage.Release, Path: r.Dir, Err: err})
			}
		}
	}
	return found, err
}
