package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"vauban/config"
	"vauban/layers"
	"vauban/pipeline/plan"
	"vauban/registry"
	"vauban/release"
)

// checkResults finds what would keep the results of a plan from being pushed
// and published: known before the first container, and else found after the
// work is done.
func (r *Runner) checkResults(ctx context.Context, selected selections) error {
	p := r.plan
	if err := errors.Join(checkPrograms(p, exec.LookPath), r.checkTree(p)); err != nil {
		return err
	}
	if err := r.checkRoom(ctx, p); err != nil {
		return err
	}
	if r.NoPush {
		return nil
	}
	return checkPushes(ctx, r.pushed(selected), r.Registry.CheckPush)
}

// pushed are the names that a plan pushes to: of images, with one host's for
// all of a master, and of masters whose records change.
func (r *Runner) pushed(selected selections) []string {
	names := r.plan.Images()
	for _, t := range r.plan.Tasks {
		if t.Kind != plan.MakeConffs {
			continue
		}
		names = append(names, t.Master.Image())
		if hosts := selected[t.Master].Wanted; len(hosts) > 0 && r.Config.Configuration.PushHosts != "none" {
			names = append(names, t.Master.HostImage(hosts[0]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkPushes asks for the right to push each name, some at once. The error is
// that of the first ones that are refused.
func checkPushes(ctx context.Context, names []string, check func(context.Context, string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, name := range names {
		group.Go(func() error { return check(ctx, name) })
	}
	return group.Wait()
}

// checkPrograms finds programs of the builder that a plan needs later on and
// that are missing.
func checkPrograms(p *plan.Plan, lookPath func(string) (string, error)) error {
	needed := map[string]string{} // packages by program
	for _, t := range p.Tasks {
		switch {
		case t.Kind == plan.MakeSquashfs:
			needed["mksquashfs"] = "squashfs-tools"
		case t.Kind == plan.MakeBase && t.Base.Source.Kind == config.Release:
			needed["mmdebstrap"] = "mmdebstrap"
		}
	}
	var errs []error
	for _, program := range slices.Sorted(maps.Keys(needed)) {
		if _, err := lookPath(program); err != nil {
			errs = append(errs, fmt.Errorf("%w: apt-get install %s", err, needed[program]))
		}
	}
	return errors.Join(errs...)
}

// checkTree finds a published tree that cannot be written to.
func (r *Runner) checkTree(p *plan.Plan) error {
	var masters []string
	for _, t := range p.Tasks {
		if t.Kind == plan.MakeRelease && !r.NoPublish {
			masters = append(masters, t.Master.Name)
		}
	}
	if len(masters) == 0 {
		return nil
	}
	return release.CheckTree(r.uploadDir(), r.Settings.UploadOwner, masters...)
}

// checkHosts refuses hosts for which nothing can be built. They would fail
// after their playbooks have run, and hold up the release of all others.
func checkHosts(m *config.Master, hosts []string) error {
	var bad []string
	var errs []error
	for _, host := range hosts {
		if err := release.CheckHost(host); err != nil {
			bad, errs = append(bad, "!"+host), append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	if slices.ContainsFunc(bad, func(name string) bool { return strings.ContainsAny(name, ":,[]*?") }) {
		// ansible reads these as parts of a pattern.
		return fmt.Errorf("%w: rename it in the inventory, or name the others with `conffs:` or --limit", errors.Join(errs...))
	}
	return fmt.Errorf("%w: rename it in the inventory, or leave it out with `conffs: %q` or --limit", errors.Join(errs...),
		strings.Join(append([]string{m.Conffs}, bad...), ","))
}

// need is what a plan will write to a folder, in bytes, as far as the last
// build shows.
type need struct {
	folder string
	least  int64 // it takes that much, unless nothing changed
	likely int64
}

// unpackedSize is how much larger a layer is on disk than compressed, about.
const unpackedSize = 3

// needs are those of a plan: of the state directory for images and for files
// on their way, and of the published tree.
func (r *Runner) needs(ctx context.Context, p *plan.Plan) []need {
	state, tree := need{folder: r.StateDir}, need{folder: r.uploadDir()}
	for _, t := range p.Tasks {
		if t.Master == nil {
			continue
		}
		if t.Kind == plan.MakeRootfs {
			state.likely += (1 + unpackedSize) * r.ownLayers(ctx, t.Master)
		}
		before, err := release.Current(r.uploadDir(), t.Master.Name)
		if err != nil {
			continue // no release, or one that Publish will judge
		}
		var size, hosts int64
		switch t.Kind {
		case plan.MakeSquashfs:
			size = before.Rootfs.Size
		case plan.MakeConffs:
			for _, host := range before.Hosts {
				hosts += host.Size
			}
		}
		state.least, state.likely = state.least+size, state.likely+size+hosts
		if !r.NoPublish {
			tree.least, tree.likely = tree.least+size, tree.likely+size+hosts
		}
	}
	return []need{state, tree}
}

// ownLayers is what the layers of a master's last image take that its parent's
// does not have, compressed; 0 when the image is not here.
func (r *Runner) ownLayers(ctx context.Context, m *config.Master) (size int64) {
	img, err := r.Engine.Image(ctx, m.Image()+":"+registry.Latest)
	if err != nil {
		return 0
	}
	below := m.Base.Image()
	if m.Parent != nil {
		below = m.Parent.Image()
	}
	parent, err := r.Engine.Image(ctx, below+":"+registry.Latest)
	if err != nil {
		parent = layers.Image{}
	}
	own, err := img.Above(parent)
	if err != nil {
		own = img.Manifest.Layers
	}
	for _, l := range own {
		size += l.Size
	}
	return size
}

// checkRoom compares what the last build took with what is free: a disk that
// cannot hold it is an error, one that may not is a warning.
func (r *Runner) checkRoom(ctx context.Context, p *plan.Plan) error {
	return checkRoom(r.needs(ctx, p), release.DiskOf, func(text string) { r.Log.Warn(text) })
}

func checkRoom(needs []need, diskOf func(string) (release.Disk, error), warn func(string)) error {
	type use struct {
		need
		free int64
	}
	disks := map[uint64]*use{} // folders may share one
	var order []*use
	for _, n := range needs {
		disk, err := diskOf(n.folder)
		if err != nil {
			return err
		}
		u := disks[disk.ID]
		if u == nil {
			u = &use{need: need{folder: n.folder}, free: disk.Free}
			disks[disk.ID] = u
			order = append(order, u)
		} else if n.folder != u.folder && n.likely > 0 {
			u.folder = filepath.Clean(u.folder) + " and " + n.folder
		}
		u.least, u.likely = u.least+n.least, u.likely+n.likely
	}
	for _, u := range order {
		text := fmt.Sprintf("building takes about %s in %s, as the last time, and %s are free", mebibytes(u.likely), u.folder, mebibytes(u.free))
		switch {
		case u.free < u.least || u.likely > 0 && u.free < u.likely/4:
			return fmt.Errorf("%w: %s: make room (vauban prune removes old releases, images and caches)", unix.ENOSPC, text)
		case u.free < u.likely:
			warn(text)
		}
	}
	return nil
}

func mebibytes(size int64) string { return fmt.Sprintf("%d MiB", (size+1<<20-1)>>20) }
