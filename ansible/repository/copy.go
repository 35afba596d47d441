package repository

import (
	"fmt"
	"os"
	"strings"
)

// Copy is a working copy: the repository's files at one commit.
type Copy struct {
	// Dir holds Tree and what else a run needs.
	Dir string
	// Tree is the repository's top.
	Tree string
	// Root is the folder that ansible runs in.
	Root   string
	Commit string
}

// Remove removes the working copy.
func (c *Copy) Remove() error {
	if err := os.RemoveAll(c.Dir); err != nil {
		return fmt.Errorf("removing a working copy: %w", err)
	}
	return nil
}

// Relative takes the working copy's path, which means nothing to a user, out
// of a text.
func (c *Copy) Relative(text string) string {
	return strings.NewReplacer(c.Root+"/", "", c.Tree+"/", "", c.Dir+"/", "").Replace(text)
}
