package ansible

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"vauban/ansible/repository"
)

// isStatic reports whether the inventories are plain files of the working copy,
// or lists of hosts.
func (s *session) isStatic() bool {
	for _, name := range inventoriesIn(slices.Concat(s.arguments, s.inventories())) {
		if !strings.Contains(name, ",") && !isPlainInventory(s.copy, name) {
			return false
		}
	}
	return true
}

func isPlainInventory(wc *repository.Copy, path string) bool {
	if !filepath.IsAbs(path) {
		path = filepath.Join(wc.Root, path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	top, err := filepath.EvalSymlinks(wc.Tree)
	if err != nil || !strings.HasPrefix(real, top+"/") {
		return false
	}
	return filepath.WalkDir(real, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && info.Mode()&0o111 != 0 || asksPlugin(path) {
			return errDynamic
		}
		return nil
	}) == nil
}

var errDynamic = errors.New("hosts that may differ another time")

// asksPlugin reports whether a file configures an inventory plugin, which may ask
// a server. "constructed" does not.
func asksPlugin(path string) bool {
	if ext := filepath.Ext(path); ext != ".yml" && ext != ".yaml" && ext != ".json" {
		return false // plugins need one of these
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "plugin") {
		return err != nil
	}
	var document map[string]yaml.Node
	if yaml.Unmarshal(data, &document) != nil {
		return true
	}
	plugin, ok := document["plugin"]
	return ok && plugin.Value != "constructed" && plugin.Value != "ansible.builtin.constructed"
}
