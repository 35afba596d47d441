package dockerfile

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/openshift/imagebuilder"

	mode "github.com/tonistiigi/dchapes-mode"
)

// checkCopy refuses what COPY and ADD cannot do here.
func checkCopy(c imagebuilder.Copy) error {
	switch {
	case c.From != "":
		return fmt.Errorf("--from=%s: copying from another image or stage is not supported: put the files in the context", c.From)
	case c.Parents:
		return errors.New("--parents is not supported: name the directory in the destination")
	case c.KeepGitDir:
		return errors.New("--keep-git-dir: adding git repositories is not supported: clone it in a RUN")
	case len(c.Src) > 1 && !strings.HasSuffix(c.Dest, "/"):
		return fmt.Errorf("several sources need a directory as destination: end %q with a slash", c.Dest)
	}
	for _, source := range c.Src {
		if c.Download && isGit(source) {
			return fmt.Errorf("%q: adding git repositories is not supported: clone it in a RUN", source)
		}
	}
	return nil
}

// Copy executes COPY and ADD.
func (b *dockerBuild) Copy(_ []string, copies ...imagebuilder.Copy) error {
	for _, c := range copies {
		if err := checkCopy(c); err != nil {
			return err
		}
		if err := b.copy(c); err != nil {
			return err
		}
	}
	return nil
}

func (b *dockerBuild) copy(c imagebuilder.Copy) error {
	sources, err := b.sources(c)
	defer closeSources(sources)
	if err != nil {
		return err
	}
	return b.container.Inside(func() error {
		p := placer{}
		if c.Chown != "" {
			owner, err := lookUpOwner(c.Chown)
			if err != nil {
				return err
			}
			p.owner = &owner
		}
		if c.Chmod != "" {
			set, err := mode.Parse(c.Chmod)
			if err != nil {
				return fmt.Errorf("--chmod=%s: %w", c.Chmod, err)
			}
			p.mode = &set
		}
		return p.placeAll(sources, c.Dest)
	})
}

// placeAll puts files in the destination when that is a directory, and what
// is in directories.
func (p *placer) placeAll(sources []copySource, dest string) error {
	into := strings.HasSuffix(dest, "/") || len(sources) > 1
	if info, err := os.Stat(dest); err == nil && info.IsDir() {
		into = true
	}
	for _, source := range sources {
		p.dir = path.Clean("/" + dest)
		if into && !source.dir {
			p.dir = path.Join(p.dir, source.name)
		}
		if err := source.walk(p.place); err != nil {
			return fmt.Errorf("copying %q: %w", source.name, err)
		}
	}
	return p.finish()
}

// sources finds everything that an instruction copies, and downloads what is
// not here.
func (b *dockerBuild) sources(c imagebuilder.Copy) (found []copySource, err error) {
	excluded, err := patternmatcher.New(c.Excludes)
	if err != nil {
		return nil, fmt.Errorf("--exclude: %w", err)
	}
	for _, file := range c.Files {
		found = append(found, heredocSource(file))
	}
	for _, name := range c.Src {
		switch {
		case isHeredoc(name):
			continue
		case c.Download && isURL(name):
			source, err := b.download(name, c.Checksum)
			if err != nil {
				return found, err
			}
			found = append(found, source)
		default:
			local, err := b.local(name, c.Download, excluded)
			if err != nil {
				return found, err
			}
			found = append(found, local...)
		}
	}
	return found, nil
}

// local finds the files of the context that a source means. Archives among
// them are unpacked by ADD.
func (b *dockerBuild) local(pattern string, unpack bool, excluded *patternmatcher.PatternMatcher) ([]copySource, error) {
	if b.context == nil {
		return nil, fmt.Errorf("copying %q: the build has no context", pattern)
	}
	names, err := b.context.match(pattern)
	if err != nil {
		return nil, err
	}
	var found []copySource
	for _, name := range names {
		info, err := b.context.root.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("reading %q in the context: %w", name, err)
		}
		source := copySource{name: path.Base(name), dir: info.IsDir()}
		source.walk = func(visit func(treeEntry) error) error {
			return b.context.walk(b.ctx, name, excluded, visit)
		}
		if unpack && info.Mode().IsRegular() {
			archive, err := isArchive(b.context.opener(name))
			if err != nil {
				return nil, fmt.Errorf("looking whether %q is an archive: %w", name, err)
			}
			if archive {
				source = archiveSource(b.ctx, path.Base(name), b.context.opener(name))
			}
		}
		found = append(found, source)
	}
	return found, nil
}
