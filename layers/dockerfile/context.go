package dockerfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
)

// buildContext is the directory whose files a Dockerfile may read, less what
// is ignored or withheld. No link leads out of it.
type buildContext struct {
	root     *os.Root
	real     string // its path, without links
	ignore   *patternmatcher.PatternMatcher
	withheld *withholding
	left     *leftOut // nil: not noted
}

// openContext opens the context; what is left out of it as withheld is noted in
// left.
func (d *Step) openContext(left *leftOut) (*buildContext, error) {
	if d.Context == "" {
		return nil, fmt.Errorf("%s: it reads files, but it has no context", d.Name)
	}
	real, err := filepath.Abs(d.Context)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the context of %q: %w", d.Name, err)
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, fmt.Errorf("opening the context of %q: %w", d.Name, err)
	}
	c := &buildContext{root: root, real: real, withheld: newWithholding(d.Withheld), left: left}
	if why := c.why("."); why != "" {
		c.close()
		return nil, fmt.Errorf("opening the context of %q: %q %w (%s): move the Dockerfile to another directory", d.Name, d.Context, errWithheld, why)
	}
	patterns, err := c.ignored(filepath.Base(d.Name))
	if err == nil {
		c.ignore, err = patternmatcher.New(patterns)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("reading what the context of %q ignores: %w", d.Name, err)
	}
	return c, nil
}

func (c *buildContext) close() { c.root.Close() }

// ignored reads the Dockerfile's own .dockerignore, else the common one.
func (c *buildContext) ignored(dockerfile string) ([]string, error) {
	for _, name := range []string{dockerfile + ".dockerignore", ".dockerignore"} {
		f, err := c.open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		defer f.Close()
		return ignorefile.ReadAll(f)
	}
	return nil, nil
}

// why tells why a name in the context is withheld, "" if it is not. Links are
// followed, also out of the context.
func (c *buildContext) why(name string) string {
	if len(c.withheld.list) == 0 {
		return ""
	}
	info, err := c.root.Stat(name)
	if err != nil {
		info = nil // the path tells
	}
	return c.withheld.why(realPath(filepath.Join(c.real, name)), info)
}

// open opens a file of the context, unless it is withheld.
func (c *buildContext) open(name string) (fs.File, error) {
	f, err := c.root.Open(name)
	if err != nil || len(c.withheld.list) == 0 {
		return f, err
	}
	info, err := f.Stat()
	if err == nil {
		if why := c.withheld.why(realPath(filepath.Join(c.real, name)), info); why != "" {
			err = withheldError(name, why)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// match gives the names of files and directories in the context that a source
// of COPY means. There is at least one.
func (c *buildContext) match(pattern string) ([]string, error) {
	clean := path.Clean(strings.TrimLeft(pattern, "/"))
	if !filepath.IsLocal(clean) {
		return nil, fmt.Errorf("%q is outside of the context: only files below it can be read", pattern)
	}
	if !strings.ContainsAny(clean, `*?[\`) {
		if why := c.why(clean); why != "" {
			return nil, withheldError(pattern, why)
		}
		if _, err := c.root.Stat(clean); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading %q in the context: %w", pattern, err)
		}
	}
	found, err := fs.Glob(c.root.FS(), clean)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", pattern, err)
	}
	var names []string
	var withheld error
	for _, name := range found {
		ignored, err := matches(c.ignore, name)
		if err != nil {
			return nil, err
		}
		if ignored && !c.ignore.Exclusions() {
			continue
		}
		if why := c.why(name); why != "" {
			c.left.add(name, why)
			withheld = withheldError(name, why)
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 && withheld != nil {
		return nil, withheld
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%q is not in the context, or .dockerignore excludes it", pattern)
	}
	return names, nil
}

func matches(m *patternmatcher.PatternMatcher, name string) (bool, error) {
	if name == "." {
		return false, nil
	}
	return m.MatchesOrParentMatches(name)
}

// walk visits a file, or a directory and what is in it, in lexical order. An
// entry's path is relative to name; excluded, too, is relative to it.
func (c *buildContext) walk(ctx context.Context, name string, excluded *patternmatcher.PatternMatcher, visit func(treeEntry) error) error {
	real := realPath(filepath.Join(c.real, name))
	return fs.WalkDir(c.root.FS(), name, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		relative := relativeTo(name, file)
		for _, m := range []struct {
			*patternmatcher.PatternMatcher
			path string
		}{{c.ignore, file}, {excluded, relative}} {
			leaveOut, err := matches(m.PatternMatcher, m.path)
			if err != nil {
				return err
			}
			if leaveOut && d.IsDir() && !m.Exclusions() {
				return fs.SkipDir
			} else if leaveOut {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if why := c.withheld.why(filepath.Join(real, relative), info); why != "" {
			c.left.add(file, why)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		entry, err := c.entry(file, info)
		if err != nil {
			return err
		}
		entry.path = relative
		return visit(entry)
	})
}

func relativeTo(dir, file string) string {
	if file == dir {
		return "."
	} else if dir == "." {
		return file
	}
	return strings.TrimPrefix(file, dir+"/")
}

func (c *buildContext) entry(name string, info fs.FileInfo) (e treeEntry, err error) {
	e = treeEntry{mode: info.Mode(), modified: info.ModTime()}
	switch e.mode.Type() {
	case 0:
		e.open = func() (io.ReadCloser, error) { return c.open(name) }
	case fs.ModeSymlink:
		e.link, err = c.root.Readlink(name)
	case fs.ModeDir:
	default:
		return e, fmt.Errorf("%q in the context is not a file, directory or link: exclude it with .dockerignore", name)
	}
	return e, err
}

// digest writes what a pattern means into a hash.
func (c *buildContext) digest(ctx context.Context, w io.Writer, pattern string) error {
	names, err := c.match(pattern)
	if err != nil {
		return err
	}
	none, err := patternmatcher.New(nil)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintf(w, "in %q\n", name)
		err := c.walk(ctx, name, none, func(e treeEntry) error {
			content, err := e.digest()
			fmt.Fprintf(w, "%q %v %q %s\n", e.path, e.mode, e.link, content)
			return err
		})
		if err != nil {
			return fmt.Errorf("digesting %q in the context: %w", name, err)
		}
	}
	return nil
}

// digest of a file's content; "" of what is not a file.
func (e treeEntry) digest() (digest.Digest, error) {
	if e.open == nil {
		return "", nil
	}
	r, err := e.open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	return digest.FromReader(r)
}
