package release

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"vauban/internal/text"

	"github.com/opencontainers/go-digest"
)

// A Release is what a run built of a master. What it leaves out is taken from
// the release that is served.
type Release struct {
	Master string
	// Timestamp of the run, see TimestampFormat. Where a release has it
	// already, the next free second is taken.
	Timestamp string
	// Seen is the timestamp of the release that was served when the run began,
	// "" for none. A rootfs does not take the place of another that a run which
	// began later has published meanwhile.
	Seen string
	// Tool is the program that built it, with its version.
	Tool   string
	Kernel *BuiltKernel           // nil: not built
	Rootfs *BuiltRootfs           // nil: not built
	Conffs map[string]BuiltConffs // by host; those that were built
	// Hosts are all that the master has. nil: unknown, all of the release
	// before are taken.
	Hosts []string
	// Some shows that some of the hosts were asked for: a first release may
	// lack the others, and no host leaves.
	Some bool
	// Failed are hosts that failed in a run that was to go on. The conffs that
	// they had are taken where these fit.
	Failed []string
	// RemoveHosts leaves out those of the release before that are not among
	// Hosts. Otherwise that takes a notice in a release before: see Leaving of
	// a [Manifest].
	RemoveHosts bool
}

// A BuiltKernel is a kernel and the initramfs made for it.
type BuiltKernel struct {
	Version            string // as uname -r has it
	Vmlinuz, Initramfs string // paths
}

// A BuiltRootfs is what Rootfs made.
type BuiltRootfs struct {
	Path    string
	Image   digest.Digest // of the master's image it was packed from
	Kernels []string      // of the RootfsReport
	// Parameters are those of the RootfsReport that a boot entry may hold.
	Parameters []string
	Packing    digest.Digest // of the RootfsOptions
	// Identity is set when it holds SSH keys and a machine-id of a vault.
	Identity bool
}

// A BuiltConffs is what Conffs made for one host.
type BuiltConffs struct {
	Path   string
	Image  digest.Digest // of the host's image
	Master digest.Digest // of the master's image it was cut on
	// Identity is as in a BuiltRootfs.
	Identity bool
}

// check refuses what no release can be made of, before a tree is touched.
func (r Release) check() error {
	if err := errors.Join(CheckMaster(r.Master), checkTimestamp(r.Timestamp)); err != nil {
		return err
	}
	if r.Kernel != nil {
		if err := checkVersion(r.Kernel.Version); err != nil {
			return err
		}
	}
	for host := range r.Conffs {
		if _, err := ConffsName(host); err != nil {
			return err
		}
	}
	return nil
}

// overtaken shows that a run which began later has published another rootfs
// since r was begun. A release from before that has a later date, as of a
// clock that went ahead, overtakes nothing.
func (r Release) overtaken(before *Published) bool {
	return before != nil && r.Rootfs != nil && before.Rootfs.Image != r.Rootfs.Image &&
		before.Timestamp != r.Seen && before.built() > r.Timestamp
}

// later shows that a run which began later than r made a part of the release
// that is served, after r was begun. Built is "" where that was not noted: the
// part is then not newer than anything.
func (r Release) later(before *Published, built string) bool {
	return before != nil && before.Timestamp != r.Seen && built > r.Timestamp
}

// withoutOlder leaves out the parts of r that a run which began later has
// published meanwhile, and names them. What was made for a rootfs that is not
// served after this is of no use, and r's is taken.
func (r Release) withoutOlder(before *Published) (_ Release, left []string) {
	if before == nil {
		return r, nil
	}
	sameRootfs := r.Rootfs == nil || r.Rootfs.Image == before.Rootfs.Image
	if r.Kernel != nil && sameRootfs && r.later(before, before.Kernel.Built) {
		r.Kernel = nil
		left = append(left, "the kernel")
	}
	image := before.Rootfs.Image
	if r.Rootfs != nil {
		image = r.Rootfs.Image
	}
	conffs := map[string]BuiltConffs{}
	for host, b := range r.Conffs {
		if entry, ok := before.Hosts[host]; ok && entry.Master == image && r.later(before, entry.Built) {
			left = append(left, "the conffs of "+host)
			continue
		}
		conffs[host] = b
	}
	r.Conffs = conffs
	slices.Sort(left)
	return r, left
}

// whole shows that nothing is taken from the release before.
func (r Release) whole() bool {
	built := func(host string) bool { _, ok := r.Conffs[host]; return ok }
	return r.Kernel != nil && r.Rootfs != nil && r.Hosts != nil &&
		!slices.ContainsFunc(r.Hosts, func(host string) bool { return !built(host) })
}

// A draft is a release that is not in the tree yet: its manifest, and where
// the bytes of its files are now.
type draft struct {
	Manifest
	sources map[string]string // paths by file name; none for what is pooled already
	removed []string          // hosts of the release before
}

