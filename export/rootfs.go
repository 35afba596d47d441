package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/internal/cmdline"
)

// RootfsOptions say how a root filesystem is packed.
type RootfsOptions struct {
	// Compression is zstd (the default), xz or gzip.
	Compression string
	// Level is zstd's, 1 to 22, or gzip's, 1 to 9. 0 is level 9: with zstd a
	// tenth of the time of mksquashfs' own 15 for a file 6 to 13 % larger.
	// xz has no levels.
	Level int
	// BlockSize in bytes is a power of two from 4 KiB to 1 MiB; 0 is 128 KiB.
	BlockSize int
	// Exclude comes after DefaultExclusions and may take back from them.
	Exclude Exclusions
	// KernelParameters are patterns of kernel parameters that the tree may bring
	// besides those of vauban's list (kernel_parameters).
	KernelParameters []string
	// Files are put into the filesystem in the place of what the tree has
	// there. They belong to root and are never on a disk.
	Files []RootfsFile
	// Memory in bytes bounds what mksquashfs queues; 0 is 256 MiB.
	Memory int64
	// Processors is how many mksquashfs uses; 0 is all.
	Processors int
	// Time stands in the filesystem as the date it was made. The zero value
	// is the start of 1970, so that the same tree gives the same bytes.
	Time time.Time
	// Program is the mksquashfs to run; "" finds it on the PATH.
	Program string
	// Log gets what mksquashfs complains about; nil is silent.
	Log *slog.Logger
}

// packingFormat changes when the same image and options give another file.
const packingFormat = "1"

// Digest covers what the file depends on besides the tree.
func (o RootfsOptions) Digest() digest.Digest {
	d := digest.SHA256.Digester()
	fmt.Fprintf(d.Hash(), "%s %q %d %d %v %d", packingFormat, o.Compression, o.Level, o.BlockSize, append(DefaultExclusions(), o.Exclude...), o.Time.Unix())
	if len(o.KernelParameters) > 0 {
		fmt.Fprintf(d.Hash(), " parameters %q", o.KernelParameters)
	}
	for _, f := range o.Files {
		fmt.Fprintf(d.Hash(), " %q %o %q", f.Path, f.Mode, f.Content)
	}
	return d.Digest()
}

// A RootfsFile is a file that a root filesystem ships and no image holds.
type RootfsFile struct {
	Path    string // below the root, without a leading slash
	Mode    os.FileMode
	Content []byte
}

// A RootfsReport tells what a packed root filesystem holds.
type RootfsReport struct {
	Path string
	Size int64 // bytes of the file
	// Kernels are the versions whose modules are in /usr/lib/modules, sorted.
	Kernels []string
	// Parameters are the kernel's that the tree brings, of those that it may.
	Parameters []string
	// Refused says why others are left out.
	Refused []error
	// LeftOut are the paths that Exclusions dropped, sorted; a directory
	// stands for all below it.
	LeftOut []string
	// ACLs are the paths whose POSIX ACLs squashfs cannot keep, sorted.
	ACLs []string
}

// Rootfs packs the root filesystem that rootfs mounts as squashfs into out.
// Out appears whole or not at all. The tree is read where it is mounted, not
// copied and not changed.
func Rootfs(ctx context.Context, out string,
	rootfs func(ctx context.Context, fn func(root string) error) error, o RootfsOptions,
) (report RootfsReport, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("packing %q: %w", out, err)
		}
	}()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	file, err := createOutput(out)
	if err != nil {
		return RootfsReport{}, err
	}
	defer file.discard()
	report.Path = out
	err = rootfs(ctx, func(root string) error { return pack(ctx, root, file.Name(), o, &report) })
	if err != nil {
		return RootfsReport{}, err
	}
	report.Size, err = file.commit()
	return report, err
}

