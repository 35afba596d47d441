package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/pipeline/provenance"
	"vauban/pipeline/recipes"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	dockerfiles "vauban/Dockerfiles"
	"vauban/config"
	"vauban/internal/beneath"
	"vauban/internal/durable"
	"vauban/internal/filelock"
	"vauban/internal/sealed"
	"vauban/layers"
)

// kernel is a kernel and the initramfs that was made for it.
type kernel struct {
	version, vmlinuz, initramfs string
}

// makeKernel takes the kernel of a master's ancestry and makes its initramfs.
// Both are kept below the state directory: masters with the same source,
// recipe and settings share them.
func (r *Runner) makeKernel(ctx context.Context, m *config.Master) (string, error) {
	img, err := r.masterImage(ctx, m)
	if err != nil {
		return "", err
	}
	version, err := r.kernelVersion(ctx, m, img)
	if err != nil {
		return "", err
	}
	source, err := r.kernelSource(ctx, img, version)
	if err != nil {
		return "", err
	}
	step, err := r.initramfsStep(m, cmp.Or(img.Config.Config.Labels[provenance.LabelBase], m.Base.Image()), version)
	if err != nil {
		return "", err
	}
	defer step.Close()
	key, err := step.Key(ctx, "")
	if err != nil {
		return "", err
	}
	name := digest.FromString(source.ChainID().String() + version + key.String()).Encoded()[:32]
	dir := filepath.Join(r.StateDir, "kernels", name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Masters share it, in this run and in others.
	lock, err := filelock.Open(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	made := kernel{version, filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initramfs.img")}
	note := version
	kept, err := sealed.Use(ctx, dir, r.Log)
	if err != nil {
		return "", err
	}
	if kept {
		note += ", built before"
	} else if err := r.buildKernel(ctx, step, source, dir); err != nil {
		return "", fmt.Errorf("building the initramfs of %q for kernel %s: %w", m.Name, version, err)
	}
	r.partsOf(m).update(func(p *parts) { p.kernel = &made })
	return note, nil
}

// kernelVersion is the newest whose modules the image holds, or the one that
// `kernel:` names.
func (r *Runner) kernelVersion(ctx context.Context, m *config.Master, img layers.Image) (string, error) {
	versions, err := r.kernelsOf(ctx, img)
	if err != nil {
		return "", err
	}
	if len(versions) == 0 {
		return "", fmt.Errorf("image of %q holds no kernel: install a kernel package in its base (`kernel:`) or in a stage", m.Name)
	}
	want := strings.TrimPrefix(m.Kernel, "linux-image-")
	if want == "" {
		return versions[len(versions)-1], nil
	}
	if !slices.Contains(versions, want) {
		return "", fmt.Errorf("%s: `kernel: %s` of master %q is not in its image, which has %s", r.Config.Place(m.Pos), m.Kernel, m.Name, strings.Join(versions, ", "))
	}
	return want, nil
}

// maxKernels bounds how many directories of modules an image may have.
const maxKernels = 1000

// kernelsOf lists the kernels of an image, oldest first.
func (r *Runner) kernelsOf(ctx context.Context, img layers.Image) (versions []string, err error) {
	err = r.Engine.Mount(ctx, img, func(root string) error {
		// A link of the image must not lead to the builder's own modules.
		inside, err := beneath.OpenRoot(root)
		if err != nil {
			return err
		}
		defer inside.Close()
		found, err := inside.Glob("usr/lib/modules/*/kernel", maxKernels)
		for _, path := range found {
			versions = append(versions, filepath.Base(filepath.Dir(path)))
		}
		return err
	})
	slices.SortFunc(versions, compareVersions)
	return versions, err
}

// compareVersions compares runs of digits as numbers and the rest as text.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		digitsA, digitsB := leading(a, true), leading(b, true)
		if digitsA != "" && digitsB != "" {
			x, _ := strconv.ParseUint(digitsA, 10, 64)
			y, _ := strconv.ParseUint(digitsB, 10, 64)
			if x != y {
				return cmp.Compare(x, y)
			}
			a, b = a[len(digitsA):], b[len(digitsB):]
			continue
		}
		textA, textB := leading(a, false), leading(b, false)
		if textA != textB {
			return strings.Compare(textA, textB)
		}
		a, b = a[len(textA):], b[len(textB):]
	}
	return len(a) - len(b)
}

func leading(s string, digits bool) string {
	end := strings.IndexFunc(s, func(c rune) bool { return (c >= '0' && c <= '9') != digits })
	if end < 0 {
		return s
	}
	return s[:end]
}

// baseLayers is how many of an image's layers are its base's, as its labels say.
func baseLayers(labels map[string]string, layers int) (count int, ok bool) {
	count, err := strconv.Atoi(labels[provenance.LabelBaseSize])
	return count, err == nil && count >= 1 && count <= layers
}

// kernelSource is the image to build the initramfs in: the base that the
// master was built on, or the master itself when a stage installed the
// kernel. The base is the lower part of the master's own layers, whatever its
// name stands for today.
func (r *Runner) kernelSource(ctx context.Context, img layers.Image, version string) (layers.Image, error) {
	count, ok := baseLayers(img.Config.Config.Labels, len(img.Manifest.Layers))
	if !ok { // of an image made elsewhere
		return img, nil
	}
	base := img
	base.Config.Config = ocispec.ImageConfig{}
	base.Manifest.Layers = img.Manifest.Layers[:count]
	base.Config.RootFS.DiffIDs = img.Config.RootFS.DiffIDs[:count]
	versions, err := r.kernelsOf(ctx, base)
	if err != nil || slices.Contains(versions, version) {
		return base, err
	}
	return img, nil
}

// initramfsStep is Dockerfile.initramfs with our dracut modules.
func (r *Runner) initramfsStep(m *config.Master, base, version string) (*recipe, error) {
	return r.recipe(dockerfiles.Initramfs, recipes.InitramfsArguments(base, version), m.Image()+"/initramfs", recipes.InitramfsContext())
}

func (r *Runner) buildKernel(ctx context.Context, step *recipe, source layers.Image, dir string) error {
	next, err := os.MkdirTemp(r.work, "kernel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(next)
	target := layers.Target{Parent: source, ContainerOptions: layers.ContainerOptions{Name: "initramfs"}}
	err = r.Engine.Try(ctx, step, target, func(c *layers.Container) error {
		for _, name := range []string{"vmlinuz", "initramfs.img"} {
			file := filepath.Join(next, name)
			if err := copyOut(ctx, c, "/boot-out/"+name, file); err != nil {
				return err
			}
			if err := r.gate.inspectFile(ctx, file); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := sealed.Folder(ctx, next); err != nil {
		return err
	}
	return durable.Rename(next, dir)
}

// maxKernel bounds a kernel and an initramfs, which have some 10 and 100 MiB.
const maxKernel = 2 << 30

// copyOut reads a file of a container.
func copyOut(ctx context.Context, c *layers.Container, from, to string) error {
	var in *os.File
	err := c.Inside(func() (err error) {
		in, err = beneath.Open("/", from)
		return err
	})
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(beneath.Reader(ctx, in), maxKernel+1))
	if err == nil && n > maxKernel {
		err = fmt.Errorf("%q is larger than %d MiB", from, maxKernel>>20)
	}
	return errors.Join(err, out.Sync(), out.Close())
}
