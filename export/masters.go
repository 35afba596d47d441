package export

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Masters returns the names of all that have releases in a tree, whoever
// published them, sorted.
func Masters(dir string) ([]string, error) {
	var masters []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == dir:
			return fs.SkipAll // nothing was published
		case err != nil:
			return err
		case path == filepath.Join(dir, poolName):
			return fs.SkipDir
		case !e.IsDir() || e.Name() != releasesName || path == dir:
			return nil
		}
		master, err := filepath.Rel(dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		if CheckMaster(master) == nil {
			masters = append(masters, master)
		}
		return fs.SkipDir
	})
	if err != nil {
		return nil, fmt.Errorf("finding the masters in %q: %w", dir, err)
	}
	return masters, nil
}
