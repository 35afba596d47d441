package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/beneath"
)

// Names in a layer that say what is gone.
// Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
const (
	whiteoutMark = ".wh."
	opaqueMark   = ".wh..wh..opq"
)

// Origin says which layer of an image wrote a path last.
type Origin struct {
	// Path that was found: the one asked for with the links of its
	// directories followed, relative to the root.
	Path string
	// Layer counts from 1, the bottom one.
	Layer int
	// Digest of the layer's blob.
	Digest digest.Digest
	// Deleted shows that the layer removed the path.
	Deleted bool
	// History is the layer's entry in the image's history.
	History ocispec.History
	// Images are the names here of the images whose top layer it is, sorted.
	Images []string
	// Labels are those of one of Images, which say what made the layer; nil
	// when there is none here. Those that the step did not set are of the
	// layers below.
	Labels map[string]string
}

// Which finds the topmost layer of an image that wrote or removed a path. The
// error is fs.ErrNotExist when none did.
func (e *Engine) Which(ctx context.Context, img Image, name string) (Origin, error) {
	ctx = e.Context(ctx)
	var o Origin
	err := e.Mount(ctx, img, func(root string) (err error) {
		o.Path, err = resolveParents(root, name)
		return err
	})
	if err != nil {
		return o, fmt.Errorf("finding %q in %s: %w", name, img.Digest(), err)
	}
	for i, blob := range slices.Backward(img.Manifest.Layers) {
		found, err := e.mentions(ctx, blob, o.Path)
		if err != nil {
			return o, err
		}
		if found == absent {
			continue
		}
		o.Layer, o.Digest, o.Deleted = i+1, blob.Digest, found == removed
		o.History = historyOf(img.Config.History, i)
		return o, e.addImages(ctx, img, &o)
	}
	return o, fmt.Errorf("no layer of %s has %q: %w", img.Digest(), o.Path, fs.ErrNotExist)
}

// historyOf is the entry of the n-th layer: some entries made none.
func historyOf(history []ocispec.History, n int) ocispec.History {
	for _, h := range history {
		if h.EmptyLayer {
			continue
		}
		if n == 0 {
			return h
		}
		n--
	}
	return ocispec.History{}
}

// addImages finds the images here that end with the layer that o names.
func (e *Engine) addImages(ctx context.Context, img Image, o *Origin) error {
	chain := identity.ChainID(slices.Clone(img.Config.RootFS.DiffIDs[:o.Layer]))
	records, err := e.Images(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		other, err := e.read(ctx, r.Target)
		if err != nil || other.ChainID() != chain {
			continue // of another platform, or damaged: it tells nothing
		}
		o.Images = append(o.Images, strings.TrimSuffix(r.Name, ":latest"))
		o.Labels = other.Config.Config.Labels
	}
	slices.Sort(o.Images)
	return nil
}

// mention is what a layer does to a path.
type mention int

const (
	absent mention = iota
	written
	removed
)

func (e *Engine) mentions(ctx context.Context, blob ocispec.Descriptor, name string) (_ mention, err error) {
	layer, err := e.openLayer(ctx, blob)
	if err != nil {
		return absent, err
	}
	defer func() { err = errors.Join(err, layer.Close()) }()
	found, err := mentionsIn(layer, name)
	if err != nil {
		return absent, fmt.Errorf("reading layer %s: %w", blob.Digest, err)
	}
	return found, nil
}

// mentionsIn reads a layer's tar. A layer that hides a directory and writes
// below it again wrote the path.
func mentionsIn(layer io.Reader, name string) (mention, error) {
	found := absent
	for entries := tar.NewReader(layer); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return absent, err
		}
		entry := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		switch {
		case entry == name:
			return written, nil
		case hides(entry, h.Typeflag, name):
			found = removed
		}
	}
}

// hides reports whether an entry makes what lower layers have at name invisible.
func hides(entry string, kind byte, name string) bool {
	dir, base := path.Split(entry)
	switch {
	case base == opaqueMark:
		return strings.HasPrefix(name, dir)
	case strings.HasPrefix(base, whiteoutMark):
		gone := dir + strings.TrimPrefix(base, whiteoutMark)
		return name == gone || strings.HasPrefix(name, gone+"/")
	}
	return kind != tar.TypeDir && strings.HasPrefix(name, entry+"/")
}

// maxLinks is how many links a path may have, as in the kernel.
const maxLinks = 40

// resolveParents follows the links of name's directories inside root, as a
// process there would, but not name itself. What does not exist stays as it
// is: it may have been deleted.
func resolveParents(root, name string) (string, error) {
	inside, err := beneath.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer inside.Close()
	resolved, todo, links := "", split(name), 0
	for len(todo) > 1 {
		next := path.Join(resolved, todo[0])
		todo = todo[1:]
		info, err := inside.Lstat(next)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			resolved = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%q has too many links", name)
		}
		target, err := inside.Readlink(next)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join("/", resolved, target)
		}
		resolved, todo = "", append(split(target), todo...)
	}
	return path.Join(append([]string{resolved}, todo...)...), nil
}

// split gives the names of a path; ".." above the root is the root.
func split(name string) []string {
	return strings.Split(strings.TrimPrefix(path.Clean("/"+name), "/"), "/")
}
