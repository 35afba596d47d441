package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/drift"
	"vauban/internal/beneath"
	"vauban/layers"
	"vauban/progress"
)

// maxText is the size in bytes above which a file is not compared by lines.
const maxText = 1 << 20

// change is one path that a host has otherwise than its master.
type change struct {
	Path string `json:"path"`
	Kind string `json:"kind"` // added, changed, deleted or replaced
	Type string `json:"type"` // file, directory, link or other; of what is there now
	Mode string `json:"mode,omitempty"`
	Size int64  `json:"size"` // bytes of a file
	// Diff of a text that everybody may read.
	Diff string `json:"diff,omitempty"`
}

func newDiff(a *app) *cobra.Command {
	var format formatFlag
	var on string
	cmd := &cobra.Command{
		Use:   "diff MASTER HOST",
		Short: "Print what a host's image changes in its master's: files, and lines of texts",
		Long: `Print what a host's image changes in its master's: files, and lines of texts.

This is what the host's conffs contain. The content of files that only some users
may read, such as keys, is not printed.`,
		Example: `  vauban diff master-12-web web01`,
		Args:    arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withMaster(cmd, args[0], on, func(ctx context.Context, s *session, m *config.Master, master layers.Image) error {
				host, err := s.image(ctx, m.HostImage(args[1]))
				if err != nil {
					return err
				}
				all, err := s.changes(ctx, master, host)
				if err != nil {
					return err
				}
				return printChanges(cmd.OutOrStdout(), format.value, all)
			})
		},
	}
	outputFlag(cmd, &format, "text", "json")
	cmd.Flags().StringVar(&on, "on", "", "compare with the master image with this tag, e.g. latest (default: the current release's)")
	return cmd
}

// changes compares two images.
func (s *session) changes(ctx context.Context, master, host layers.Image) (all []change, err error) {
	err = s.engine.Mount(ctx, master, func(dir string) error {
		root, err := beneath.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		read, write := io.Pipe()
		go func() { write.CloseWithError(s.difference(ctx, master, host, write)) }()
		all, err = changesIn(ctx, root, read)
		return errors.Join(err, read.CloseWithError(err))
	})
	return all, err
}

// changesIn compares a difference with the master's root filesystem.
func changesIn(ctx context.Context, root *beneath.Root, difference io.Reader) ([]change, error) {
	all := []change{}
	for entries := tar.NewReader(difference); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			// What follows the last entry is the writer's last word.
			_, err := io.Copy(io.Discard, difference)
			return all, err
		} else if err != nil {
			return nil, err
		}
		c, differs, err := changeOf(ctx, root, h, entries)
		if err != nil {
			return nil, fmt.Errorf("comparing %q: %w", h.Name, err)
		}
		if differs {
			all = append(all, c)
		}
	}
}

// changeOf compares one entry. A directory that is as the master's is there
// for what is below it and differs in nothing.
func changeOf(ctx context.Context, root *beneath.Root, h *tar.Header, content io.Reader) (c change, differs bool, err error) {
	name := path.Clean(h.Name)
	c = change{Path: "/" + strings.TrimPrefix(name, "/"), Kind: "added", Type: drift.TypeOf(h), Size: h.Size, Mode: h.FileInfo().Mode().String()}
	// What the master has behind a link the host, where the link became a
	// directory, does not change.
	before, err := root.LstatUnlinked(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, false, err
	}
	there := err == nil
	switch {
	case h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0:
		return change{Path: c.Path, Kind: "deleted"}, true, nil
	case there && h.PAXRecords["SCHILY.xattr.trusted.overlay.opaque"] == "y":
		c.Kind = "replaced" // nothing of the master's is left in it
	case there && before.IsDir() && h.Typeflag == tar.TypeDir && sameOwner(before, h):
		return c, false, nil
	case there:
		c.Kind = "changed"
	}
	if h.Typeflag != tar.TypeReg {
		return c, true, nil
	}
	c.Diff, err = textDiff(ctx, root, before, h, content)
	return c, true, err
}

// open reports whether everybody may enter the directories that name is in.
func open(root *beneath.Root, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := root.Lstat(dir); err == nil && info.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}

func sameOwner(before fs.FileInfo, h *tar.Header) bool {
	st, ok := before.Sys().(*syscall.Stat_t)
	return ok && before.Mode() == h.FileInfo().Mode() && int(st.Uid) == h.Uid && int(st.Gid) == h.Gid
}

// textDiff compares two texts by lines. It is empty for what is not a text, is
// long, or may not be read by everybody.
func textDiff(ctx context.Context, root *beneath.Root, before fs.FileInfo, h *tar.Header, content io.Reader) (string, error) {
	name := path.Clean(h.Name)
	if h.Size > maxText || h.Mode&0o004 == 0 || !open(root, name) {
		return "", nil
	}
	after, err := io.ReadAll(content)
	if err != nil || !isText(after) {
		return "", err
	}
	var old []byte
	from := "/dev/null"
	if before != nil && before.Mode().IsRegular() {
		if before.Size() > maxText || before.Mode()&0o004 == 0 {
			return "", nil
		}
		if old, err = root.ReadFile(ctx, name, maxText); err != nil || !isText(old) {
			return "", err
		}
		from = "master/" + name
	}
	return udiff.Unified(from, "host/"+name, string(old), string(after)), nil
}

func isText(b []byte) bool { return utf8.Valid(b) && !bytes.ContainsRune(b, 0) }

func printChanges(out io.Writer, format string, all []change) error {
	if format == "json" {
		return printJSON(out, all)
	}
	for _, c := range all {
		if _, err := fmt.Fprintln(out, progress.PrintableLine(strings.TrimRight(fmt.Sprintf("%-8s %s %s", c.Kind, c.Path, c.Mode), " "))); err != nil {
			return err
		}
		io.WriteString(out, c.Diff)
	}
	return nil
}
