package repository

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// HasPlaybook returns an error that names similar ones when the revision has no
// playbook of that path below RootDir.
func (c *Copies) HasPlaybook(ctx context.Context, rev Revision, path string) error {
	pristine, err := c.Pristine(ctx, rev.Commit)
	if err != nil {
		return err
	}
	if !filepath.IsLocal(path) {
		return fmt.Errorf("playbook %q leaves the repository: name one inside it", path)
	}
	if isFile(filepath.Join(pristine.Root, path)) {
		return nil
	}
	return fmt.Errorf("branch %q has no playbook %q%s%s", rev.Branch, path,
		in(c.rootDir), didYouMean(path, playbooks(pristine.Root)))
}

func in(dir string) string {
	if dir == "." {
		return ""
	}
	return fmt.Sprintf(" in %q", dir)
}

// playbooks lists the YAML files below root that can be one.
func playbooks(root string) []string {
	var found []string
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := filepath.Base(path); {
		case err != nil:
			return nil // only a suggestion is at stake
		case d.IsDir() && (name == ".git" || name == "roles" || strings.HasSuffix(name, "_vars")):
			return fs.SkipDir
		case strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml"):
			relative, _ := filepath.Rel(root, path)
			found = append(found, relative)
		}
		return nil
	})
	return found
}
