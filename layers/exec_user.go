package layers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/moby/sys/user"

	"vauban/internal/beneath"
	"vauban/layers/enter"
)

// fillRun makes /run what it would be after a boot. What the script says is
// about what only a real boot can do.
func (c *Container) fillRun(ctx context.Context) error {
	out, err := c.output(ctx, insideDir+"/fill-run")
	if err == nil && strings.TrimSpace(out) != "" {
		c.engine.log.Debug("filling /run", "container", c.Name(), "said", lastLines(out, 3))
	}
	return err
}

func (c *Container) has(path string) bool {
	return c.Inside(func() error { _, err := beneath.Stat("/", path); return err }) == nil
}

// becomes sets whom a command runs as, as the image's files know him.
func (c *Container) becomes(o *enter.Options, who string) error {
	if who == "" || who == "root" || who == "0" {
		return nil
	}
	var found *user.ExecUser
	err := c.Inside(func() (err error) {
		found, err = ExecUser(who)
		return err
	})
	if err != nil {
		return fmt.Errorf("looking for user %q: %w", who, err)
	}
	o.User = &enter.User{UID: uint32(found.Uid), GID: uint32(found.Gid)}
	for _, id := range found.Sgids {
		o.User.Groups = append(o.User.Groups, uint32(id))
	}
	o.Env = append([]string{"HOME=" + found.Home}, o.Env...)
	return nil
}

// maxUsers bounds /etc/passwd and /etc/group of an image, in bytes.
const maxUsers = 16 << 20

// ExecUser finds "NAME|UID[:GROUP|GID]" in the files of the image whose root is
// this thread's, within [Container.Inside]. A missing file is an empty one.
func ExecUser(who string) (*user.ExecUser, error) {
	var lists [2][]byte
	for i, path := range []string{"/etc/passwd", "/etc/group"} {
		list, err := beneath.ReadFile(context.Background(), "/", path, maxUsers)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		lists[i] = list
	}
	return userIn(who, lists[0], lists[1])
}

// userIn finds a user in the text of /etc/passwd and /etc/group. The library takes
// any numbers: -1 would leave the command root, and so would 2^32.
func userIn(who string, passwd, group []byte) (*user.ExecUser, error) {
	found, err := user.GetExecUser(who, &user.ExecUser{}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return nil, err
	}
	for _, id := range append([]int{found.Uid, found.Gid}, found.Sgids...) {
		if id < 0 || id >= math.MaxUint32 {
			return nil, fmt.Errorf("the image's lists of users have the number %d, which no user can have", id)
		}
	}
	return found, nil
}
