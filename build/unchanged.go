package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"path"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/layers"
	"vauban/layers/diff"
	"vauban/registry"
)

// unchangedHost returns the host's previous image when img differs from it in
// nothing but dates: then that one stays, with its tags, file and digest.
func (r *Runner) unchangedHost(ctx context.Context, m *config.Master, name string, master, img layers.Image) (layers.Image, error) {
	previous, err := r.image(ctx, m.HostImage(name), registry.Latest)
	if errdefs.IsNotFound(err) {
		return img, nil
	} else if err != nil {
		return img, err
	}
	if _, err := previous.Above(master); err != nil {
		return img, nil // built on another image of the master
	}
	before, err := r.undated(ctx, master, previous)
	if err != nil {
		return img, err
	}
	now, err := r.undated(ctx, master, img)
	if err != nil || now != before {
		return img, err
	}
	return previous, nil
}

// undated digests what a host's image changes in its master's, but for dates.
func (r *Runner) undated(ctx context.Context, master, img layers.Image) (digest.Digest, error) {
	read, write := io.Pipe()
	go func() {
		_, err := r.Engine.Difference(ctx, master, img, write, r.mergeOptions())
		write.CloseWithError(err)
	}()
	d, err := digestUndated(read)
	return d, errors.Join(err, read.CloseWithError(err))
}

// digestUndated digests a tar's entries without their times.
func digestUndated(r io.Reader) (digest.Digest, error) {
	hash := sha256.New()
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			// What follows the last entry is the writer's last word.
			_, err := io.Copy(io.Discard, r)
			return digest.NewDigest(digest.SHA256, hash), err
		} else if err != nil {
			return "", err
		}
		traced := h.Typeflag == tar.TypeReg && path.Clean(h.Name) == string(imginfoList[1:])
		if traced {
			h.Size = 0 // as long as its lines
		}
		err = json.NewEncoder(hash).Encode([]any{h.Typeflag, []byte(h.Name), []byte(h.Linkname),
			h.Mode, h.Uid, h.Gid, h.Size, h.Devmajor, h.Devminor, xattrs(h)})
		if err != nil {
			return "", err
		}
		if traced {
			err = copyUndated(hash, entries)
		} else {
			_, err = io.Copy(hash, entries)
		}
		if err != nil {
			return "", err
		}
	}
}

// copyUndated leaves out of /imginfo the lines that differ whenever a stage is
// run again: its date, and the digest of the image below, which holds the dates
// of the stages before.
func copyUndated(w io.Writer, imginfo io.Reader) error {
	for lines := bufio.NewReader(imginfo); ; {
		line, err := lines.ReadBytes('\n')
		field := bytes.TrimPrefix(bytes.TrimSpace(line), []byte("- "))
		if !bytes.HasPrefix(field, []byte("date:")) && !bytes.HasPrefix(field, []byte("source-digest:")) {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// xattrs are the extended attributes of an entry; encoding/json sorts them.
func xattrs(h *tar.Header) map[string][]byte {
	found := map[string][]byte{}
	for name, value := range h.PAXRecords {
		if name != "mtime" && name != "atime" && name != "ctime" {
			found[name] = []byte(value)
		}
	}
	return found
}

func (r *Runner) mergeOptions() diff.MergeOptions {
	return diff.MergeOptions{Exclude: r.Config.Configuration.ConffsExclude}
}
