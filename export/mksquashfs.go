package export

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vauban/internal/command"
	"vauban/internal/squashfs"
)

// What the tree lacks and what replaces it is told to mksquashfs, by patterns
// and pseudo files. An overlay with whiteouts on top of the root would do as
// well, but every directory on the way would need its owner, times and
// attributes copied, each read would pass one filesystem more, and a killed
// run would leave a mount behind. This way the root is only read.

// A pseudo is a file that mksquashfs adds, in place of one that is there.
type pseudo struct {
	path     string      // below the root, of plain characters
	link     string      // target, when it is a symbolic link
	mode     os.FileMode // of a file, or of a directory
	content  []byte      // of a file
	modified time.Time
}

// definition is the argument of -p. The content of a file is the output of a
// command: it comes by an open file, as it may be a secret.
func (p pseudo) definition(fd int) string {
	seconds := min(max(p.modified.Unix(), 0), math.MaxUint32)
	switch {
	case p.link != "":
		return fmt.Sprintf("%s S %d 0777 0 0 %s", p.path, seconds, p.link)
	case p.mode.IsDir():
		return fmt.Sprintf("%s D %d %04o 0 0", p.path, seconds, p.mode.Perm())
	case len(p.content) == 0:
		return fmt.Sprintf("%s F %d %04o 0 0 true", p.path, seconds, p.mode)
	}
	return fmt.Sprintf("%s F %d %04o 0 0 cat /dev/fd/%d", p.path, seconds, p.mode, fd)
}

// firstFD is what a program knows the first of its ExtraFiles as.
const firstFD = 3

// contents opens what the definitions of pseudos read, in their order. None of
// it is ever on a disk.
func contents(pseudos []pseudo) (files []*os.File, err error) {
	for _, p := range pseudos {
		fd, err := unix.MemfdCreate("vauban", unix.MFD_CLOEXEC)
		if err != nil {
			return files, fmt.Errorf("making room for %q: %w", p.path, err)
		}
		f := os.NewFile(uintptr(fd), p.path)
		files = append(files, f)
		if _, err := f.Write(p.content); err != nil {
			return files, err
		}
	}
	return files, nil
}

// arguments returns mksquashfs' command line without the program's name.
func (o RootfsOptions) arguments(root, out string, pseudos []pseudo, leftOut []string) ([]string, error) {
	compression, err := o.compression()
	if err != nil {
		return nil, err
	}
	block := cmp.Or(o.BlockSize, 128<<10)
	if block < 4<<10 || block > 1<<20 || block&(block-1) != 0 {
		return nil, fmt.Errorf("block size %d: squashfs takes a power of two from 4096 to 1048576", o.BlockSize)
	}
	var made int64
	if !o.Time.IsZero() {
		made = o.Time.Unix()
	}
	args := []string{root, out, "-noappend", "-reproducible", "-xattrs",
		// A file that cannot be read would be packed as an empty one.
		"-exit-on-error",
		// Only of use to NFS servers.
		"-no-exports",
		"-quiet", "-no-progress",
		"-mkfs-time", strconv.FormatInt(made, 10),
		"-b", strconv.Itoa(block),
		// mksquashfs takes a quarter of the machine when not told. Counted in
		// whole megabytes, at least what it needs for its smallest queues.
		"-mem", fmt.Sprintf("%dM", max(cmp.Or(o.Memory, 256<<20)>>20, 64)),
	}
	if o.Processors > 0 {
		args = append(args, "-processors", strconv.Itoa(o.Processors))
	}
	args = append(args, compression...)
	// -e takes all that follows. Without -wildcards an excluded file would
	// take all its hard links along.
	exclude := []string{"-wildcards", "-e"}
	for i, p := range pseudos {
		args = append(args, "-p", p.definition(firstFD+i))
		exclude = append(exclude, p.path) // else the one in the tree wins
	}
	for _, path := range leftOut {
		exclude = append(exclude, literal(path))
	}
	return append(args, exclude...), nil
}

func (o RootfsOptions) compression() ([]string, error) {
	algorithm := cmp.Or(o.Compression, squashfs.Default)
	highest := squashfs.Levels(algorithm)
	switch {
	case !slices.Contains(squashfs.Compressions(), algorithm):
		return nil, fmt.Errorf("compression %q: use %s", o.Compression, strings.Join(squashfs.Compressions(), ", "))
	case highest == 0 && o.Level == 0:
		return []string{"-comp", algorithm}, nil
	case highest == 0:
		return nil, fmt.Errorf("compression level %d: %s has no levels in squashfs; leave it out", o.Level, algorithm)
	case o.Level < 0 || o.Level > highest:
		return nil, fmt.Errorf("compression level %d: %s takes 1 to %d", o.Level, algorithm, highest)
	}
	return []string{"-comp", algorithm, "-Xcompression-level", strconv.Itoa(cmp.Or(o.Level, 9))}, nil
}

// literal returns the pattern that matches path only. A backslash makes any
// character stand for itself; more are escaped than need be, for extended
// patterns such as +(a) and mksquashfs' own "... " at the start.
func literal(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		plain := c >= 0x80 || c == '/' || c == '-' || c == '.' || c == '_' ||
			'0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !plain {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// mksquashfs runs the program and reports whether it met a POSIX ACL.
func mksquashfs(ctx context.Context, program string, args []string, files []*os.File, log *slog.Logger) (sawACL bool, err error) {
	program, err = exec.LookPath(cmp.Or(program, "mksquashfs"))
	if err != nil {
		return false, fmt.Errorf("%w: install squashfs-tools", err)
	}
	said := complaints{log: log}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &said, &said, files
	// Nothing of the caller's: SOURCE_DATE_EPOCH would change files' dates,
	// and a locale the meaning of patterns.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	// It must not outlive us, reading a root that nobody holds mounted.
	defer command.Tie(cmd, syscall.SIGKILL)()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		return false, fmt.Errorf("running mksquashfs: %w: %s", err, strings.Join(said.last, "; "))
	}
	return said.acl, nil
}

// Complaints sorts the lines that mksquashfs prints.
type complaints struct {
	log  *slog.Logger
	acl  bool     // there was one about a POSIX ACL, for each file that has one
	last []string // of the others, the last few
	rest []byte   // of a line that is not complete
}

// Write never fails: mksquashfs would end at a broken pipe.
func (c *complaints) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for {
		line, rest, complete := bytes.Cut(c.rest, []byte("\n"))
		if !complete {
			return len(b), nil
		}
		c.rest = rest
		c.line(string(bytes.TrimSpace(line)))
	}
}

func (c *complaints) line(line string) {
	switch {
	case line == "":
	case strings.Contains(line, aclPrefix):
		c.acl = true
	default:
		c.log.Warn("mksquashfs complains", "line", line)
		c.last = append(c.last, line)
		c.last = c.last[max(0, len(c.last)-5):]
	}
}
