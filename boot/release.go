package boot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/internal/cmdline"
)

// Names of the files of a release.
const (
	rootfsFile    = "rootfs.squashfs"
	kernelFile    = "vmlinuz"
	initramfsFile = "initramfs.img"
	sumsFile      = "SHA256SUMS"
	manifestFile  = "manifest.json"
)

func conffsFile(host string) string { return "conffs-" + host + ".tgz" }

// Release is one published release of a master.
type Release struct {
	// Master and Name tell it from every other.
	Master, Name string
	// Path is its directory, relative to the published tree, with slashes.
	Path string
	// Sums is the digest of its SHA256SUMS.
	Sums digest.Digest
	// Hosts are the machines that it has files for, sorted.
	Hosts []string
	// Parameters are what its manifest.json wants on the kernel's command line,
	// whichever version wrote that.
	Parameters []string
	// Allowed are patterns of those that are taken besides vauban's list
	// (kernel_parameters).
	Allowed []string
}

// OpenRelease finds the release name of a master in the published tree; an
// empty name is the one that is current.
func OpenRelease(tree, master, name string) (Release, error) {
	r := Release{Master: master, Name: name}
	if !filepath.IsLocal(master) {
		return r, fmt.Errorf("master %q is not a name below the published tree", master)
	}
	if name == "" {
		target, err := os.Readlink(filepath.Join(tree, master, "current"))
		if errors.Is(err, fs.ErrNotExist) {
			return r, fmt.Errorf("master %q has no release in %q: build and publish it first", master, tree)
		}
		if err != nil {
			return r, fmt.Errorf("finding the current release of %q: %w", master, err)
		}
		r.Name = filepath.Base(target)
	}
	r.Path = path.Join(filepath.ToSlash(master), "releases", r.Name)
	if !filepath.IsLocal(r.Path) || path.Base(r.Path) != r.Name {
		return r, fmt.Errorf("release %q of %q is not a name below the published tree", name, master)
	}
	sums, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(r.Path), sumsFile))
	if err != nil {
		return r, fmt.Errorf("opening release %q of %q: %w", r.Name, master, err)
	}
	r.Sums = digest.FromBytes(sums)
	r.Hosts = hostsOf(sums)
	if r.Parameters, err = parametersOf(filepath.Join(tree, filepath.FromSlash(r.Path), manifestFile)); err != nil {
		return r, fmt.Errorf("opening release %q of %q: %w", r.Name, master, err)
	}
	return r, nil
}

// parametersOf reads the kernel parameters in a manifest.json.
func parametersOf(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parameters, err := parametersIn(data)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", file, err)
	}
	return parameters, nil
}

// parametersIn reads those in the text of a manifest.json.
func parametersIn(data []byte) ([]string, error) {
	var manifest struct {
		Rootfs struct {
			Parameters []string `json:"parameters"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, err
	}
	return manifest.Rootfs.Parameters, nil
}

// hostsOf returns the hosts whose conffs a SHA256SUMS lists.
func hostsOf(sums []byte) []string {
	var hosts []string
	lines := bufio.NewScanner(bytes.NewReader(sums))
	for lines.Scan() {
		// HEX, a space, a space or a star for binary mode, NAME.
		_, name, _ := strings.Cut(lines.Text(), " ")
		name = strings.TrimLeft(name, " *")
		host, isConffs := strings.CutPrefix(name, "conffs-")
		host, isArchive := strings.CutSuffix(host, ".tgz")
		if isConffs && isArchive && host != "" {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func (r Release) checkHost(host string) error {
	if slices.Contains(r.Hosts, host) {
		return nil
	}
	if len(r.Hosts) == 0 {
		return fmt.Errorf("release %q of %q has files for no host: build the master's conffs, or boot it without a host", r.Name, r.Master)
	}
	return fmt.Errorf("release %q of %q has no files for host %q, but for %s", r.Name, r.Master, host, strings.Join(r.Hosts, ", "))
}

// Extras returns those of the Parameters that an entry may hold, and why it
// does not hold the others.
func (r Release) Extras() (extras []string, refused []error) {
	return cmdline.Filter(r.Parameters, r.Allowed)
}
