package inside

import (
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// mounted says whether /etc/fstab makes a mount unit.
func (u *Units) mounted(name string) bool {
	for line := range strings.Lines(string(u.read("/etc/fstab"))) {
		fields := strings.Fields(line)
		if len(fields) > 1 && !strings.HasPrefix(fields[0], "#") && unit.UnitNamePathEscape(fields[1])+suffixOf(name) == name {
			return true
		}
	}
	return false
}
