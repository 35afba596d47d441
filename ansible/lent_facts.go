package ansible

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// digestFacts is the digest of the facts in a folder, "" where there is none.
func digestFacts(dir string) (digest.Digest, error) {
	if dir == "" {
		return "", nil
	}
	if err := checkFacts(dir); err != nil {
		return "", fmt.Errorf("reading the facts of `facts_from:`: %w", err)
	}
	return digestTree(os.DirFS(dir))
}

// checkFacts finds out before a run what the callback plugin could not read.
func checkFacts(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return err
		}
		var facts map[string]any
		if err := json.Unmarshal(data, &facts); err != nil {
			return fmt.Errorf("%q is not a JSON object: %w", file.Name(), err)
		}
	}
	return nil
}

// digestTree covers the names and contents of all files.
func digestTree(tree fs.FS) (digest.Digest, error) {
	d := digest.SHA256.Digester()
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, path)
		fmt.Fprintf(d.Hash(), "%q %d\n%s", path, len(content), content)
		return err
	})
	return d.Digest(), err
}
