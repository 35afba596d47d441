package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// git runs git in a folder. What it needs to log in goes through its
// environment: neither the command line nor an error has it.
type git struct {
	dir     string
	environ []string
	secrets []secret
}

// newGit leaves out of environ what a hook that we may run in was told of its
// own repository, and lets nothing ask on a terminal.
func newGit(dir string, environ []string) *git {
	g := &git{dir: dir}
	for _, variable := range environ {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_QUARANTINE_PATH":
		default:
			g.environ = append(g.environ, variable)
		}
	}
	// An empty GIT_ASKPASS keeps git from asking by SSH_ASKPASS.
	g.environ = append(g.environ, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=")
	return g
}

// with returns a git that has more variables.
func (g *git) with(environ ...string) *git {
	more := *g
	more.environ = append(more.environ[:len(more.environ):len(more.environ)], environ...)
	return &more
}

// in returns a git that runs in another folder.
func (g *git) in(dir string) *git {
	elsewhere := *g
	elsewhere.dir = dir
	return &elsewhere
}

// helper prints what git reads from a credential helper. printf is built into
// the shell: no process has the password in its arguments.
// Source: https://git-scm.com/docs/gitcredentials#_custom_helpers
const helper = `!f() { if test "$1" = get; then printf 'username=%s\npassword=%s\n' "$VAUBAN_GIT_USERNAME" "$VAUBAN_GIT_PASSWORD"; fi; }; f`

// withLogin returns a git that logs in to the server of a URL, and to no other.
func (g *git) withLogin(server *url.URL, username, password string) (*git, error) {
	if strings.ContainsAny(username+password, "\r\n\x00") {
		return nil, errors.New("GIT_TOKEN_USERNAME or GIT_TOKEN_PASSWORD has a line break in it: remove it")
	}
	key := "credential." + server.Scheme + "://" + server.Host + ".helper"
	// The empty helper takes away those of the user.
	more := g.withConfig([2]string{key, ""}, [2]string{key, helper})
	more = more.with("VAUBAN_GIT_USERNAME="+username, "VAUBAN_GIT_PASSWORD="+password)
	more.secrets = append(more.secrets, newSecret(password), newSecret(url.QueryEscape(password)))
	return more, nil
}

// withConfig returns a git that has more configuration, after what the
// environment gives it already.
// Source: https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT
func (g *git) withConfig(settings ...[2]string) *git {
	count := 0
	for _, variable := range g.environ {
		if text, ok := strings.CutPrefix(variable, "GIT_CONFIG_COUNT="); ok {
			count, _ = strconv.Atoi(text)
		}
	}
	var environ []string
	for _, setting := range settings {
		environ = append(environ,
			fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", count, setting[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", count, setting[1]))
		count++
	}
	return g.with(append(environ, fmt.Sprintf("GIT_CONFIG_COUNT=%d", count))...)
}

// run returns what git printed, without the line break at its end.
func (g *git) run(ctx context.Context, arguments ...string) (string, error) {
	output, err := g.feed(ctx, "", arguments...)
	return strings.TrimSuffix(output, "\n"), err
}

// feed gives git something to read, and returns all that it printed.
func (g *git) feed(ctx context.Context, input string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", append([]string{"-C", g.dir}, arguments...)...)
	command.Env = g.environ
	// With all that git starts: a helper or ssh would hold the output open.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	command.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("running git %s: %w", arguments[0], context.Cause(ctx))
		}
		words := strings.TrimSpace(stderr.String())
		for _, s := range g.secrets {
			words = redact(words, s.reveal())
		}
		return "", fmt.Errorf("running git %s: %w: %s", arguments[0], err, words)
	}
	return stdout.String(), nil
}

// ask is run for commands that answer with an exit code: no is the one that
// means that there is no answer.
func (g *git) ask(ctx context.Context, no int, arguments ...string) (answer string, ok bool, err error) {
	answer, err = g.run(ctx, arguments...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == no {
		return "", false, nil
	}
	return answer, err == nil, err
}
