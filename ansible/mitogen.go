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

// usesMitogen: because the user says so, or else because his ansible.cfg does.
func (p *Playbook) usesMitogen(s settings) bool {
	if own := p.controller.options.Strategy; own != "" {
		return own == Mitogen
	}
	return strings.HasPrefix(s.text("DEFAULT_STRATEGY"), "mitogen")
}

// strategy for plays that name none. Plays that do are overruled only where
// hosts are to be independent, see the callback plugin.
func (p *Playbook) strategy(s settings) string {
	independent, mitogen := p.options.Conffs && p.options.Mode != Together, p.usesMitogen(s)
	switch {
	case independent && mitogen:
		return "vauban.build.mitogen_independent"
	case independent:
		return "vauban.build.independent"
	case mitogen:
		return "mitogen_linear"
	}
	return "linear"
}

func (p *Playbook) strategyEnviron(s settings) []string {
	env := []string{"ANSIBLE_STRATEGY=" + p.strategy(s)}
	if p.usesMitogen(s) {
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
func (r *Controller) CheckVersion(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, r.options.Program, "--version")
	cmd.Env = r.options.Repository.Environ
	_, core, err := askVersion(cmd)
	if err == nil && before(core, oldestCore) {
		err = fmt.Errorf("%q is of ansible-core %s, and vauban needs %s or newer: install one, e.g. in a virtual environment, and set ANSIBLE_PLAYBOOK to its ansible-playbook",
			r.options.Program, core, oldestCore)
	}
	return err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
