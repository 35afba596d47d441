package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"vauban/internal/git"
)

// Options say where the repository is and what is kept of it.
type Options struct {
	// Repo is the git repository: a URL, or the path of a bare repository
	// or of a work tree, whose commits count and not its edited files.
	Repo string
	// RootDir is the folder of the repository that ansible runs in, where
	// ansible.cfg is. Empty: the top.
	RootDir string
	// SSHKeyFile is a deploy key for Repo. Empty: what ssh finds.
	SSHKeyFile string
	// Username and Password are sent to Repo over http(s), where its URL
	// holds none.
	Username, Password string
	// StateDir keeps the mirror and what ansible-galaxy installed.
	StateDir string
	// Dir is the user's folder, from which relative paths are found.
	// Empty: the current one.
	Dir string
	// Environ is the environment of git. It must not hold vauban's own
	// secrets.
	Environ []string
	// Log gets progress. Nil: none.
	Log *slog.Logger
}

// Check fills in what is left empty and refuses what no repository can be.
func (o Options) Check() (_ Options, err error) {
	if o.Repo == "" {
		return o, errors.New("no ansible repository: set ANSIBLE_REPO to its URL or path")
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, fmt.Errorf("finding the current folder: %w", err)
	}
	if o.RootDir = filepath.Clean(o.RootDir); !filepath.IsLocal(o.RootDir) {
		return o, fmt.Errorf("ANSIBLE_ROOT_DIR %q leaves the repository: name a folder inside it", o.RootDir)
	}
	o.Environ = git.Untied(o.Environ)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o, nil
}

// LocalPath is where Repo is on this machine; "" for one elsewhere.
func (o Options) LocalPath() string {
	switch {
	case !isPath(o.Repo):
		return ""
	case filepath.IsAbs(o.Repo):
		return o.Repo
	}
	return filepath.Join(o.Dir, o.Repo)
}

// Repository is the user's repository, as it was when it was opened. It may be
// used by several goroutines.
type Repository struct {
	*Mirror
	*Copies
	*Galaxy
}

// Open brings the mirror of the repository up to date.
func Open(ctx context.Context, o Options) (*Repository, error) {
	o, err := o.Check()
	if err != nil {
		return nil, err
	}
	remote, err := newRemote(o)
	if err != nil {
		return nil, err
	}
	mirror := newMirror(remote, o)
	copies, err := openCopies(ctx, mirror, o)
	if err != nil {
		return nil, err
	}
	if err := mirror.fetch(ctx); err != nil {
		return nil, errors.Join(err, copies.Close())
	}
	return &Repository{mirror, copies, &Galaxy{filepath.Join(o.StateDir, "galaxy"), remote.git, o.Log}}, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
