package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vauban/internal/git"
)

// A committer does what CommitVault says, for one folder and one remote.
type committer struct {
	git      repository // for what does not talk to the remote, and needs no login
	network  repository
	top      string // folder of the work tree
	store    *Local
	prefix   string // of the folder in the repository, with "/" at its end
	remote   string // name
	address  string // of the remote, without a password
	branch   string
	attempts int
	backoff  time.Duration
	log      *slog.Logger
}

func newCommitter(ctx context.Context, dir string, o CommitOptions) (*committer, error) {
	c := &committer{store: NewLocal(dir, ""), remote: o.Remote, branch: o.Branch,
		attempts: o.Attempts, backoff: o.Backoff, log: o.Log}
	if c.remote == "" {
		c.remote = "origin"
	}
	if c.attempts == 0 {
		c.attempts = 8
	}
	if c.backoff == 0 {
		c.backoff = 500 * time.Millisecond
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	c.git = repository{git.New(environ), dir}
	var err error
	if c.prefix, err = c.git.run(ctx, "rev-parse", "--show-prefix"); err != nil {
		return nil, err
	}
	if c.top, err = c.git.run(ctx, "rev-parse", "--show-toplevel"); err != nil {
		return nil, err
	}
	return c, nil
}

// unchanged shows that HEAD has all identities: neither a branch nor a remote
// is asked for then.
func (c *committer) unchanged(ctx context.Context) (bool, error) {
	head, _, err := c.git.ask(ctx, 1, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
	if err != nil {
		return false, err
	}
	changed, _, err := c.changed(ctx, head)
	return len(changed) == 0, err
}

// find learns where to push to and as whom.
func (c *committer) find(ctx context.Context, o CommitOptions) error {
	if err := c.findBranch(ctx); err != nil {
		return err
	}
	if err := c.findAuthor(ctx, o); err != nil {
		return err
	}
	return c.findRemote(ctx, o)
}

func (c *committer) findBranch(ctx context.Context) error {
	if c.branch == "" {
		current, ok, err := c.git.ask(ctx, 1, "symbolic-ref", "--quiet", "--short", "HEAD")
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("HEAD is on no branch, as in most CI systems: name the branch to push to")
		}
		c.branch = current
	}
	_, err := c.git.run(ctx, "check-ref-format", "refs/heads/"+c.branch)
	return err
}

// findAuthor gives a name to whoever has none, as the user of a CI system.
func (c *committer) findAuthor(ctx context.Context, o CommitOptions) error {
	if o.Email == "" {
		_, configured, err := c.git.ask(ctx, 1, "config", "--get", "user.email")
		if err != nil || configured {
			return err
		}
		o.Email = "vauban@localhost"
	}
	if o.Name == "" {
		o.Name = "vauban"
	}
	c.git = c.git.with("GIT_AUTHOR_NAME="+o.Name, "GIT_AUTHOR_EMAIL="+o.Email,
		"GIT_COMMITTER_NAME="+o.Name, "GIT_COMMITTER_EMAIL="+o.Email)
	return nil
}

// findRemote takes the login out of the remote's URL, as that of a CI system
// has one: what git is given as an argument, every process may read, and with
// a login there it would try no other.
func (c *committer) findRemote(ctx context.Context, o CommitOptions) error {
	address, err := c.git.run(ctx, "remote", "get-url", "--push", c.remote)
	if err != nil {
		return err
	}
	c.address, c.network = address, c.git
	server, err := url.Parse(address)
	if err != nil && strings.Contains(address, "://") {
		return fmt.Errorf("the URL of the remote %q cannot be read: write special characters of its password as %%XX", c.remote)
	}
	if err != nil || server.Scheme != "http" && server.Scheme != "https" {
		return nil
	}
	own := server.User
	server.User = nil
	c.address = server.String()
	if o.Password != "" {
		c.network.Git, err = c.network.WithLogin(server, o.Username, o.Password)
	} else if password, ok := own.Password(); ok {
		c.network.Git, err = c.network.WithLogin(server, own.Username(), password)
	} else if own.Username() != "" { // whose password a helper of the user's may know
		c.network.Git = c.network.WithConfig([2]string{"credential." + server.Scheme + "://" + server.Host + ".username", own.Username()})
	}
	return err
}

// attempt commits on top of what the remote has now, and pushes.
func (c *committer) attempt(ctx context.Context) ([]string, error) {
	head, _, err := c.git.ask(ctx, 1, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
	if err != nil {
		return nil, err
	}
	changed, base, err := c.changed(ctx, head)
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	tip, err := c.fetch(ctx)
	if err != nil {
		return nil, err
	}
	parent := tip
	if parent == "" {
		parent = head
	}
	theirs, err := c.tree(ctx, parent)
	if err != nil {
		return nil, err
	}
	take, lost := merge(changed, base, theirs)
	if len(take) > 0 {
		if err := c.push(ctx, head, parent, take); err != nil {
			return nil, err
		}
	}
	if len(lost) > 0 {
		return hostsOf(take), c.giveUp(ctx, lost, theirs)
	}
	return hostsOf(take), nil
}

// blobs are the object names of files, by their name in the vault's folder.
type blobs map[string]string

// merge divides what we changed into what nobody else did and what somebody
// else changed to something else. Neither has what the remote has already.
func merge(changed, base, theirs blobs) (take, lost blobs) {
	take, lost = blobs{}, blobs{}
	for name, blob := range changed {
		switch theirs[name] {
		case blob:
		case base[name]:
			take[name] = blob
		default:
			lost[name] = blob
		}
	}
	return take, lost
}

func hostsOf(files blobs) []string {
	var hosts []string
	for name := range files {
		hosts = append(hosts, strings.TrimSuffix(name, suffix))
	}
	slices.Sort(hosts)
	return hosts
}

// changed stores the files that HEAD does not have like this as objects.
func (c *committer) changed(ctx context.Context, head string) (changed, base blobs, err error) {
	hosts, err := c.store.List(ctx)
	if err != nil || len(hosts) == 0 {
		return nil, nil, err
	}
	var paths strings.Builder
	for _, host := range hosts {
		fmt.Fprintln(&paths, c.prefix+host+suffix)
	}
	// It takes the paths from where the work tree begins, wherever it runs.
	output, err := c.git.Feed(ctx, c.top, paths.String(), "hash-object", "-w", "--stdin-paths")
	if err != nil {
		return nil, nil, err
	}
	if base, err = c.tree(ctx, head); err != nil {
		return nil, nil, err
	}
	changed = blobs{}
	hashes := strings.Fields(output)
	for i, host := range hosts {
		if name := host + suffix; hashes[i] != base[name] {
			changed[name] = hashes[i]
		}
	}
	return changed, base, nil
}

// tree returns what a commit, "" for none, has in the vault's folder.
func (c *committer) tree(ctx context.Context, commit string) (blobs, error) {
	files := blobs{}
	if commit == "" {
		return files, nil
	}
	output, err := c.git.run(ctx, "ls-tree", "-r", "-z", commit)
	if err != nil {
		return nil, err
	}
	for _, entry := range strings.Split(output, "\x00") {
		about, name, _ := strings.Cut(entry, "\t")
		if words := strings.Fields(about); len(words) == 3 {
			files[name] = words[2]
		}
	}
	return files, nil
}

// remoteFor bounds how long a remote may take to answer: one that accepts and
// then says nothing must not hold up a run.
const remoteFor = 5 * time.Minute

var errNoAnswer = fmt.Errorf("the remote has not answered for %v", remoteFor)

// fetch returns the commit of the remote's branch, "" when it has none.
func (c *committer) fetch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, remoteFor, errNoAnswer)
	defer cancel()
	branch := "refs/heads/" + c.branch
	_, exists, err := c.network.ask(ctx, 2, "ls-remote", "--quiet", "--exit-code", c.address, branch)
	if err != nil {
		return "", &remoteError{err}
	}
	if !exists {
		return "", nil
	}
	_, err = c.network.run(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", c.address, "+"+branch+":"+c.tracking())
	if err != nil {
		return "", &remoteError{err}
	}
	return c.git.run(ctx, "rev-parse", "--verify", c.tracking()+"^{commit}")
}

// tracking is the ref that remembers the remote's branch.
func (c *committer) tracking() string { return "refs/remotes/" + c.remote + "/" + c.branch }

func (c *committer) push(ctx context.Context, head, parent string, take blobs) error {
	commit, err := c.commit(ctx, parent, take)
	if err != nil {
		return err
	}
	pushing, cancel := context.WithTimeoutCause(ctx, remoteFor, errNoAnswer)
	defer cancel()
	if _, err := c.network.run(pushing, "push", "--quiet", c.address, commit+":refs/heads/"+c.branch); err != nil {
		return &remoteError{err}
	}
	if err := c.adopt(ctx, head, parent, commit, take); err != nil {
		// It is pushed; another attempt finds nothing to do.
		c.log.WarnContext(ctx, "the vault is pushed, and this checkout does not know it yet", "error", err)
	}
	return nil
}

// commit makes one out of the parent's files and ours, in an index of its own.
func (c *committer) commit(ctx context.Context, parent string, take blobs) (string, error) {
	scratch, err := os.MkdirTemp("", "vauban-vault-")
	if err != nil {
		return "", fmt.Errorf("creating a folder for git's index: %w", err)
	}
	defer os.RemoveAll(scratch)
	index := c.git.with("GIT_INDEX_FILE=" + filepath.Join(scratch, "index"))
	arguments := []string{"commit-tree", "-m", CommitMessage}
	if parent != "" {
		if _, err := index.run(ctx, "read-tree", parent); err != nil {
			return "", err
		}
		arguments = append(arguments, "-p", parent)
	}
	if err := c.stage(ctx, index, take); err != nil {
		return "", err
	}
	tree, err := index.run(ctx, "write-tree")
	if err != nil {
		return "", err
	}
	return c.git.run(ctx, append(arguments, tree)...)
}

// stage puts files into an index.
func (c *committer) stage(ctx context.Context, index repository, files blobs) error {
	var entries strings.Builder
	for name, blob := range files {
		fmt.Fprintf(&entries, "100644 %s\t%s%s\x00", blob, c.prefix, name)
	}
	_, err := index.Feed(ctx, index.dir, entries.String(), "update-index", "-z", "--index-info")
	return err
}

// adopt makes the checkout know of the commit that was pushed.
func (c *committer) adopt(ctx context.Context, head, parent, commit string, take blobs) error {
	if _, err := c.git.run(ctx, "update-ref", c.tracking(), commit); err != nil {
		return err
	}
	if head != parent {
		return nil
	}
	if _, err := c.git.run(ctx, "update-ref", "-m", "vauban: "+CommitMessage, "HEAD", commit, head); err != nil {
		return err
	}
	return c.stage(ctx, c.git, take)
}

// giveUp puts the remote's identities in the place of ours, which only we know.
func (c *committer) giveUp(ctx context.Context, lost, theirs blobs) error {
	for name := range lost {
		if theirs[name] == "" { // removed there: to keep or to remove it is nobody's decision but the user's
			continue
		}
		content, err := c.git.Run(ctx, c.git.dir, "cat-file", "--filters", "--path="+c.prefix+name, theirs[name])
		if err != nil {
			return err
		}
		host := strings.TrimSuffix(name, suffix)
		current, err := readFile(filepath.Join(c.store.dir, name))
		if err != nil {
			return fmt.Errorf("replacing the identity of %q: %w", host, err)
		}
		if err := c.store.replace(ctx, host, versionOf(current), []byte(content)); err != nil {
			return err
		}
	}
	return &LostError{Hosts: hostsOf(lost)}
}
