package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"

	"vauban/internal/command"
	"vauban/internal/filelock"
	"vauban/internal/git"
	"vauban/internal/sealed"
)

// Installed is where the roles and collections that a commit requires are; ""
// where it requires none.
type Installed struct{ Roles, Collections string }

// Galaxy keeps what ansible-galaxy installed, for each content of the files
// that require it.
type Galaxy struct {
	dir string
	git git.Git // logs in to the repository's own server
	log *slog.Logger
}

// killAfter is how long ansible-galaxy has to end by itself.
const killAfter = 10 * time.Second

// requirement is one file for ansible-galaxy.
type requirement struct {
	path               string // relative to where ansible runs
	content            []byte
	roles, collections bool // what it asks for
}

// requirementFiles are those of ansible and of its automation platforms.
var requirementFiles = []struct {
	path string
	kind string // what a bare list in it means
}{
	{"requirements.yml", "roles"},
	{"requirements.yaml", "roles"},
	{"roles/requirements.yml", "roles"},
	{"roles/requirements.yaml", "roles"},
	{"collections/requirements.yml", "collections"},
	{"collections/requirements.yaml", "collections"},
}

// RequirementFiles are the paths, relative to where ansible runs, of the files
// that may require roles and collections.
func RequirementFiles() []string {
	var paths []string
	for _, file := range requirementFiles {
		paths = append(paths, file.path)
	}
	return paths
}

// Install has ansible-galaxy (program, in environ) fetch what the commit
// requires, once for each content of its requirement files: afterwards no
// network is needed.
func (g *Galaxy) Install(ctx context.Context, c *Copy, program string, environ []string) (Installed, error) {
	files, err := requirements(c)
	if err != nil || len(files) == 0 {
		return Installed{}, err
	}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return Installed{}, fmt.Errorf("making the cache of roles and collections: %w", err)
	}
	dir := filepath.Join(g.dir, requirementsKey(c, files))
	lock, err := filelock.Open(ctx, dir+".lock")
	if err != nil {
		return Installed{}, err
	}
	defer lock.Close()
	kept, err := sealed.Use(ctx, dir, g.log)
	if err != nil {
		return Installed{}, err
	}
	if !kept {
		g.log.Info("installing roles and collections", "commit", c.Commit)
		run := func(args ...string) error { return g.run(ctx, c, program, environ, args...) }
		if err := fill(ctx, files, dir, run); err != nil {
			return Installed{}, err
		}
	}
	return installed(files, dir), nil
}

// installed says which parts of dir the files asked for.
func installed(files []requirement, dir string) (found Installed) {
	for _, f := range files {
		if f.roles {
			found.Roles = filepath.Join(dir, "roles")
		}
		if f.collections {
			found.Collections = dir
		}
	}
	return found
}

// fill makes dir, which is there only when it is whole, by runs of
// ansible-galaxy.
func fill(ctx context.Context, files []requirement, dir string, run func(args ...string) error) (err error) {
	// The caller holds the lock: what is there is of a run that died.
	partial := dir + ".partial"
	if err := errors.Join(os.RemoveAll(partial), os.Mkdir(partial, 0o700)); err != nil {
		return fmt.Errorf("making the cache of roles and collections: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(partial)) }()
	for _, f := range files {
		if f.roles {
			if err := run("role", "install", "--role-file", f.path, "--roles-path", filepath.Join(partial, "roles")); err != nil {
				return fmt.Errorf("installing the roles of %q: %w", f.path, err)
			}
		}
		if f.collections {
			if err := run("collection", "install", "--requirements-file", f.path, "--collections-path", partial); err != nil {
				return fmt.Errorf("installing the collections of %q: %w", f.path, err)
			}
		}
	}
	err = sealed.Folder(ctx, partial)
	if err == nil {
		err = persist(partial, dir)
	}
	if err != nil {
		return fmt.Errorf("keeping roles and collections: %w", err)
	}
	return nil
}

// persist gives a whole folder its final name.
func persist(partial, dir string) error {
	f, err := os.Open(partial)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil { // thousands of files
		return err
	}
	return os.Rename(partial, dir)
}

// run runs ansible-galaxy, which may fetch from the repository's own git server.
func (g *Galaxy) run(ctx context.Context, c *Copy, program string, environ []string, args ...string) error {
	var said command.Tail
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = c.Root, slices.Concat(environ, g.git.Environ())
	cmd.Stdout, cmd.Stderr = &said, &said
	command.Group(cmd, syscall.SIGTERM, killAfter)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errors.New(g.git.Redact(fmt.Sprintf("%v: %s", err, said.String())))
	}
	return nil
}

func requirements(c *Copy) ([]requirement, error) {
	var found []requirement
	for _, file := range requirementFiles {
		content, err := os.ReadFile(filepath.Join(c.Root, file.path))
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("reading %q: %w", file.path, err)
		}
		f, err := parseRequirement(file.path, file.kind, content)
		if err != nil {
			return nil, err
		}
		if f.roles || f.collections {
			found = append(found, f)
		}
	}
	return found, nil
}

// parseRequirement finds out whether a file asks for roles or collections; the
// rest is for ansible-galaxy to understand.
func parseRequirement(path, kind string, content []byte) (requirement, error) {
	f := requirement{path: path, content: content}
	var document yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&document); errors.Is(err, io.EOF) {
		return f, nil
	} else if err != nil {
		return f, fmt.Errorf("reading %q: %w", path, err)
	}
	var list []yaml.Node
	if document.Decode(&list) == nil {
		f.roles = kind == "roles" && len(list) > 0
		f.collections = kind == "collections" && len(list) > 0
		return f, nil
	}
	var parts struct{ Roles, Collections []yaml.Node }
	if err := document.Decode(&parts); err != nil {
		return f, fmt.Errorf("reading %q: %w", path, err)
	}
	f.roles, f.collections = len(parts.Roles) > 0, len(parts.Collections) > 0
	return f, nil
}

// localSource is found in requirements that lie in the repository itself.
var localSource = regexp.MustCompile(`(^|[\s"'])\.{0,2}/|file:|type:\s*["']?(dir|subdirs|file)`)

// requirementsKey digests what was asked for; what lies in the repository
// itself changes with its commits.
func requirementsKey(c *Copy, files []requirement) string {
	d := digest.SHA256.Digester()
	for _, f := range files {
		fmt.Fprintf(d.Hash(), "%s %d\n%s\n", f.path, len(f.content), f.content)
		if localSource.Match(f.content) {
			fmt.Fprintln(d.Hash(), c.Commit)
		}
	}
	return d.Digest().Encoded()[:32]
}
