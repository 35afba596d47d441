package repository

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/internal/command"
	"vauban/internal/git"
)

// remote is the user's git repository.
type remote struct {
	git  git.Git
	url  string // without a password
	path string // on this machine; "" for a URL
}

func newRemote(o Options) (remote, error) {
	r := remote{url: o.Repo}
	if strings.HasPrefix(r.url, "-") {
		return r, fmt.Errorf("ANSIBLE_REPO %q is neither a URL nor a path", r.url)
	}
	ssh, err := sshCommand(o)
	if err != nil {
		return r, err
	}
	r.git = git.New(o.Environ).With("GIT_SSH_COMMAND=" + ssh)
	if r.path = o.LocalPath(); r.path != "" {
		r.url = r.path
		return r, nil
	}
	if !strings.Contains(o.Repo, "://") {
		return r, nil // user@host:path
	}
	u, err := url.Parse(o.Repo)
	if err != nil { // which repeats the URL, and with it a password
		return r, errors.New("ANSIBLE_REPO is not a URL: write special characters of its password as %XX, or set GIT_TOKEN_PASSWORD")
	}
	return r, r.authenticate(u, o)
}

// authenticate takes the password out of the URL and has git ask for it.
func (r *remote) authenticate(u *url.URL, o Options) (err error) {
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
		return nil
	}
	u.User = nil
	r.url = u.String()
	if username != "" || password != "" {
		r.git, err = r.git.WithLogin(u, username, password)
	}
	return err
}

// sshCommand never asks, never trusts a host it does not know, and gives up on
// one that does not answer.
func sshCommand(o Options) (string, error) {
	const strict = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes" +
		" -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
	if o.SSHKeyFile == "" {
		if own := command.Getenv(o.Environ, "GIT_SSH_COMMAND"); own != "" {
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

// uploadPack lets root read a user's repository. Git refuses other owners'
// repositories for fear of their hooks, which reading does not run, and this
// one was named by the user.
func (r remote) uploadPack() []string {
	if r.path == "" {
		return nil
	}
	return []string{"--upload-pack", "git -c safe.directory=* upload-pack"}
}

// allowFile says when git may follow paths to submodules. A path as the
// repository's URL makes paths of relative submodules, which git refuses
// unless the user named them.
func (r remote) allowFile() string {
	if r.path != "" {
		return "always"
	}
	return "user"
}

// isPath reports whether git takes this for a path, not for a URL or for
// user@host:path: a colon before the first slash makes it remote.
func isPath(repo string) bool {
	head, _, _ := strings.Cut(repo, "/")
	return !strings.Contains(head, ":")
}

// id names the repository in the state directory.
func (r remote) id() string { return digest.FromString(r.url).Encoded()[:16] }

// run runs git in dir and returns what it printed, or git's own words for what
// went wrong.
func (r remote) run(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := r.git.Run(ctx, dir, args...)
	if failed, ok := errors.AsType[*git.Error](err); ok && failed.Said != "" {
		return "", errors.New(failed.Said + remedy(failed.Said))
	}
	return out, err
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