// pack writes the tree at root to out and fills the report.
func pack(ctx context.Context, root, out string, o RootfsOptions, report *RootfsReport) (err error) {
	if report.Kernels, err = kernels(root); err != nil {
		return err
	}
	all, err := parameters(ctx, root)
	if err != nil {
		return err
	}
	report.Parameters, report.Refused = cmdline.Filter(all, o.KernelParameters)
	if report.LeftOut, err = append(DefaultExclusions(), o.Exclude...).find(root); err != nil {
		return fmt.Errorf("looking for what does not ship: %w", err)
	}
	pseudos, err := machineID(root)
	if err != nil {
		return err
	}
	if pseudos, err = addFiles(pseudos, root, o.Files); err != nil {
		return err
	}
	args, err := o.arguments(root, out, pseudos, report.LeftOut)
	if err != nil {
		return err
	}
	files, err := contents(pseudos)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	sawACL, err := mksquashfs(ctx, o.Program, args, files, o.Log)
	if err != nil || !sawACL {
		return err
	}
	// mksquashfs counts ACLs and does not name them. Looking at each file of
	// a tree costs a good part of a second: only where there are some.
	report.ACLs, err = findACLs(root, report.LeftOut)
	return err
}

// plainPath is what mksquashfs takes for one word.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`)

// addFiles adds the files, and those of their directories that the tree lacks.
func addFiles(pseudos []pseudo, root string, files []RootfsFile) ([]pseudo, error) {
	modified := pseudos[0].modified
	for _, f := range files {
		if !plainPath.MatchString(f.Path) || !filepath.IsLocal(f.Path) {
			return nil, fmt.Errorf("%q cannot be put into a root filesystem", f.Path)
		}
		for i, c := range f.Path {
			if c != '/' {
				continue
			}
			dir := f.Path[:i]
			info, err := os.Lstat(filepath.Join(root, dir))
			if errors.Is(err, fs.ErrNotExist) {
				if !slices.ContainsFunc(pseudos, func(p pseudo) bool { return p.path == dir }) {
					pseudos = append(pseudos, pseudo{path: dir, mode: fs.ModeDir | 0o755, modified: modified})
				}
			} else if err != nil {
				return nil, err
			} else if !info.IsDir() {
				return nil, fmt.Errorf("/%s ships in /%s, which is not a directory in the image: make it one", f.Path, dir)
			}
		}
		pseudos = slices.DeleteFunc(pseudos, func(p pseudo) bool { return p.path == f.Path })
		pseudos = append(pseudos, pseudo{path: f.Path, mode: f.Mode.Perm(), content: f.Content, modified: modified})
	}
	return pseudos, nil
}

// kernels returns the versions of which root has modules. A directory that
// holds no kernel/ is what a removed package or an extra module left.
func kernels(root string) ([]string, error) {
	dirs, err := Exclusions{{parts: []string{"usr", "lib", "modules", "*", "kernel"}}}.find(root)
	if err != nil {
		return nil, fmt.Errorf("looking for kernel modules: %w", err)
	}
	versions := []string{}
	for _, dir := range dirs {
		versions = append(versions, filepath.Base(filepath.Dir(dir)))
	}
	return versions, nil
}

// machineID returns what stands in for the machine's identity: an empty
// /etc/machine-id, which systemd fills for one boot. If it were missing or
// said "uninitialized", each boot would be a first boot, which enables again
// what playbooks disabled.
func machineID(root string) ([]pseudo, error) {
	etc, err := os.Lstat(filepath.Join(root, "etc"))
	if err != nil || !etc.IsDir() {
		return nil, fmt.Errorf("%q has no directory /etc: it is not a root filesystem", root)
	}
	pseudos := []pseudo{{path: "etc/machine-id", mode: 0o444, modified: etc.ModTime()}}
	// dbus reads its own, which an image made with an older dbus carries as
	// a file: every machine would have the same.
	found, err := Exclusions{{parts: []string{"var", "lib", "dbus"}}}.find(root)
	if err != nil || len(found) == 0 {
		return pseudos, err
	}
	dbus, err := os.Lstat(filepath.Join(root, found[0]))
	if err != nil {
		return nil, err
	}
	if dbus.IsDir() {
		pseudos = append(pseudos, pseudo{path: "var/lib/dbus/machine-id",
			link: "/etc/machine-id", modified: dbus.ModTime()})
	}
	return pseudos, nil
}
