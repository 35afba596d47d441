package inside

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// setLine gives NAME=VALUE a line of its own in a file, or none for an empty
// value.
func (c *call) setLine(file, name, value string) error {
	var kept strings.Builder
	for line := range strings.Lines(c.root.text(file)) {
		if !strings.HasPrefix(line, name+"=") {
			kept.WriteString(line)
		}
	}
	if value != "" {
		if text := kept.String(); text != "" && !strings.HasSuffix(text, "\n") {
			kept.WriteString("\n")
		}
		fmt.Fprintf(&kept, "%s=%s\n", name, value)
	}
	if kept.Len() == 0 && !c.root.exists(file) {
		return nil
	}
	return c.root.write(file, kept.String())
}

// written ends well once something is in a file, with a note.
func (c *call) written(err error, note string) int {
	if err != nil {
		return c.fail(1, "vauban: %s: %v", c.name, err)
	}
	return c.passed(note)
}

// hostnamectl, where no systemd runs that it could ask. What it sets is in
// files.
func (c *call) hostnamectl() int {
	c.readVerb()
	switch verb := c.verb; verb {
	case "", "status", "hostname", "set-hostname":
		if c.operand == "" {
			return c.showHostname()
		}
		return c.setHostname()
	case "icon-name", "set-icon-name", "chassis", "set-chassis", "deployment", "set-deployment", "location", "set-location":
		if c.operand == "" {
			return c.real()
		}
		key := strings.ReplaceAll(strings.ToUpper(strings.TrimPrefix(verb, "set-")), "-", "_")
		return c.written(c.setLine("/etc/machine-info", key, `"`+c.operand+`"`), "written to /etc/machine-info")
	}
	return c.real()
}

func (c *call) showHostname() int {
	if c.verb != "hostname" && !c.holds("--static", "--transient") {
		fmt.Fprint(c.stdout, " Static hostname: ")
	}
	content, err := c.root.ReadFile("/etc/hostname")
	if err != nil {
		return c.fail(1, "%v", err)
	}
	_, _ = c.stdout.Write(content)
	return 0
}

func (c *call) setHostname() int {
	c.verb = "set-hostname"
	var err error
	if c.holds("--pretty") {
		err = c.setLine("/etc/machine-info", "PRETTY_HOSTNAME", `"`+c.operand+`"`)
	}
	if err == nil && (c.holds("--static") || !c.holds("--pretty", "--transient")) {
		err = c.root.write("/etc/hostname", c.operand+"\n")
	}
	return c.written(err, "the name holds from the next boot on")
}

func (c *call) localectl() int {
	c.readVerb()
	file := "/etc/default/locale"
	if c.root.exists("/etc/locale.conf") {
		file = "/etc/locale.conf"
	}
	switch c.verb {
	case "", "status":
		lines := strings.Split(strings.TrimSuffix(c.root.text(file), "\n"), "\n")
		fmt.Fprintf(c.stdout, "   System Locale: %s\n", strings.Join(lines, " "))
		return 0
	case "list-locales":
		return c.listLocales()
	case "set-locale":
		return c.written(c.setLocale(file), "written to "+file)
	case "set-keymap":
		return c.written(c.setLine("/etc/vconsole.conf", "KEYMAP", c.operand), "written to /etc/vconsole.conf")
	case "set-x11-keymap":
		return c.written(c.setLine("/etc/default/keyboard", "XKBLAYOUT", `"`+c.operand+`"`), "written to /etc/default/keyboard")
	}
	return c.real()
}

func (c *call) setLocale(file string) error {
	for _, word := range c.args {
		name, value, isAssignment := strings.Cut(word, "=")
		if strings.HasPrefix(word, "-") || word == "set-locale" {
			continue
		}
		if !isAssignment || name == "" || name[0] < 'A' || name[0] > 'Z' {
			name, value = "LANG", word
		}
		if err := c.setLine(file, name, value); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) listLocales() int {
	said, _ := c.said("locale", "-a")
	var found []string
	for line := range strings.SplitSeq(said, "\n") {
		lower := strings.ToLower(line)
		for _, suffix := range []string{".utf8", ".utf-8"} {
			if strings.HasSuffix(lower, suffix) {
				found = append(found, line[:len(line)-len(suffix)]+".UTF-8")
			}
		}
	}
	return c.printSorted(found)
}

// printSorted prints lines sorted, each once.
func (c *call) printSorted(lines []string) int {
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		fmt.Fprintln(c.stdout, line)
	}
	return 0
}

// linger is the folder of the users whose units start at boot.
const linger = "/var/lib/systemd/linger"

func (c *call) loginctl() int {
	c.readVerb()
	switch {
	case c.verb == "enable-linger" || c.verb == "disable-linger":
		return c.setLinger()
	case c.verb == "show-user":
		return c.showUser()
	case matchesAny(c.verb, "activate", "attach", "flush-devices", "kill-*", "lock-*", "terminate-*", "unlock-*"):
		return c.passed("no user is logged in")
	}
	return c.real()
}

func (c *call) setLinger() int {
	var users []string
	for _, word := range c.args {
		if !strings.HasPrefix(word, "-") && word != c.verb {
			users = append(users, word)
		}
	}
	if len(users) == 0 {
		users = []string{"root"}
	}
	for _, word := range users {
		found, ok := c.user(word)
		if !ok {
			return c.fail(1, "Failed to look up user %s: No such process", word)
		}
		file := path.Join(linger, path.Base(found.name))
		err := c.root.remove(file)
		if err == nil && c.verb == "enable-linger" {
			err = c.root.write(file, "")
		}
		if err != nil {
			return c.fail(1, "vauban: %s: %v", c.name, err)
		}
	}
	return c.passed("it holds from the next boot on")
}

func (c *call) showUser() int {
	who := c.operand
	if who == "" {
		who = "root"
	}
	found, ok := c.user(who)
	if !ok {
		return c.fail(1, "id: '%s': no such user", who)
	}
	if !c.root.exists(path.Join(linger, found.name)) {
		return c.fail(1, "Failed to get user: User ID %d is not logged in or lingering", found.uid)
	}
	return c.printAsked(fmt.Sprintf("UID=%d", found.uid), "Name="+found.name, fmt.Sprintf("RuntimePath=/run/user/%d", found.uid), "State=lingering", "Linger=yes")
}

// printAsked prints those of the properties NAME=value that are asked for.
func (c *call) printAsked(properties ...string) int {
	var asked []string
	bare := false
	for i := 0; i < len(c.args); i++ {
		switch word := c.args[i]; {
		case word == "-p" || word == "--property":
			if i++; i < len(c.args) {
				asked = append(asked, c.args[i])
			}
		case strings.HasPrefix(word, "-p"):
			asked = append(asked, word[2:])
		case strings.HasPrefix(word, "--property="):
			asked = append(asked, strings.TrimPrefix(word, "--property="))
		case word == "--value":
			bare = true
		}
	}
	code := 1
	for _, p := range properties {
		name, value, _ := strings.Cut(p, "=")
		if asked != nil && !slices.Contains(asked, name) {
			continue
		}
		if code = 0; bare {
			p = value
		}
		fmt.Fprintln(c.stdout, p)
	}
	return code
}
