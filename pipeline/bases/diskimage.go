package bases

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sector is what partx(8) counts in, whatever the disk's own.
const sector = 512

// Types of partitions that hold a root filesystem: of a disk with a GPT
// (systemd's for amd64, and Linux' own), and with an MBR.
// Source: https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
const (
	rootPartition  = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
	linuxPartition = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	mbrPartition   = "0x83"
)

// tarOfPartition mounts a filesystem read-only where nobody else sees it, and
// the kernel takes it away with the process, however that ends. A journal that
// was not written back makes ext refuse to be mounted so, unless it is told.
const tarOfPartition = `mount -o "ro,nodev,nosuid,noexec,loop,offset=$2,sizelimit=$3" "$1" "$4" 2>/dev/null ||
	mount -o "ro,nodev,nosuid,noexec,noload,loop,offset=$2,sizelimit=$3" "$1" "$4" || {
	echo "it is neither a tar archive nor a disk image with a filesystem that this machine can mount" >&2
	exit 1
}
exec tar --create --format=pax --numeric-owner --xattrs '--xattrs-include=*' --sort=name --exclude=./lost+found --directory="$4" .`

// partition is a part of a disk image, in bytes.
type partition struct {
	offset, size int64
	kind         string
}

// disk gives the root filesystem of a disk image, raw or qcow2, as a tar: of the
// one at path, or of the one that is read from in.
func (o *Opener) disk(ctx context.Context, path string, in io.Reader) (io.ReadCloser, error) {
	dir, err := os.MkdirTemp(o.WorkDir, "disk-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for a disk image: %w", err)
	}
	if in != nil {
		path = filepath.Join(dir, "image")
		err = unpackDisk(ctx, path, in, maxDisk, maxDiskData)
	}
	var tar io.ReadCloser
	if err == nil {
		tar, err = diskIn(ctx, dir, path)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &removing{tar, dir}, nil
}

// The bounds of a disk image, in bytes: of the disk, and of what is in it besides
// zeros.
const (
	maxDisk     = 1 << 40
	maxDiskData = 64 << 30
)

var errDiskImage = errors.New("the disk image is too large")

// unpackDisk writes a disk image without the zeros that most of it is.
func unpackDisk(ctx context.Context, path string, in io.Reader, size, data int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zeros := make([]byte, 64<<10)
	at := int64(0)
	for block := make([]byte, len(zeros)); ; {
		n, err := in.Read(block)
		if n > 0 && !bytes.Equal(block[:n], zeros[:n]) {
			if data -= int64(n); data < 0 {
				return fmt.Errorf("unpacking a disk image: %w: more than %d GiB of data", errDiskImage, maxDiskData>>30)
			}
			if _, err := f.WriteAt(block[:n], at); err != nil {
				return fmt.Errorf("unpacking a disk image: %w", err)
			}
		}
		at += int64(n)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case at > size:
			return fmt.Errorf("unpacking a disk image: %w: more than %d GiB", errDiskImage, maxDisk>>30)
		case errors.Is(err, io.EOF):
			return f.Truncate(at)
		case err != nil:
			return fmt.Errorf("unpacking a disk image: %w", err)
		}
	}
}

func diskIn(ctx context.Context, dir, path string) (io.ReadCloser, error) {
	raw, err := rawDisk(ctx, dir, path)
	if err != nil {
		return nil, err
	}
	root, err := findRoot(ctx, raw)
	if err != nil {
		return nil, err
	}
	mounted := filepath.Join(dir, "root")
	if err := os.Mkdir(mounted, 0o700); err != nil {
		return nil, err
	}
	return start(ctx, nil, "unshare", "--mount", "--propagation=private", "sh", "-euc", tarOfPartition, "sh",
		raw, strconv.FormatInt(root.offset, 10), strconv.FormatInt(root.size, 10), mounted)
}

// removing takes away what was needed for reading.
type removing struct {
	io.ReadCloser
	dir string
}

func (r *removing) Close() error { return errors.Join(r.ReadCloser.Close(), os.RemoveAll(r.dir)) }

// rawDisk is the image itself, or what qemu-img makes of a qcow2 one. That may
// name other files of the builder, which would be read.
func rawDisk(ctx context.Context, dir, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	magic := make([]byte, len(qcowMagic))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != qcowMagic {
		return path, err
	}
	if _, err := exec.LookPath("qemu-img"); err != nil {
		return "", fmt.Errorf("a qcow2 image needs qemu-img: install the package qemu-utils: %w", err)
	}
	out, err := output(ctx, "qemu-img", "info", "-f", "qcow2", "--output=json", path)
	if err != nil {
		return "", err
	}
	var info struct {
		Size     int64  `json:"virtual-size"`
		Backing  string `json:"backing-filename"`
		Specific struct {
			Data struct {
				File string `json:"data-file"`
			} `json:"data"`
		} `json:"format-specific"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return "", fmt.Errorf("reading what qemu-img says: %w", err)
	}
	if other := cmp.Or(info.Backing, info.Specific.Data.File); other != "" {
		return "", fmt.Errorf("the image has a backing file, %q: make it complete with `qemu-img convert -O qcow2`", other)
	}
	if info.Size > maxDisk {
		return "", fmt.Errorf("%w: a disk of %d GiB, at most %d", errDiskImage, info.Size>>30, maxDisk>>30)
	}
	raw := filepath.Join(dir, "raw")
	_, err = output(ctx, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)
	return raw, err
}

// findRoot is the partition with the root filesystem: the one of the type that
// says so, else the largest of Linux'; a disk without partitions is one itself.
func findRoot(ctx context.Context, raw string) (partition, error) {
	info, err := os.Stat(raw)
	if err != nil {
		return partition{}, err
	}
	// partx fails on a disk without partitions and has no word for it.
	out, err := output(ctx, "partx", "--pairs", "--output", "START,SECTORS,TYPE", raw)
	if ctx.Err() != nil {
		return partition{}, context.Cause(ctx)
	}
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return partition{size: info.Size()}, nil
	}
	parts, err := parsePartitions(string(out))
	if err != nil {
		return partition{}, err
	}
	for _, kind := range []string{rootPartition, linuxPartition, mbrPartition} {
		of := slices.DeleteFunc(slices.Clone(parts), func(p partition) bool { return p.kind != kind })
		if len(of) > 0 {
			return slices.MaxFunc(of, func(a, b partition) int { return cmp.Compare(a.size, b.size) }), nil
		}
	}
	return partition{}, fmt.Errorf("the disk image has no partition of Linux among its %d: it must hold one root filesystem, without LVM", len(parts))
}

var partitionLine = regexp.MustCompile(`^START="(\d{1,15})" SECTORS="(\d{1,15})" TYPE="([^"]*)"$`)

// parsePartitions reads what partx --pairs prints.
func parsePartitions(out string) ([]partition, error) {
	var parts []partition
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		found := partitionLine.FindStringSubmatch(line)
		if found == nil {
			return nil, fmt.Errorf("reading what partx says: %q is not a partition", line)
		}
		first, _ := strconv.ParseInt(found[1], 10, 64) // the digits fit
		count, _ := strconv.ParseInt(found[2], 10, 64)
		parts = append(parts, partition{offset: first * sector, size: count * sector, kind: strings.ToLower(found[3])})
	}
	return parts, nil
}

// output runs a program that answers at once or works on files.
func output(ctx context.Context, program string, args ...string) ([]byte, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w: %s", program, err, strings.TrimSpace(said.String()))
	}
	return out, nil
}
