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
