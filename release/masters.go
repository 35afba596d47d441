package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// Masters returns the names of all that have releases in a tree, whoever
// published them, sorted.
func Masters(dir string) ([]string, error) {
	var masters []string
	err := eachMaster(dir, func(master string) error {
		if CheckMaster(master) == nil {
			masters = append(masters, master)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("finding the masters in %q: %w", dir, err)
	}
	return masters, nil
}

// eachMaster calls fn with the path, below dir, of all that have a folder of
// releases. A tree that is not there has none.
func eachMaster(dir string, fn func(master string) error) error {
	// Where the walk begins there may be a link: UPLOAD_DIR is one to many.
	return fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == ".":
			return fs.SkipAll
		case err != nil:
			return err
		case !e.IsDir():
			return nil // so is the pool, when it is a link
		case name == poolName:
			return fs.SkipDir
		case e.Name() != releasesName:
			return nil
		}
		if err := fn(path.Dir(name)); err != nil {
			return err
		}
		return fs.SkipDir
	})
}
