package ansible

import (
	"os"
	"path/filepath"
	"strings"

	"vauban/ansible/repository"
)

// locator finds files that were named relative to a working copy and that git
// rightly does not hold, such as passwords.
type locator struct {
	// folders are the user's folder and his own copy of the repository.
	folders []string
}

func newLocator(o repository.Options) locator {
	folders := []string{o.Dir, filepath.Join(o.Dir, o.RootDir)}
	if path := o.LocalPath(); path != "" {
		folders = append(folders, filepath.Join(path, o.RootDir), path)
	}
	return locator{folders}
}

// find finds a file in the working copy, or else in the user's folders.
func (l locator) find(c *repository.Copy, path string) string {
	relative := strings.TrimPrefix(strings.TrimPrefix(path, c.Root+"/"), c.Tree+"/")
	if filepath.IsAbs(relative) || strings.HasPrefix(relative, "~") {
		return path
	}
	if exists(filepath.Join(c.Root, relative)) {
		return path
	}
	if found := l.outside(relative); found != "" {
		return found
	}
	return path
}

// outside finds a relative path in the user's folders; "" where none has it.
func (l locator) outside(relative string) string {
	for _, folder := range l.folders {
		if found := filepath.Join(folder, relative); exists(found) {
			return found
		}
	}
	return ""
}

// vaultID finds the file of LABEL@FILE, or of FILE.
func (l locator) vaultID(c *repository.Copy, id string) string {
	label, file, ok := strings.Cut(id, "@")
	if !ok {
		return l.find(c, id)
	}
	return label + "@" + l.find(c, file)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