// newDraft joins what was built with what the release before has; before may
// be nil. Noticed are hosts that a release before reported as leaving.
func newDraft(r Release, before *Published, noticed []string) (*draft, error) {
	d := &draft{
		Manifest: Manifest{Master: r.Master, Timestamp: r.Timestamp, Tool: r.Tool, Hosts: map[string]ConffsEntry{}},
		sources:  map[string]string{},
	}
	if before == nil && (r.Kernel == nil || r.Rootfs == nil) {
		return nil, errors.New("nothing was published of it yet, and a release is whole: " +
			"build its rootfs and its initramfs too (vauban build " + r.Master + " --stage all)")
	}
	if before != nil {
		d.take(r, before, noticed)
	}
	if err := d.add(r); err != nil {
		return nil, err
	}
	return d, d.lack(r, before)
}

// lack notes the hosts that the draft is without. Those that failed do not
// keep conffs that were cut on another image.
func (d *draft) lack(r Release, before *Published) error {
	for _, host := range r.Failed {
		if d.Hosts[host].Master != d.Rootfs.Image {
			delete(d.Hosts, host)
		}
	}
	expected := r.Hosts
	if r.Hosts == nil && before != nil {
		expected = before.Missing
	}
	for _, host := range expected {
		if _, ok := d.Hosts[host]; !ok {
			d.Missing = append(d.Missing, host)
		}
	}
	slices.Sort(d.Missing)
	unexplained := slices.DeleteFunc(slices.Clone(d.Missing), func(host string) bool { return slices.Contains(r.Failed, host) })
	if before == nil && !r.Some && len(unexplained) > 0 {
		return fmt.Errorf("nothing was published of it yet, and a release is whole: the conffs of %s are missing "+
			"(vauban build %s --stage conffs)", text.Quoted(maxNamed, unexplained), r.Master)
	}
	return nil
}

// unfit are the leaving hosts whose conffs do not fit the rootfs, where those of
// all others do.
func (d *draft) unfit() (hosts []string) {
	for host, entry := range d.Hosts {
		switch {
		case entry.Master == d.Rootfs.Image:
		case !slices.Contains(d.Leaving, host):
			return nil
		default:
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// take fills the draft with what the release before has.
func (d *draft) take(r Release, before *Published, noticed []string) {
	d.Kernel = before.Kernel
	d.Rootfs = before.Rootfs
	d.sources[rootfsName] = filepath.Join(before.Dir, rootfsName)
	for host, entry := range before.Hosts {
		switch {
		case r.Hosts == nil && slices.Contains(before.Leaving, host), r.Hosts != nil && !slices.Contains(r.Hosts, host):
			if r.RemoveHosts || r.Hosts != nil && !r.Some && slices.Contains(noticed, host) {
				d.removed = append(d.removed, host)
				continue
			}
			d.Leaving = append(d.Leaving, host)
		}
		d.Hosts[host] = entry
		d.sources[entry.Name] = filepath.Join(before.Dir, entry.Name)
	}
	slices.Sort(d.Leaving)
	slices.Sort(d.removed)
}

// repeated is the release before once more, with a notice about hosts.
func repeated(r Release, before *Published, leaving []string) *draft {
	d := &draft{Manifest: before.Manifest, sources: map[string]string{}}
	d.Timestamp, d.Tool, d.Leaving = r.Timestamp, r.Tool, leaving
	for _, f := range d.files() {
		d.sources[f.Name] = filepath.Join(before.Dir, f.Name)
	}
	delete(d.sources, vmlinuzName)
	delete(d.sources, initramfsName)
	return d
}

// add puts what was built in its place.
func (d *draft) add(r Release) (err error) {
	if k := r.Kernel; k != nil {
		d.Kernel.Version, d.Kernel.Built = k.Version, r.Timestamp
		if d.Kernel.Vmlinuz, err = d.file(k.Vmlinuz, vmlinuzName); err != nil {
			return err
		}
		if d.Kernel.Initramfs, err = d.file(k.Initramfs, initramfsName); err != nil {
			return err
		}
	}
	if b := r.Rootfs; b != nil {
		d.Rootfs = RootfsEntry{Image: b.Image, Kernels: b.Kernels, Parameters: b.Parameters, Packing: b.Packing, Built: r.Timestamp, Identity: identity(b.Identity)}
		if d.Rootfs.File, err = d.file(b.Path, rootfsName); err != nil {
			return err
		}
	}
	for host, b := range r.Conffs {
		name, err := ConffsName(host)
		if err != nil {
			return err
		}
		entry := ConffsEntry{Image: b.Image, Master: b.Master, Built: r.Timestamp, Identity: identity(b.Identity)}
		if entry.File, err = d.file(b.Path, name); err != nil {
			return fmt.Errorf("conffs of %q: %w", host, err)
		}
		d.Hosts[host] = entry
	}
	return nil
}

// file reads a built file and notes where it is.
func (d *draft) file(path, name string) (File, error) {
	d.sources[name] = path
	return describe(path, name)
}
