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

// kernelTask takes the kernel of a master's ancestry and builds its initramfs.
type kernelTask struct {
	*job
	master *config.Master
	image  layers.Image // the master's
}

// makeKernel makes the kernel and the initramfs for the given image of a master's
// rootfs, or when the plan does not make that for the one that stands for it.
func (j *job) makeKernel(ctx context.Context, m *config.Master, rootfs *Image) (Kernel, string, error) {
	img, err := j.masterImage(ctx, m, rootfs)
	if err != nil {
		return Kernel{}, "", err
	}
	return (&kernelTask{j, m, img}).make(ctx)
}

// make makes both, or takes what was kept below the state directory: masters with
// the same source, recipe and settings share them.
func (k *kernelTask) make(ctx context.Context) (Kernel, string, error) {
	version, err := k.version(ctx)
	if err != nil {
		return Kernel{}, "", err
	}
	source, err := k.source(ctx, version)
	if err != nil {
		return Kernel{}, "", err
	}
	step, err := k.step(version)
	if err != nil {
		return Kernel{}, "", err
	}
	defer step.Close()
	key, err := step.Key(ctx, "")
	if err != nil {
		return Kernel{}, "", err
	}
	name := digest.FromString(source.ChainID().String() + version + key.String()).Encoded()[:32]
	dir := filepath.Join(k.StateDir, "kernels", name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return Kernel{}, "", err
	}
	// Masters share it, in this run and in others.
	lock, err := filelock.Open(ctx, dir+".lock")
	if err != nil {
		return Kernel{}, "", err
	}
	defer lock.Close()
	note := version
	kept, err := sealed.Use(ctx, dir, k.Log)
	if err != nil {
		return Kernel{}, "", err
	}
	if kept {
		note += ", built before"
	} else if err := k.build(ctx, step, source, dir); err != nil {
		return Kernel{}, "", fmt.Errorf("building the initramfs of %q for kernel %s: %w", k.master.Name, version, err)
	}
	return Kernel{Image: Image{Name: k.master.Image(), Digest: k.image.Digest()}, Version: version,
		Vmlinuz: filepath.Join(dir, "vmlinuz"), Initramfs: filepath.Join(dir, "initramfs.img")}, note, nil
}

// version is the newest whose modules the image holds, or the one that
// `kernel:` names.
func (k *kernelTask) version(ctx context.Context) (string, error) {
	versions, err := k.kernelsOf(ctx, k.image)
	if err != nil {
		return "", err
	}
	if len(versions) == 0 {
		return "", fmt.Errorf("image of %q holds no kernel: install a kernel package in its base (`kernel:`) or in a stage", k.master.Name)
	}
	want := strings.TrimPrefix(k.master.Kernel, "linux-image-")
	if want == "" {
		return versions[len(versions)-1], nil
	}
	if !slices.Contains(versions, want) {
		return "", fmt.Errorf("%s: `kernel: %s` of master %q is not in its image, which has %s", k.Config.Place(k.master.Pos), k.master.Kernel, k.master.Name, strings.Join(versions, ", "))
	}
	return want, nil
}

// maxKernels bounds how many directories of modules an image may have.
const maxKernels = 1000

// kernelsOf lists the kernels of an image, oldest first.
func (k *kernelTask) kernelsOf(ctx context.Context, img layers.Image) (versions []string, err error) {
	err = k.Engine.Mount(ctx, img, func(root string) error {
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

// source is the image to build the initramfs in: the base that the
// master was built on, or the master itself when a stage installed the
// kernel. The base is the lower part of the master's own layers, whatever its
// name stands for today.
func (k *kernelTask) source(ctx context.Context, version string) (layers.Image, error) {
	img := k.image
	count, ok := baseLayers(img.Config.Config.Labels, len(img.Manifest.Layers))
	if !ok { // of an image made elsewhere
		return img, nil
	}
	base := img
	base.Config.Config = ocispec.ImageConfig{}
	base.Manifest.Layers = img.Manifest.Layers[:count]
	base.Config.RootFS.DiffIDs = img.Config.RootFS.DiffIDs[:count]
	versions, err := k.kernelsOf(ctx, base)
	if err != nil || slices.Contains(versions, version) {
		return base, err
	}
	return img, nil
}

// step is Dockerfile.initramfs with our dracut modules.
func (k *kernelTask) step(version string) (*recipe, error) {
	base := cmp.Or(k.image.Config.Config.Labels[provenance.LabelBase], k.master.Base.Image())
	return k.recipe(dockerfiles.Initramfs, recipes.InitramfsArguments(base, version), k.master.Image()+"/initramfs", recipes.InitramfsContext())
}

func (k *kernelTask) build(ctx context.Context, step *recipe, source layers.Image, dir string) error {
	next, err := os.MkdirTemp(k.work, "kernel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(next)
	target := layers.Target{Parent: source, ContainerOptions: layers.ContainerOptions{Name: "initramfs"}}
	err = k.Engine.Try(ctx, step, target, func(c *layers.Container) error {
		for _, name := range []string{"vmlinuz", "initramfs.img"} {
			file := filepath.Join(next, name)
			if err := copyOut(ctx, c, "/boot-out/"+name, file); err != nil {
				return err
			}
			if err := k.gate.InspectFile(ctx, file); err != nil {
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
