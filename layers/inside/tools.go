package inside

import (
	"bufio"
	"fmt"
)

// listServices prints the services that systemd would know on the machine, one
// a line: its name, its two states, the state of its file, its description.
func listServices(c *call) int {
	out := bufio.NewWriter(c.stdout)
	for _, s := range SystemUnits(c.root).Services() {
		fmt.Fprintln(out, s.name, s.Active(), s.how, s.enabled, s.description)
	}
	if err := out.Flush(); err != nil {
		return c.fail(1, "vauban: printing the services: %v", err)
	}
	return 0
}
