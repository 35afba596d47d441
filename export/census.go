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

	"vauban/internal/text"
)

// A census is what one reading of a conffs stream found.
type census struct {
	own                         []string // patterns of files that do not make a difference
	others                      int      // files, deletions and directories that are not for own ones alone
	files, directories, deleted int
	content, memory             int64
	largest                     []SizedFile // largest first, then by path
	modules                     []string    // below the kernel modules' directory
	foreign                     []string    // names that GNU tar or overlayfs take for something else
}

// listed is how many names an error or a report holds.
const listed = 10

// read counts the entries of a tar stream, to its last byte.
func (c *census) read(r io.Reader) error {
	stored := &storedSize{Reader: r}
	archive := tar.NewReader(stored)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // padding
			return err
		}
		if err != nil {
			return fmt.Errorf("reading the conffs stream: %w", err)
		}
		size, err := stored.of(h)
		if err != nil {
			return fmt.Errorf("reading the conffs stream: %q: %w", h.Name, err)
		}
		c.add(h, size)
	}
}

// page is the unit in which a tmpfs gives memory to files, in bytes.
const page = 4096

// add counts an entry. stored is how many bytes of its content the stream has.
func (c *census) add(h *tar.Header, stored int64) {
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
		memory := (stored + page - 1) / page * page
		c.content += h.Size
		c.memory += memory
		c.rank(SizedFile{name, memory})
	}
	if strings.HasPrefix(name, "usr/lib/modules/") || strings.HasPrefix(name, "lib/modules/") {
		c.modules = append(c.modules, name)
	}
}

// isOwn reports whether a file is one of the own, or a directory leads to one.
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
		return fmt.Errorf("names that mean something else in a conffs: %s", text.Quoted(listed, c.foreign))
	}
	if len(c.modules) > 0 {
		return fmt.Errorf("it changes kernel modules, which belong to the kernel that all hosts of a master share: %s; "+
			"install them in a stage of the master, or exclude them with conffs_exclude", text.Quoted(listed, c.modules))
	}
	return nil
}

// checkSize refuses what is too much for a machine's memory, which holds the
// unpacked files from boot on, and the archive until it is unpacked.
func (c *census) checkSize(archive, limit int64) error {
	var what string
	switch {
	case c.memory > limit:
		what = "unpacked, its files take " + readable(c.memory) + " of the machine's memory"
	case archive > limit:
		what = "the archive has " + readable(archive)
	default:
		return nil
	}
	return fmt.Errorf("%s, more than conffs_max_size allows (%s); its largest files: %s; "+
		"exclude them with conffs_exclude, move them to a stage of the master, or raise conffs_max_size",
		what, readable(limit), c.largestText())
}

func (c *census) report() ConffsReport {
	return ConffsReport{
		Content: c.content,
		Memory:  c.memory,
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
