package diff

import (
	"cmp"
	"slices"
	"strings"
)

// Report tells what a difference holds.
type Report struct {
	Files       int // besides directories, deletions and further names of a file
	Links       int // further names of files
	Directories int
	Opaque      int   // of the directories: those that hide the root's
	Deletions   int   // single names
	Bytes       int64 // of content, unpacked
	// MetadataOnly lists files above 1 MiB that the root has with the same
	// content: the format has no way to change an owner or a mode alone.
	MetadataOnly []File
	// KernelModules lists what changes under the directories of kernel
	// modules, which belong to a kernel and not to a host.
	KernelModules []string
	// Largest lists up to ten files, the largest first.
	Largest []File
}

// Empty reports whether there is no difference.
func (r Report) Empty() bool { return r.Files+r.Links+r.Directories+r.Deletions == 0 }

// File is a regular file of a difference.
type File struct {
	Path string // relative to the root
	Size int64  // in bytes
}

// largest is how many files Report.Largest lists.
const largest = 10

// see notes a path that is not a directory.
func (r *Report) see(path string) {
	for _, dir := range []string{"usr/lib/modules/", "lib/modules/"} {
		if strings.HasPrefix(path, dir) {
			r.KernelModules = append(r.KernelModules, path)
		}
	}
}

// add notes a regular file.
func (r *Report) add(f File, metadataOnly bool) {
	r.Bytes += f.Size
	if metadataOnly {
		r.MetadataOnly = append(r.MetadataOnly, f)
	}
	r.Largest = append(r.Largest, f)
	if len(r.Largest) > 10*largest {
		r.finish()
	}
}

// finish sorts and cuts Largest.
func (r *Report) finish() {
	slices.SortStableFunc(r.Largest, func(a, b File) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(a.Path, b.Path))
	})
	r.Largest = r.Largest[:min(len(r.Largest), largest)]
}
