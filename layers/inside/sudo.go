package inside

import (
	"slices"
	"strings"
)

// sudo gives what it runs the stage's environment, which it would drop.
func (c *call) sudo() int {
	at, ok := sudoCommand(c.args)
	if !ok || strings.Contains(c.line(), "BECOME-SUCCESS-") { // ansible's own
		return c.real()
	}
	kept := []string{"env", "PATH=" + c.getenv("PATH"), "VAUBAN_TASK=" + c.getenv("VAUBAN_TASK")}
	for _, name := range []string{"SYSTEMD_OFFLINE", "DEBIAN_FRONTEND"} {
		if value := c.getenv(name); value != "" {
			kept = append(kept, name+"="+value)
		}
	}
	return c.realWith(slices.Insert(slices.Clone(c.args), at, kept...)...)
}

// sudoCommand returns where the command begins. There is none for sudo to run
// as it is where it has an option for a shell, an editor or a list.
func sudoCommand(args []string) (at int, ok bool) {
	skip := false
	for i, word := range args {
		switch {
		case skip:
			skip = false
		case slices.Contains([]string{"--login", "--shell", "--list", "--edit"}, word):
			return 0, false
		case slices.Contains([]string{"--user", "--group", "--prompt", "--chdir", "--close-from", "--chroot", "--role", "--type", "--command-timeout", "--host"}, word):
			skip = true
		case strings.HasPrefix(word, "--"):
		case len(word) > 1 && word[0] == '-':
			if skip, ok = sudoLetters(word[1:]); !ok {
				return 0, false
			}
		case word == "-":
		default:
			return i, true
		}
	}
	return 0, false
}

// sudoLetters reads several options in one word: -nu root, -uroot. It says
// whether the last takes the next word.
func sudoLetters(letters string) (takesNext, ok bool) {
	for i, letter := range letters {
		switch {
		case strings.ContainsRune("eils", letter):
			return false, false
		case strings.ContainsRune("CDghpRrTtUu", letter):
			return i == len(letters)-1, true
		}
	}
	return false, true
}

// capsh lets AIDE read every file by a capability that no container gets, for it
// leads out of it. One that containers have reads as much.
func (c *call) capsh() int {
	args := slices.Clone(c.args)
	for i, word := range args {
		if matchesAny(word, "--caps=*", "--inh=*", "--addamb=*") {
			args[i] = strings.ReplaceAll(word, "cap_dac_read_search", "cap_dac_override")
		}
	}
	return c.realWith(args...)
}

// machinectl runs a command as a user: its other verbs are about machines.
func (c *call) machinectl() int {
	c.readVerb()
	if c.verb != "shell" {
		return c.real()
	}
	var command []string
	if at := slices.Index(c.args, c.operand); at >= 0 {
		command = c.args[at+1:]
	}
	who := "root"
	if name, _, found := strings.Cut(c.operand, "@"); found && name != "" {
		who = name
	}
	found, _ := c.user(who)
	if len(command) == 0 {
		command = []string{found.shell}
	}
	return c.exec("runuser", append([]string{"-u", who, "--", "env", "HOME=" + found.home, "SHELL=" + found.shell, "USER=" + who, "LOGNAME=" + who}, command...)...)
}
