package inside

import (
	"fmt"
	"path"
	"strings"
)

// profiles of AppArmor, by their mode.
type profile struct{ name, mode string }

// profiles are those that a boot loads from /etc/apparmor.d.
func (c *call) profiles() (found []profile) {
	const dir = "/etc/apparmor.d"
	entries, _ := c.root.ReadDir(dir)
	for _, entry := range entries {
		base := entry.Name()
		file := path.Join(dir, base)
		if matchesAny(base, "*.dpkg-*", "*~", ".*") || !c.root.isFile(file) || c.root.exists(path.Join(dir, "disable", base)) {
			continue
		}
		mode := "enforce"
		if c.root.exists(path.Join(dir, "force-complain", base)) || complains(c.root.text(file)) {
			mode = "complain"
		}
		var names limited
		c.start(output{stdout: &names}, "apparmor_parser", "--names", c.root.Join(file))
		for name := range strings.Lines(names.String()) {
			found = append(found, profile{strings.TrimSuffix(name, "\n"), mode})
		}
	}
	return found
}

// complains says whether a profile's flags have the mode.
func complains(text string) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if _, flags, found := strings.Cut(line, "flags=("); found && strings.Contains(flags, "complain") {
			return true
		}
	}
	return false
}

func (c *call) appArmorParser() int {
	if c.holds("-Q", "--skip-kernel-load", "-N", "--names", "-S", "--stdout", "-p", "--preprocess", "-V") {
		return c.real()
	}
	return c.passed("a stage loads no profile")
}

// appArmorChange edits profiles.
func (c *call) appArmorChange() int {
	c.note("a stage loads no profile")
	return c.realWith(append(c.args[:len(c.args):len(c.args)], "--no-reload")...)
}

// appArmorStatus says what the machine's own will once it has booted.
func (c *call) appArmorStatus() int {
	if !c.root.executable("/usr/sbin/apparmor_parser") && !c.root.executable("/sbin/apparmor_parser") {
		return c.real()
	}
	if c.name != "aa-enabled" {
		fmt.Fprint(c.stdout, appArmorReport(c.line(), c.profiles()))
	} else if !c.holds("-q", "--quiet") {
		fmt.Fprintln(c.stdout, "Yes")
	}
	return c.passed("it says what a boot loads")
}

// appArmorReport is what aa-status prints for a command line.
func appArmorReport(line string, profiles []profile) string {
	of := func(mode string) (names []string) {
		for _, p := range profiles {
			if p.mode == mode {
				names = append(names, p.name)
			}
		}
		return names
	}
	switch {
	case strings.Contains(line, "--enabled"):
		return ""
	case strings.Contains(line, "--profiled"):
		return fmt.Sprintln(len(profiles))
	case strings.Contains(line, "--enforced"):
		return fmt.Sprintln(len(of("enforce")))
	case strings.Contains(line, "--complaining"):
		return fmt.Sprintln(len(of("complain")))
	case matchesAny(line, "*--kill*", "*--special-unconfined*", "*--process-mixed*"):
		return "0\n"
	case strings.Contains(line, "json"):
		return appArmorJSON(profiles)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "apparmor module is loaded.\n%d profiles are loaded.\n", len(profiles))
	for _, mode := range []string{"enforce", "complain", "kill", "unconfined"} {
		fmt.Fprintf(&out, "%d profiles are in %s mode.\n", len(of(mode)), mode)
		for _, name := range of(mode) {
			fmt.Fprintf(&out, "   %s\n", name)
		}
	}
	return out.String() + "0 processes have profiles defined.\n"
}

func appArmorJSON(profiles []profile) string {
	var parts []string
	for _, p := range profiles {
		parts = append(parts, fmt.Sprintf("%q: %q", p.name, p.mode))
	}
	return fmt.Sprintf(`{"version": "2", "profiles": {%s}, "processes": {}}`+"\n", strings.Join(parts, ","))
}
