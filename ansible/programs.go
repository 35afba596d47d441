package ansible

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"vauban/ansible/repository"
	"vauban/internal/command"
)

// programs are those of one installation of ansible.
type programs struct {
	playbook string // the path of ansible-playbook
	environ  []string
	dir      string // the user's folder
	redact   func(text string) string
	warnings *warnings
}

func findPlaybookProgram(o Options) (string, error) {
	name := cmp.Or(o.Program, "ansible-playbook")
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(o.Repository.Dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("finding %q: %w: install ansible-core (`apt install ansible-core`), "+
			"or set ANSIBLE_PLAYBOOK to an ansible-playbook", name, err)
	}
	return path, nil
}

// path is where a program of this installation is.
func (p *programs) path(name string) string {
	if name == "ansible-playbook" {
		return p.playbook
	}
	if path := filepath.Join(filepath.Dir(p.playbook), name); isFile(path) {
		return path
	}
	return name
}

// environIn is the environment of every program in a working copy.
func (p *programs) environIn(wc *repository.Copy) []string {
	env := append(withLogin(p.environ),
		"LC_ALL=C.UTF-8", // ansible refuses others
		"ANSIBLE_NOCOLOR=true", "ANSIBLE_FORCE_COLOR=false",
		"ANSIBLE_LOCAL_TEMP="+filepath.Join(wc.Dir, "tmp"),
		"ANSIBLE_RETRY_FILES_ENABLED=false",
		// A source that fails is not a source without hosts. (Without any
		// source, ANSIBLE_INVENTORY_UNPARSED_FAILED would refuse that too.)
		"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true",
	)
	config := command.Getenv(env, "ANSIBLE_CONFIG")
	switch {
	case config != "" && !filepath.IsAbs(config):
		env = append(env, "ANSIBLE_CONFIG="+filepath.Join(p.dir, config))
	case config == "" && isFile(configFile(wc)):
		// Named outright, because ansible skips an ansible.cfg that it
		// finds in a folder others may write to.
		env = append(env, "ANSIBLE_CONFIG="+configFile(wc))
	}
	return env
}

// withLogin adds the name of the user where a CI job's container does not say
// it: defaults of roles look it up on the builder.
func withLogin(environ []string) []string {
	env := slices.Clone(environ)
	who, err := user.Current()
	if err != nil {
		return env
	}
	for _, name := range []string{"USER", "LOGNAME"} {
		if command.Getenv(env, name) == "" {
			env = append(env, name+"="+who.Username)
		}
	}
	return env
}

// ask runs a program that only reads, and returns its standard output. Its
// environment is that of every program, and more.
func (p *programs) ask(ctx context.Context, wc *repository.Copy, more []string, name string, args ...string) (string, error) {
	var stdout bytes.Buffer
	var said command.Tail
	cmd := exec.CommandContext(ctx, p.path(name), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = wc.Root, append(p.environIn(wc), more...), &stdout, &said
	command.Group(cmd, syscall.SIGTERM, killAfter)
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	text := p.redact(wc.Relative(unwrapped(said.String())))
	if err != nil {
		return "", errors.New(fmt.Sprintf("%s: %v\n%s", name, err, text) + inventoryAdvice(text))
	}
	p.warnings.repeat(text)
	return stdout.String(), nil
}
