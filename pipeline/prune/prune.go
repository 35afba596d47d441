// Package prune removes what nothing uses: old releases, images, tags, logs and
// caches.
package prune

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"vauban/layers"
	"vauban/registry"
	"vauban/release"
)

// PruneOptions say what [Prune] removes and from where.
type PruneOptions struct {
	Engine    *layers.Engine
	Registry  *registry.Registry
	StateDir  string
	UploadDir string
	Tree      release.TreeOptions
	// Masters whose releases are pruned.
	Masters []string
	// Keep is how many of the newest stay: releases of a master, timestamps of
	// an image.
	Keep int
	// Logs is how many of the newest runs keep their logs.
	Logs int
	// Unused is how long a cache is kept that no run uses.
	Unused time.Duration
	// DryRun removes nothing.
	DryRun bool
	// Removed is told of each thing that is removed: its kind and its name.
	Removed func(kind, name string)
}

// Pruned is what [Prune] did, besides what Removed was told.
type Pruned struct {
	// Freed is how many bytes less is used on disk, the published tree included.
	Freed int64
	// Busy shows that other runs are at work: but for releases all stayed.
	Busy bool
}

// Prune removes old releases, then what no release, no latest and no run
// uses: images and their snapshots here and in the embedded registry, logs and
// caches. Runs that start meanwhile wait.
func Prune(ctx context.Context, o PruneOptions) (pruned Pruned, err error) {
	p := pruner{PruneOptions: o}
	before, err := p.usage(ctx)
	if err != nil {
		return pruned, err
	}
	defer func() {
		after, failed := p.usage(ctx)
		pruned.Freed, err = before-after, errors.Join(err, failed)
	}()
	if err := p.releases(ctx); err != nil {
		return pruned, err
	}
	release, err := o.Engine.Alone(ctx)
	if errors.Is(err, layers.ErrBusy) {
		pruned.Busy = true
		return pruned, nil
	} else if err != nil {
		return pruned, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if p.used, err = p.inUse(); err != nil {
		return pruned, err
	}
	return pruned, errors.Join(p.images(ctx), p.registry(ctx), p.logs(), p.caches())
}

type pruner struct {
	PruneOptions
	gone []string               // releases, MASTER/TIMESTAMP
	used map[digest.Digest]bool // images of the others
}

func (p *pruner) releases(ctx context.Context) error {
	pruned, err := release.Prune(ctx, p.UploadDir, release.PruneOptions{Masters: p.Masters, Keep: p.Keep, DryRun: p.DryRun}, p.Tree)
	p.gone = pruned.Releases
	for _, name := range pruned.Releases {
		p.Removed("release", name)
	}
	for _, name := range pruned.Pool {
		p.Removed("kernel", name)
	}
	return err
}

// inUse are the images that the releases which are left were made of. One that
// cannot be read may use any.
func (p *pruner) inUse() (map[digest.Digest]bool, error) {
	used := map[digest.Digest]bool{}
	masters, err := release.Masters(p.UploadDir) // others' and former ones too
	if err != nil {
		return nil, fmt.Errorf("finding the images in use: %w", err)
	}
	for _, master := range masters {
		all, err := release.Releases(p.UploadDir, master)
		if errors.Is(err, fs.ErrNotExist) && len(all) == 0 {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("finding the images in use: %w", err)
		}
		for _, release := range all {
			if slices.Contains(p.gone, master+"/"+release.Timestamp) {
				continue // in a dry run it is still there
			}
			used[release.Rootfs.Image] = true
			for _, host := range release.Hosts {
				used[host.Image] = true
			}
		}
	}
	return used, nil
}

// old are those of an image's names that are neither among the newest nor of
// an image in use. Tags that are not timestamps stay.
func (p *pruner) old(named map[string]digest.Digest) (tags []string) {
	var stamps []string
	kept := map[digest.Digest]bool{}
	for tag, digest := range named {
		if _, ok := registry.ParseTimestamp(tag); ok {
			stamps = append(stamps, tag)
		} else if !strings.Contains(tag, ":") {
			kept[digest] = true
		}
	}
	slices.Sort(stamps)
	slices.Reverse(stamps)
	for _, stamp := range stamps[:min(p.Keep, len(stamps))] {
		kept[named[stamp]] = true
	}
	for _, stamp := range stamps[min(p.Keep, len(stamps)):] {
		if !p.used[named[stamp]] {
			tags = append(tags, stamp)
		}
	}
	for tag, digest := range named {
		// Pulled by its digest, for a release that is gone.
		if strings.Contains(tag, ":") && !p.used[digest] && !kept[digest] {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// images prunes containerd's names. What only they kept, snapshots as well, is
// collected before this returns.
func (p *pruner) images(ctx context.Context) error {
	records, err := p.Engine.Images(ctx)
	if err != nil {
		return fmt.Errorf("listing the images in containerd: %w", err)
	}
	names := map[string]map[string]digest.Digest{} // by image, by tag
	full := map[[2]string]string{}
	for _, record := range records {
		name, tag := registry.SplitReference(record.Name)
		if names[name] == nil {
			names[name] = map[string]digest.Digest{}
		}
		names[name][tag] = record.Target.Digest
		full[[2]string{name, tag}] = record.Name
	}
	var remove []string
	for name, named := range names {
		for _, tag := range p.old(named) {
			remove = append(remove, full[[2]string{name, tag}])
		}
	}
	slices.Sort(remove)
	for _, name := range remove {
		p.Removed("image", name)
	}
	if p.DryRun {
		return nil
	}
	return p.Engine.RemoveImages(ctx, remove...)
}

// registry prunes the embedded registry; another one has its own rules.
func (p *pruner) registry(ctx context.Context) error {
	if !p.Registry.Embedded() {
		return nil
	}
	names, err := p.Registry.Images(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := p.tags(ctx, name); err != nil {
			return err
		}
	}
	if p.DryRun {
		return nil
	}
	return p.Registry.Sweep(ctx)
}

func (p *pruner) tags(ctx context.Context, name string) error {
	all, err := p.Registry.Tags(ctx, name)
	if err != nil {
		return err
	}
	named := map[string]digest.Digest{}
	var dead []string // of runs that were killed as they set them
	for _, tag := range all {
		if _, ok := registry.ParseTimestamp(tag); !ok {
			continue
		}
		desc, err := p.Registry.Resolve(ctx, name, tag)
		if errdefs.IsNotFound(err) {
			dead = append(dead, tag)
			continue
		} else if err != nil {
			return err
		}
		named[tag] = desc.Digest
	}
	for _, tag := range append(dead, p.old(named)...) {
		p.Removed("tag", name+":"+tag)
		if p.DryRun {
			continue
		}
		if err := p.Registry.Delete(ctx, name, tag); err != nil {
			return err
		}
	}
	return nil
}

// logs removes those of the oldest runs.
func (p *pruner) logs() error {
	dir := filepath.Join(p.StateDir, "logs")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("listing logs: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		_, ok := registry.ParseTimestamp(e.Name())
		return !ok
	})
	for _, e := range entries[:max(0, len(entries)-p.Logs)] { // sorted by name
		if err := p.remove("log", filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// caches removes what no run has used for some time: each use sets the date.
func (p *pruner) caches() error {
	for _, pattern := range []string{"kernels/*", "galaxy/*", "cache/*", "downloads/*"} {
		found, err := filepath.Glob(filepath.Join(p.StateDir, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			info, err := os.Lstat(path)
			if err != nil || !info.IsDir() || filepath.Base(path)[0] == '.' || time.Since(info.ModTime()) < p.Unused {
				continue
			}
			if err := p.remove("cache", path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pruner) remove(kind, path string) error {
	name, err := filepath.Rel(p.StateDir, path)
	if err != nil {
		return err
	}
	p.Removed(kind, name)
	if p.DryRun {
		return nil
	}
	return os.RemoveAll(path)
}
