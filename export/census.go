package export

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A census is what one reading of a conffs stream found.
type census struct {
	own                         []string // patterns of files that do not make a difference
	others                      int      // files, deletions and directories that are not for own ones alone
	files, directories, deleted int
	content                     int64
	largest                     []SizedFile // largest first, then by path
	modules                     []string    // below the kernel modules' directory
	foreign                     []string    // names that GNU tar or overlayfs take for something else
}

// listed is how many names an error or a report holds.
const listed = 10

// read counts the entries of a tar stream, to its last byte.
func (c *census) read(r io.Reader) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // padding
			return err
		}
		if err != nil {
			return fmt.Errorf("reading the conffs stream: %w", err)
		}
		c.add(h)
	}
}

func (c *census) add(h *tar.Header) {
	name := path.Clean(h.Name)
	if !filepath.IsLocal(name) || strings.HasPrefix(path.Base(name), ".wh.") {
		c.foreign = append(c.foreign, h.Name)
	}
	if !c.isOwn(name, h.Typeflag == tar.TypeDir) {
		c.others++
	}
	switch {
	case h.Typeflag == tar.TypeDir:
		if name != "." {
			c.directories++
		}
		return
	case h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0:
		c.deleted++ // overlayfs' whiteout
	default:
		c.files++
		c.content += h.Size
		c.rank(SizedFile{name, h.Size})
	}
	if strings.HasPrefix(name, "usr/lib/modules/") || strings.HasPrefix(name, "lib/modules/") {
		c.modules = append(c.modules, name)
	}
}

// isOwn tells whether a file is one of the own, or a directory leads to one.
func (c *census) isOwn(name string, isDir bool) bool {
	if isDir && name == "." {
		return true
	}
	return slices.ContainsFunc(c.own, func(pattern string) bool {
		if isDir {
			return strings.HasPrefix(pattern, name+"/")
		}
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

func (c *census) rank(f SizedFile) {
	at, _ := slices.BinarySearchFunc(c.largest, f, func(a, b SizedFile) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path))
	})
	if at < listed {
		c.largest = slices.Insert(c.largest, at, f)
		c.largest = c.largest[:min(len(c.largest), listed)]
	}
}

// check refuses what a conffs must not hold.
func (c *census) check() error {
	if len(c.foreign) > 0 {
		return fmt.Errorf("names that mean something else in a conffs: %s", some(c.foreign))
	}
	if len(c.modules) > 0 {
		return fmt.Errorf("it changes kernel modules, which belong to the kernel that all hosts of a master share: %s; "+
			"install them in a stage of the master, or exclude them with conffs_exclude", some(c.modules))
	}
	return nil
}

func (c *census) report() ConffsReport {
	return ConffsReport{
		Content: c.content,
		Files:   c.files,
		Deleted: c.deleted,
		Empty:   c.others == 0,
		Largest: c.largest,
	}
}

func (c *census) largestText() string {
	var names []string
	for _, f := range c.largest {
		names = append(names, fmt.Sprintf("%q (%s)", f.Path, readable(f.Size)))
	}
	return strings.Join(names, ", ")
}

// some quotes the first names and counts the others.
func some(names []string) string {
	var quoted []string
	for _, n := range names[:min(len(names), listed)] {
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	if more := len(names) - listed; more > 0 {
		quoted = append(quoted, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(quoted, ", ")
}
