package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"
)

// CommitMessage is the subject of the commits that CommitVault makes.
const CommitMessage = "[CI] Update vault/"

// CommitOptions say where CommitVault pushes to and as whom. The zero value
// pushes the current branch to origin with what git is set up with.
type CommitOptions struct {
	// Username and Password log in to a remote that is reached by http or
	// https, and win over what its URL has. Others log in with their own means.
	Username string
	Password string `json:"-"`
	// Remote is a remote's name. Empty is "origin".
	Remote string
	// Branch is the one to push to. Empty is the current one; a CI system that
	// checks out a commit has none, and tells the branch in its environment.
	Branch string
	// Name and Email are the commit's. Without an Email they are what git is
	// configured with, else "vauban" and "vauban@localhost".
	Name, Email string
	// Attempts is how often the push is tried in all, each time on top of what
	// the remote has by then. Zero is 8.
	Attempts int
	// Backoff is the time before the second attempt; it doubles each time, up
	// to 10 s. Zero is 500 ms.
	Backoff time.Duration
	// Environ is git's, as [os.Environ] has it, which nil means.
	Environ []string `json:"-"`
	// Log gets the failed attempts. Nil drops them.
	Log *slog.Logger `json:"-"`
}

// Format prints the options without the password, whatever the verb.
func (o CommitOptions) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "remote %q, branch %q, user %q", o.Remote, o.Branch, o.Username)
}

// LogValue keeps the password out of structured logs.
func (o CommitOptions) LogValue() slog.Value {
	return slog.GroupValue(slog.String("remote", o.Remote), slog.String("branch", o.Branch), slog.String("username", o.Username))
}

// LostError names the hosts whose identity the remote already had, another one
// than ours. The remote's stands, and is what the store has now. What was
// built with ours must not be used.
type LostError struct{ Hosts []string }

// Error says what to do.
func (e *LostError) Error() string {
	return fmt.Sprintf("another run gave %s an identity at the same time, which stands: build and publish again what has these hosts",
		strings.Join(e.Hosts, ", "))
}

// Is makes it an [ErrConflict].
func (e *LostError) Is(target error) bool { return target == ErrConflict }

// CommitVault commits the identities that were created or changed in dir, the
// folder of a [Local] store, and pushes that commit to the remote's branch, on
// top of what it has by then. It returns the hosts that were pushed.
//
// Nothing but these files gets into the commit, and nothing else of the work
// tree is touched: no rebase that could stop half way. HEAD and the index
// follow when HEAD was where the remote is. A host that was removed stays in
// the repository until somebody commits that. When another run was quicker
// with one of the hosts, the error is a *[LostError], and the others are pushed.
func CommitVault(ctx context.Context, dir string, o CommitOptions) ([]string, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no identity was ever created
	}
	c, err := newCommitter(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("committing %q: %w", dir, err)
	}
	unchanged, err := c.unchanged(ctx)
	if err == nil && !unchanged {
		err = c.find(ctx, o)
	}
	if err != nil {
		return nil, fmt.Errorf("committing %q: %w", dir, err)
	}
	if unchanged {
		return nil, nil
	}
	for attempt := 1; ; attempt++ {
		hosts, err := c.attempt(ctx)
		if err == nil {
			return hosts, nil
		}
		var remote *remoteError
		if !errors.As(err, &remote) || attempt >= c.attempts || ctx.Err() != nil {
			return hosts, fmt.Errorf("committing %q: %w", dir, err)
		}
		c.log.WarnContext(ctx, "pushing the vault again", "attempt", attempt, "error", err)
		if err := wait(ctx, c.backoff); err != nil {
			return nil, fmt.Errorf("committing %q: %w", dir, err)
		}
		c.backoff = min(2*c.backoff, 10*time.Second)
	}
}

// remoteError is what a remote said, or did not: somebody was quicker, or the
// network failed. Both may be better the next time.
type remoteError struct{ error }

func (e *remoteError) Unwrap() error { return e.error }
