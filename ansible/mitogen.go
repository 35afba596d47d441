package ansible

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// How tasks reach a host: config.yml's `ansible: {strategy: …}`.
const (
	// Mitogen keeps an interpreter in each container, where ansible starts
	// one for each task.
	Mitogen = "mitogen"
	// Linear is ansible's own way, whatever ansible.cfg says.
	Linear = "linear"
)

// strategy is how the tasks of a run are carried out.
type strategy struct{ independent, mitogen bool }

// strategy uses Mitogen because the user says so, or else because his
// ansible.cfg does.
func (p *Playbook) strategy(s settings) strategy {
	mitogen := strings.HasPrefix(s.text("DEFAULT_STRATEGY"), "mitogen")
	if own := p.controller.options.Strategy; own != "" {
		mitogen = own == Mitogen
	}
	return strategy{p.isIndependent(), mitogen}
}

// name is the strategy of plays that name none. Plays that do are overruled
// only where hosts are to be independent, see the callback plugin.
func (s strategy) name() string {
	switch {
	case s.independent && s.mitogen:
		return "vauban.build.mitogen_independent"
	case s.independent:
		return "vauban.build.independent"
	case s.mitogen:
		return "mitogen_linear"
	}
	return "linear"
}

func (s strategy) environ() []string {
	env := []string{"ANSIBLE_STRATEGY=" + s.name()}
	if s.mitogen {
		// it has one folder for all hosts, and takes no variable for it
		env = append(env, "ANSIBLE_REMOTE_TMP=/tmp")
	}
	return env
}

// goodMitogen is a version that runs every task of ansible-core 2.14 to 2.18.
const goodMitogen = "0.3.24"

// brokenActions are those that a Mitogen before goodMitogen cannot run: their
// module's name comes from a fact.
var brokenActions = []string{"service", "package"}

// MitogenTrouble says what does not work with these versions of ansible-core
// and Mitogen together, and which work. "" is nothing known.
func MitogenTrouble(core, mitogen string) string {
	if before(core, "2.14") || !before(mitogen, goodMitogen) {
		return ""
	}
	return fmt.Sprintf("Mitogen %s fails every `service:` and `package:` task under ansible-core %s: "+
		"take Mitogen %s (its strategy_plugins in ansible.cfg), or `strategy: %s`", mitogen, core, goodMitogen, Linear)
}

// before compares versions by their numbers.
func before(a, b string) bool { return slices.Compare(numbers(a), numbers(b)) < 0 }

func numbers(version string) []int {
	var all []int
	for _, part := range strings.Split(version, ".") {
		digits := len(part) - len(strings.TrimLeft(part, "0123456789"))
		n, _ := strconv.Atoi(part[:digits])
		all = append(all, n)
	}
	return all
}

// mitogenHint explains a failure of an action that this Mitogen cannot run.
func mitogenHint(e *event, core, mitogen string) string {
	action := e.Action[strings.LastIndex(e.Action, ".")+1:]
	if mitogen == "" || !slices.Contains(brokenActions, action) {
		return ""
	}
	if trouble := MitogenTrouble(core, mitogen); trouble != "" {
		return "\n" + trouble
	}
	return ""
}

var (
	coreVersion = regexp.MustCompile(`^ansible-playbook \[core ([0-9][^\]]*)\]`)
	pythonPath  = regexp.MustCompile(`(?m)^  python version = .*\((/[^()]+)\)$`)
)

// Versions are those of ansible-core and of the Mitogen that belongs to the
// same Python; "" where there is none. Empty program: the one on the PATH.
func Versions(ctx context.Context, program string) (core, mitogen string, err error) {
	out, core, err := askVersion(exec.CommandContext(ctx, cmp.Or(program, "ansible-playbook"), "--version"))
	if err != nil {
		return "", "", err
	}
	if python := pythonPath.FindSubmatch(out); python != nil {
		ask := exec.CommandContext(ctx, filepath.Clean(string(python[1])), "-c", "import mitogen; print('.'.join(map(str, mitogen.__version__)))")
		if out, err := ask.Output(); err == nil {
			mitogen = strings.TrimSpace(string(out))
		}
	}
	return core, mitogen, nil
}

func askVersion(cmd *exec.Cmd) (out []byte, core string, err error) {
	if out, err = cmd.Output(); err != nil {
		return nil, "", fmt.Errorf("asking ansible for its version: running %q: %w", cmd.Path, err)
	}
	found := coreVersion.FindSubmatch(out)
	if found == nil {
		return nil, "", fmt.Errorf("asking ansible for its version: %q says %q", cmd.Path, firstLine(string(out)))
	}
	return out, string(found[1]), nil
}

// oldestCore is the first ansible-core that playbooks are run with.
const oldestCore = "2.14"

// CheckVersion refuses an ansible that cannot run or is too old.
func (c *Controller) CheckVersion(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.programs.playbook, "--version")
	cmd.Env = c.programs.environ
	_, core, err := askVersion(cmd)
	if err == nil && before(core, oldestCore) {
		err = fmt.Errorf("%q is of ansible-core %s, and vauban needs %s or newer: install one, e.g. in a virtual environment, and set ANSIBLE_PLAYBOOK to its ansible-playbook",
			c.programs.playbook, core, oldestCore)
	}
	return err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
