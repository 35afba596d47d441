package layers

import (
	"errors"
	"io/fs"
	"os"
)

// A container's /tmp is a directory like any other, as on a machine, and not
// mounted: what lists mounts, to write them to fstab with other options, would
// take the builder's disk for the machine's. What is in it is no layer's.

// makeTmp makes /tmp where the image has none. It runs inside the container.
func makeTmp() error {
	return keepingDate("/", func() error {
		err := os.Mkdir("/tmp", 0o700)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return errors.Join(err, os.Chmod("/tmp", fs.ModeSticky|0o777)) // whatever the umask
	})
}

// dropTmp removes what is in /tmp from the upperdir.
func (o overlay) dropTmp() error {
	return keepingDate(o.upper, func() error { return o.drop("tmp/*") })
}
