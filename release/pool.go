package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"vauban/internal/durable"
)

// pooledForm is what pooled returns.
var pooledForm = regexp.MustCompile(`^(?:vmlinuz|initramfs\.img)\..+-[0-9a-f]{12}$`)

// pooled returns the name in the pool of a kernel or initramfs. The digits of
// its content let two builds of one version live side by side.
func pooled(name, version string, f File) string {
	return fmt.Sprintf("%s.%s-%.12s", name, version, f.Digest.Encoded())
}

// pool puts a file into the pool and returns its name there. A file that is in
// the pool stays as it is, since clients may be reading it. With no source it
// must be there.
func (t *tree) pool(ctx context.Context, version, source string, f File) (string, error) {
	name := pooled(f.Name, version, f)
	path := t.path(poolName, name)
	err := verify(path, f)
	if err == nil {
		return name, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: move it away and publish again", err)
	}
	if source == "" {
		return "", fmt.Errorf("%w: build the kernel and initramfs again", err)
	}
	if err := t.step(ctx, "pool "+f.Name); err != nil {
		return "", err
	}
	temp := t.path(poolName, unfinished+name)
	if err := t.copy(temp, source, f); err != nil {
		return "", err
	}
	if err := t.step(ctx, "pool rename "+f.Name); err != nil {
		return "", err
	}
	return name, durable.Rename(temp, path)
}

// linkNewest makes NAME.VERSION in the pool name the files of a kernel.
func (t *tree) linkNewest(ctx context.Context, k KernelEntry) error {
	for _, f := range []File{k.Vmlinuz, k.Initramfs} {
		if err := t.link(ctx, t.path(poolName, f.Name+"."+k.Version), pooled(f.Name, k.Version, f)); err != nil {
			return err
		}
	}
	return durable.Sync(t.path(poolName))
}
