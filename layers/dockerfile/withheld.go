package dockerfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Withheld is a file or directory of the builder that is in no build context,
// such as one with secrets: under its own name, through links, or as another
// name of the same file. It need not exist.
type Withheld struct {
	// Path is absolute.
	Path string
	// Why says what it is, for people, as "the deploy key (ANSIBLE_SSH_KEY)".
	Why string
	// Large directories are not searched for files that have another name in a
	// context.
	Large bool
}

var errWithheld = errors.New("is left out of every build context")

func withheldError(name, why string) error {
	return fmt.Errorf("%q %w (%s): remove it from the instruction", name, errWithheld, why)
}

// withholding finds what is withheld in one context.
type withholding struct {
	list  []Withheld
	same  map[inode]int // files and directories, by index in list
	paths map[string]int

	linked sync.Once // fills in hard
	hard   map[inode]int
}

type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) (_ inode, links uint64, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}, 0, false
	}
	return inode{st.Dev, st.Ino}, uint64(st.Nlink), true
}

func newWithholding(list []Withheld) *withholding {
	w := &withholding{list: list, same: map[inode]int{}, paths: map[string]int{}, hard: map[inode]int{}}
	for i, one := range list {
		w.paths[filepath.Clean(one.Path)] = i
		w.paths[realPath(one.Path)] = i
		if info, err := os.Stat(one.Path); err == nil {
			if id, _, ok := inodeOf(info); ok {
				w.same[id] = i
			}
		}
	}
	return w
}

// realPath follows the links in a path as far as it exists.
func realPath(path string) string {
	rest := ""
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return filepath.Clean(path)
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// why tells why a file or directory is withheld: "" if it is not. The path is
// free of links; info is nil for what does not exist.
func (w *withholding) why(path string, info fs.FileInfo) string {
	for at := path; ; at = filepath.Dir(at) {
		if i, ok := w.paths[at]; ok {
			return w.list[i].Why
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if info == nil {
		return ""
	}
	id, links, ok := inodeOf(info)
	if !ok {
		return ""
	}
	if i, ok := w.same[id]; ok {
		return w.list[i].Why
	}
	if links < 2 || !info.Mode().IsRegular() {
		return ""
	}
	w.linked.Do(w.findLinks)
	if i, ok := w.hard[id]; ok {
		return w.list[i].Why
	}
	return ""
}

// findLinks notes the files in withheld directories that have other names.
func (w *withholding) findLinks() {
	for i, one := range w.list {
		if one.Large {
			continue
		}
		_ = filepath.WalkDir(realPath(one.Path), func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // nothing can be a name of what is not there
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			if id, links, ok := inodeOf(info); ok && links > 1 && info.Mode().IsRegular() {
				w.hard[id] = i
			}
			return nil
		})
	}
}

// WithholdIn returns what tells why a file of a directory, by its path in there,
// is withheld: "" if it is not. Links are followed.
func WithholdIn(dir string, list []Withheld) func(path string) string {
	w, real := newWithholding(list), realPath(dir)
	return func(path string) string {
		if len(list) == 0 {
			return ""
		}
		file := realPath(filepath.Join(real, path))
		info, err := os.Stat(file)
		if err != nil {
			info = nil
		}
		return w.why(file, info)
	}
}

// leftOut are the topmost names that contexts left out, and why.
type leftOut struct {
	mu    sync.Mutex
	names map[string]string
}

func (l *leftOut) add(name, why string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[string]string{}
	}
	l.names[name] = why
}

// maxLeftOut bounds how many names a notice has.
const maxLeftOut = 10

// notice is "" when nothing was left out.
func (l *leftOut) notice() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) == 0 {
		return ""
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(l.names)) {
		if len(words) == maxLeftOut {
			words = append(words, fmt.Sprintf("%d more", len(l.names)-maxLeftOut))
			break
		}
		words = append(words, fmt.Sprintf("%s (%s)", name, l.names[name]))
	}
	return "left out of the build context: " + strings.Join(words, ", ")
}
