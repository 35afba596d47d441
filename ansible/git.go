package ansible

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// remote is the user's git repository.
type remote struct {
	url     string   // without a password
	path    string   // on this machine; "" for a URL
	environ []string // of git
	secrets []string // never to be shown
}

// credentialHelper answers git from its environment: a password must not
// stand among any process's arguments.
const credentialHelper = `!f() { test "$1" = get && ` +
	`printf 'username=%s\npassword=%s\n' "$VAUBAN_GIT_USERNAME" "$VAUBAN_GIT_PASSWORD"; }; f`

func newRemote(o Options) (remote, error) {
	r := remote{url: o.Repo}
	if strings.HasPrefix(r.url, "-") {
		return r, fmt.Errorf("ANSIBLE_REPO %q is no URL or path", r.url)
	}
	ssh, err := o.sshCommand()
	if err != nil {
		return r, err
	}
	r.environ = append(slices.Concat(patience, o.Environ),
		"GIT_SSH_COMMAND="+ssh, "GIT_TERMINAL_PROMPT=0", "SSH_ASKPASS_REQUIRE=never", "LC_ALL=C.UTF-8")
	if isPath(o.Repo) {
		r.path = o.Repo
		if !filepath.IsAbs(r.path) {
			r.path = filepath.Join(o.Dir, r.path)
		}
		r.url = r.path
		return r, nil
	}
	if !strings.Contains(o.Repo, "://") {
		return r, nil // user@host:path
	}
	u, err := url.Parse(o.Repo)
	if err != nil { // which repeats the URL, and with it a password
		return r, errors.New("ANSIBLE_REPO is no URL: write special characters of its password as %XX, or set GIT_TOKEN_PASSWORD")
	}
	r.authenticate(u, o)
	return r, nil
}

// authenticate takes the password out of the URL and has git ask for it.
func (r *remote) authenticate(u *url.URL, o Options) {
	username, password := o.Username, o.Password
	if u.User != nil {
		username = u.User.Username()
		if own, ok := u.User.Password(); ok {
			password = own
		}
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		if u.User != nil {
			u.User = url.User(username) // ssh has no use for a password
		}
		r.url = u.String()
		return
	}
	u.User = nil
	r.url = u.String()
	if username == "" && password == "" {
		return
	}
	r.secrets = []string{password}
	if password == "" {
		r.secrets = []string{username} // a token may stand in the user's place
	}
	r.environ = append(r.environ,
		"VAUBAN_GIT_USERNAME="+username, "VAUBAN_GIT_PASSWORD="+password,
		"GIT_CONFIG_COUNT=1",
		fmt.Sprintf("GIT_CONFIG_KEY_0=credential.%s://%s.helper", u.Scheme, u.Host),
		"GIT_CONFIG_VALUE_0="+credentialHelper)
}

// patience is how long git waits for a server over HTTP that sends nothing:
// the user's own variables come after, and win. A server that works sends signs
// of life every few seconds.
var patience = []string{"GIT_HTTP_LOW_SPEED_LIMIT=1", "GIT_HTTP_LOW_SPEED_TIME=120"}

// sshCommand never asks, never trusts a host it does not know, and gives up on
// one that does not answer.
func (o Options) sshCommand() (string, error) {
	const strict = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes" +
		" -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
	if o.SSHKeyFile == "" {
		if own := getenv(o.Environ, "GIT_SSH_COMMAND"); own != "" {
			return own, nil
		}
		return strict, nil
	}
	key := o.SSHKeyFile
	if !filepath.IsAbs(key) {
		key = filepath.Join(o.Dir, key)
	}
	if !isFile(key) {
		return "", fmt.Errorf("reading the deploy key %q: no such file: correct ANSIBLE_SSH_KEY", key)
	}
	return strict + " -o IdentitiesOnly=yes -i '" + strings.ReplaceAll(key, "'", `'\''`) + "'", nil
}

// isPath tells a path from a URL and from user@host:path, as git does: a colon
// before the first slash makes it remote.
func isPath(repo string) bool {
	head, _, _ := strings.Cut(repo, "/")
	return !strings.Contains(head, ":")
}

// id names the repository in the state directory.
func (r remote) id() string { return digest.FromString(r.url).Encoded()[:16] }

// git runs git in dir and returns what it printed.
func (r remote) git(ctx context.Context, dir string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, r.environ, &stdout, &stderr
	// With all that git starts: ssh would hold the output open.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = drainFor
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	said := strings.TrimSpace(stderr.String())
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "", fmt.Errorf("starting git: %w: install it (`apt install git`)", err)
	}
	return "", errors.New(r.redact(said) + remedy(said))
}

// redact takes the password out of what git or ansible-galaxy said.
func (r remote) redact(text string) string {
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, "[redacted]")
		text = strings.ReplaceAll(text, url.QueryEscape(secret), "[redacted]")
	}
	return text
}

// remedy says what to do about git's most frequent refusals.
func remedy(said string) string {
	switch {
	case strings.Contains(said, "Host key verification failed"):
		return ": add the server's key to ~/.ssh/known_hosts after checking it (`ssh-keyscan SERVER` shows it)"
	case strings.Contains(said, "Permission denied (publickey"):
		return ": set ANSIBLE_SSH_KEY to a deploy key that the server knows"
	case strings.Contains(said, "could not read Username"), strings.Contains(said, "Authentication failed"):
		return ": set GIT_TOKEN_USERNAME and GIT_TOKEN_PASSWORD"
	}
	return ""
}

// withoutGit drops what would tie git to the repository that vauban itself
// was started in, by a git hook for instance.
func withoutGit(environ []string) []string {
	tied := []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
		"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_CONFIG_PARAMETERS", "GIT_SHALLOW_FILE"}
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(tied, name)
	})
}
