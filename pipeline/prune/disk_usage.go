package prune

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

// usage is what all that can be pruned takes on disk, in bytes. A file of
// several names counts once.
func (p *pruner) usage(ctx context.Context) (int64, error) {
	total, err := p.Engine.Usage(ctx)
	if err != nil {
		return 0, err
	}
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	for _, dir := range []string{
		p.Engine.Blobs(), filepath.Join(p.StateDir, "registry"), filepath.Join(p.StateDir, "logs"), filepath.Join(p.StateDir, "kernels"),
		filepath.Join(p.StateDir, "galaxy"), filepath.Join(p.StateDir, "cache"), p.UploadDir,
	} {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return gone(err)
			}
			info, err := d.Info()
			if err != nil {
				return gone(err)
			}
			st := info.Sys().(*syscall.Stat_t)
			if id := (inode{uint64(st.Dev), st.Ino}); !seen[id] {
				seen[id] = true
				total += st.Blocks * 512
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// gone forgives a file that was removed while it was looked for.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
