package beneath

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// ErrRefused is the kind of the errors about what is there and is not read: it
// is not a regular file, or it is too large.
var ErrRefused = errors.New("not read")

// errElsewhere is about names that leave the image through a mount.
var errElsewhere = fmt.Errorf("it leads to another filesystem, which is not the image's: %w", fs.ErrNotExist)

// refused is an [ErrRefused] about one name.
type refused struct{ name, why string }

func (e *refused) Error() string        { return fmt.Sprintf("%q %s", e.name, e.why) }
func (e *refused) Is(target error) bool { return target == ErrRefused }

func refuse(name, format string, args ...any) error {
	return &refused{name, fmt.Sprintf(format, args...)}
}

func refuseKind(name string, mode fs.FileMode) error {
	return refuse(name, "is %s, not a regular file", kind(mode))
}

func tooLarge(name string, limit int64) error {
	return refuse(name, "is larger than %d bytes, the most that is read", limit)
}

func tooMany(name string, limit int) error {
	return refuse(name, "has more than %d entries, the most that are read", limit)
}

func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeCharDevice != 0:
		return "a character device"
	case mode&fs.ModeDevice != 0:
		return "a block device"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	}
	return "something else"
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// split gives the names of a path.
func split(name string) iter.Seq[string] {
	return strings.SplitSeq(strings.TrimPrefix(path.Clean("/"+name), "/"), "/")
}

func hasMeta(part string) bool { return strings.ContainsAny(part, `*?[\`) }
