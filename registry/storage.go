package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/beneath"
	"vauban/internal/damage"
)

// CheckStorage reads all that the embedded registry of a state directory keeps
// on disk, while no process has it open.
//
// Reference for the layout: the package comment of pathFor in
// github.com/distribution/distribution/v3/registry/storage/paths.go.
func CheckStorage(ctx context.Context, stateDir string) ([]damage.Finding, error) {
	c := &storageCheck{root: filepath.Join(stateDir, "registry", layout), sound: map[digest.Digest]bool{}}
	for _, check := range []func(context.Context) error{c.blobs, c.links} {
		if err := check(ctx); err != nil {
			return nil, fmt.Errorf("checking the embedded registry in %q: %w", c.root, err)
		}
	}
	return c.found, nil
}

// damaged is why a request to the embedded registry failed: the disk says.
// Nil: it is not damaged, or the registry is a user's.
func (r *Registry) damaged(ctx context.Context) error {
	if r.embedded == nil {
		return nil
	}
	stateDir := filepath.Dir(r.embedded.root)
	found, err := CheckStorage(ctx, stateDir)
	if err != nil {
		r.log.Debug("checking the embedded registry", "error", err)
	}
	return damage.In(stateDir, found...)
}

// hasTag says whether the storage has a tag, whatever that names.
func (e *embedded) hasTag(repository, tag string) bool {
	_, err := os.Stat(filepath.Join(e.root, layout, "repositories", repository, "_manifests", "tags", tag, "current", "link"))
	return err == nil
}

type storageCheck struct {
	root  string
	sound map[digest.Digest]bool // blobs
	found []damage.Finding
}

// blobs compares each blob with its digest.
func (c *storageCheck) blobs(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(c.root, "blobs", "*", "*", "*"))
	if err != nil {
		return err
	}
	for _, dir := range paths {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		want := digest.NewDigestFromEncoded(digest.Algorithm(filepath.Base(filepath.Dir(filepath.Dir(dir)))), filepath.Base(dir))
		if err := want.Validate(); err != nil {
			continue // not a blob's
		}
		err := checkData(ctx, filepath.Join(dir, "data"), want)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if c.sound[want] = err == nil; err != nil {
			c.add(dir, err, dir)
		}
	}
	return nil
}

func checkData(ctx context.Context, path string, want digest.Digest) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("its data is missing")
	} else if err != nil {
		return err
	}
	defer f.Close()
	digester := want.Algorithm().Digester()
	if _, err := io.Copy(digester.Hash(), beneath.Reader(ctx, f)); err != nil {
		return err
	}
	if got := digester.Digest(); got != want {
		return fmt.Errorf("its digest is %s", got)
	}
	return nil
}

func (c *storageCheck) add(path string, err error, remove ...string) {
	c.found = append(c.found, damage.Finding{Kind: damage.Storage, Path: path, Err: err, Remove: func() error {
		var errs []error
		for _, path := range remove {
			errs = append(errs, os.RemoveAll(path))
		}
		return errors.Join(errs...)
	}})
}

// links checks what repositories name: each link is a blob that is there, each
// manifest's parts are, and each tag is a manifest of its repository.
func (c *storageCheck) links(ctx context.Context) error {
	return filepath.WalkDir(filepath.Join(c.root, "repositories"), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !entry.IsDir():
			return nil
		}
		switch entry.Name() {
		case "_uploads":
			return fs.SkipDir
		case "_layers":
			err = c.eachLink(filepath.Join(path, "*", "*"), c.layer)
		case "_manifests":
			err = c.manifests(path)
		default:
			return nil
		}
		if err == nil {
			err = fs.SkipDir
		}
		return err
	})
}

// eachLink calls fn with each folder of a pattern and the blob that the link in
// it names; "" where that cannot be read. Folders without one are what a
// deletion or a killed run left, and mean nothing.
func (c *storageCheck) eachLink(pattern string, fn func(dir string, blob digest.Digest)) error {
	links, err := filepath.Glob(filepath.Join(pattern, "link"))
	for _, link := range links {
		text, err := os.ReadFile(link)
		if err != nil {
			return err
		}
		blob := digest.Digest(strings.TrimSpace(string(text)))
		if blob.Validate() != nil {
			blob = ""
		}
		fn(filepath.Dir(link), blob)
	}
	return err
}

// layer checks a repository's link to a blob. That the blob is missing does no
// harm: it is uploaded again. A manifest that needs it is judged by itself.
func (c *storageCheck) layer(dir string, blob digest.Digest) {
	if blob == "" {
		c.add(dir, errBadLink, dir)
	}
}

// errBadLink is of a link that names nothing.
var errBadLink = errors.New("the link is empty or cannot be read")

// manifests checks the manifests of a repository and its tags.
func (c *storageCheck) manifests(dir string) error {
	whole := map[digest.Digest]bool{}
	err := c.eachLink(filepath.Join(dir, "revisions", "*", "*"), func(dir string, blob digest.Digest) {
		if blob == "" {
			c.add(dir, errBadLink, dir)
			return
		}
		err := c.manifest(blob)
		if whole[blob] = err == nil; err != nil {
			c.add(dir, err, dir)
		}
	})
	if err != nil {
		return err
	}
	return c.eachLink(filepath.Join(dir, "tags", "*", "current"), func(current string, blob digest.Digest) {
		tag := filepath.Dir(current)
		if blob == "" {
			c.add(tag, errBadLink, tag)
		} else if !whole[blob] {
			c.add(tag, fmt.Errorf("the manifest %s is missing or damaged", blob), tag)
		}
	})
}

// maxStoredManifest bounds what is read of a manifest.
const maxStoredManifest = 4 << 20

// manifest checks that a manifest and its parts are there.
func (c *storageCheck) manifest(blob digest.Digest) error {
	if !c.sound[blob] {
		return fmt.Errorf("the manifest %s is missing or damaged", blob)
	}
	e := embedded{root: filepath.Dir(filepath.Dir(filepath.Dir(c.root)))}
	path := e.dataPath(blob)
	if info, err := os.Stat(path); err != nil || info.Size() > maxStoredManifest {
		return errors.Join(err, nil)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var m struct {
		Config                   *ocispec.Descriptor
		Layers, Blobs, Manifests []ocispec.Descriptor
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("reading the manifest %s: %w", blob, err)
	}
	parts := slices.Concat(m.Layers, m.Blobs, m.Manifests)
	if m.Config != nil {
		parts = append(parts, *m.Config)
	}
	for _, part := range parts {
		if !c.sound[part.Digest] && len(part.Data) == 0 {
			return fmt.Errorf("of the manifest %s the part %s is missing or damaged", blob, part.Digest)
		}
	}
	return nil
}
