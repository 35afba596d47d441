package layers

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/user"

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
	return c.Inside(func() error { _, err := os.Stat(path); return err }) == nil
}

// becomes sets whom a command runs as, as the image's files know him.
func (c *Container) becomes(o *enter.Options, who string) error {
	if who == "" || who == "root" || who == "0" {
		return nil
	}
	var found *user.ExecUser
	err := c.Inside(func() (err error) {
		found, err = user.GetExecUserPath(who, &user.ExecUser{}, "/etc/passwd", "/etc/group")
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
