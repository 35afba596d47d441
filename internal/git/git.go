// Package git runs git(1) so that it never asks, knows nothing of a repository
// that this program was started in, and shows no password: neither a command
// line nor an error has one.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vauban/internal/command"
	"vauban/internal/redact"
)

// Git is how git is run. It is a value: what adds to it returns another.
type Git struct {
	environ []string
	secrets []string // never to be shown
}

// defaults lose to the user's own variables, which come after them: how long git
// waits for a server over HTTP that sends nothing, where one that works sends
// signs of life every few seconds; and that nobody is asked for a password, by
// SSH_ASKPASS for instance. A job may have a program at GIT_ASKPASS that knows it.
var defaults = []string{"GIT_HTTP_LOW_SPEED_LIMIT=1", "GIT_HTTP_LOW_SPEED_TIME=120", "GIT_ASKPASS="}

// New returns a git with the variables of environ that are not [Untied], which
// never asks on a terminal.
func New(environ []string) Git {
	return Git{environ: slices.Concat(defaults, Untied(environ),
		[]string{"LC_ALL=C.UTF-8", "GIT_TERMINAL_PROMPT=0", "SSH_ASKPASS_REQUIRE=never"})}
}

// Untied drops what would tie git to the repository that this program itself
// was started in, by a git hook for instance.
func Untied(environ []string) []string {
	tied := []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
		"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_CONFIG_PARAMETERS", "GIT_SHALLOW_FILE",
		"GIT_QUARANTINE_PATH"}
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(tied, name)
	})
}

// Environ are git's variables, for a program that runs git itself. A password
// is among them.
func (g Git) Environ() []string { return slices.Clone(g.environ) }

// With returns a git that has more variables.
func (g Git) With(environ ...string) Git {
	g.environ = slices.Concat(g.environ, environ)
	return g
}

// WithConfig returns a git that has more configuration, after what the
// environment gives it already.
// Source: https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT
func (g Git) WithConfig(settings ...[2]string) Git {
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
	return g.With(append(environ, fmt.Sprintf("GIT_CONFIG_COUNT=%d", count))...)
}

// helper prints what git reads from a credential helper. printf is built into
// the shell: no process has the password in its arguments.
// Source: https://git-scm.com/docs/gitcredentials#_custom_helpers
const helper = `!f() { if test "$1" = get; then printf 'username=%s\npassword=%s\n' "$VAUBAN_GIT_USERNAME" "$VAUBAN_GIT_PASSWORD"; fi; }; f`

// WithLogin returns a git that logs in to the server of a URL, and to no other.
func (g Git) WithLogin(server *url.URL, username, password string) (Git, error) {
	if strings.ContainsAny(username+password, "\r\n\x00") {
		return Git{}, errors.New("GIT_TOKEN_USERNAME or GIT_TOKEN_PASSWORD has a line break in it: remove it")
	}
	secret := password
	if secret == "" {
		secret = username // a token may stand in the user's place
	}
	key := "credential." + server.Scheme + "://" + server.Host + ".helper"
	if password != "" {
		// The empty helper takes away those of the user. One of them may know
		// the password of a name that comes without.
		g = g.WithConfig([2]string{key, ""})
	}
	g = g.WithConfig([2]string{key, helper})
	g = g.With("VAUBAN_GIT_USERNAME="+username, "VAUBAN_GIT_PASSWORD="+password)
	g.secrets = slices.Concat(g.secrets, []string{secret, url.QueryEscape(secret)})
	return g, nil
}

// Redact takes the password out of a text.
func (g Git) Redact(text string) string {
	return redact.Text(text, g.secrets...)
}

// An Error is what git said when it failed.
type Error struct {
	Command string // as "fetch"
	Said    string // without the password
	Err     error  // an [exec.ExitError]
}

func (e *Error) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("running git %s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("running git %s: %v: %s", e.Command, e.Err, e.Said)
}

// Unwrap returns how git ended.
func (e *Error) Unwrap() error { return e.Err }

// Run runs git in a folder and returns what it printed.
func (g Git) Run(ctx context.Context, dir string, args ...string) (string, error) {
	return g.Feed(ctx, dir, "", args...)
}

// Feed is Run with something for git to read.
func (g Git) Feed(ctx context.Context, dir, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, g.environ
	// ssh or a helper would hold the output open.
	command.Group(cmd, syscall.SIGTERM, 5*time.Second)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("running git %s: %w", args[0], context.Cause(ctx))
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("starting git: %w: install it (`apt install git`)", err)
	}
	return "", &Error{args[0], g.Redact(strings.TrimSpace(stderr.String())), err}
}
