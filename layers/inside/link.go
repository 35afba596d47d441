package inside

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// linkedMark is dated as the newest of the folders that were looked at.
const linkedMark = "/run/.vauban-linked"

// linkStandIns gives a stand-in to each command that the image has, and to
// some always. Roles ask which commands there are, and do what they do for a
// machine that has one.
func linkStandIns(c *call) int {
	unix.Umask(0o022)
	newest := c.newest(commandDirs)
	dir := c.root.Join(binTarget)
	err := os.MkdirAll(dir, 0o755)
	for name, s := range newTable() {
		at := path.Join(dir, name)
		if !s.always && c.find(name) == "" {
			if removeErr := os.Remove(at); !errors.Is(removeErr, fs.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
			continue
		}
		if linkErr := os.Symlink(standInPath, at); !errors.Is(linkErr, fs.ErrExist) {
			err = errors.Join(err, linkErr)
		}
	}
	if err == nil {
		err = c.mark(linkedMark, newest)
	}
	if err != nil {
		return c.fail(1, "vauban: giving commands their stand-ins: %v", err)
	}
	return 0
}
