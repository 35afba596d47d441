package layers

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
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

// user gives the command that becomes who, as the image's files know him.
func (c *Container) user(who string) ([]string, error) {
	if who == "" || who == "root" || who == "0" {
		return nil, nil
	}
	var found *user.ExecUser
	err := c.Inside(func() (err error) {
		found, err = user.GetExecUserPath(who, &user.ExecUser{}, "/etc/passwd", "/etc/group")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for user %q: %w", who, err)
	}
	groups := []string{"--clear-groups"}
	if len(found.Sgids) > 0 {
		ids := make([]string, len(found.Sgids))
		for i, id := range found.Sgids {
			ids[i] = strconv.Itoa(id)
		}
		groups = []string{"--groups", strings.Join(ids, ",")}
	}
	argv := append([]string{"setpriv", "--reuid", strconv.Itoa(found.Uid), "--regid", strconv.Itoa(found.Gid)}, groups...)
	return append(argv, "env", "HOME="+found.Home), nil
}
