package release

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// TimestampFormat is how a release is named: the UTC time of the run that
// published it. It sorts by age and needs no quoting in shells and URLs.
const TimestampFormat = "2006-01-02T150405Z"

// Names inside a release and, as links through current, next to it.
const (
	rootfsName    = "rootfs.squashfs"
	vmlinuzName   = "vmlinuz"
	initramfsName = "initramfs.img"
	sumsName      = "SHA256SUMS"
	manifestName  = "manifest.json"

	// articleName is what the rootfs was called when it was a tar archive.
	// Boot entries in the field ask for it; what it holds decides how it is
	// mounted, not how it is called.
	articleName = "rootfs.tgz"

	conffsPrefix, conffsSuffix = "conffs-", ".tgz"
)

// Names of the tree around the releases.
const (
	poolName     = "linux"
	releasesName = "releases"
	currentName  = "current"
)

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$`)
	versionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~_-]{0,127}$`)
)

// ConffsName returns the file name of a host's conffs in a release. A host
// whose name could leave the directory or break a line of SHA256SUMS is an
// error.
func ConffsName(host string) (string, error) {
	if !nameForm.MatchString(host) || len(conffsPrefix+host+conffsSuffix) > 255 {
		return "", fmt.Errorf("host %q cannot name a file: "+
			"use letters, digits, '.', '_' and '-', not first '.' or '-', at most 244 bytes", host)
	}
	return conffsPrefix + host + conffsSuffix, nil
}

// CheckHost refuses hosts for which nothing can be built: the name is a file's
// in a release, and the machine's own.
func CheckHost(host string) error {
	if _, err := ConffsName(host); err != nil {
		return err
	}
	if len(host) > maxHostname {
		return fmt.Errorf("host %q has a name of %d bytes: a machine's name has at most %d", host, len(host), maxHostname)
	}
	return nil
}

// maxHostname is the kernel's limit, __NEW_UTS_LEN.
const maxHostname = 64

// isConffsName reports whether name is one that ConffsName returns.
func isConffsName(name string) bool {
	host, ok := strings.CutPrefix(name, conffsPrefix)
	if !ok {
		return false
	}
	host, ok = strings.CutSuffix(host, conffsSuffix)
	return ok && nameForm.MatchString(host)
}

// CheckMaster accepts a master's name as a path below the published tree:
// parts of it must neither leave the tree nor be mistaken for what the tree
// itself holds there.
func CheckMaster(master string) error {
	for i, part := range strings.Split(master, "/") {
		if !nameForm.MatchString(part) {
			return fmt.Errorf("master %q cannot be published: "+
				"each part of its name takes letters, digits, '.', '_' and '-', not first '.' or '-'", master)
		}
		if reserved(part) || (i == 0 && part == poolName) {
			return fmt.Errorf("master %q cannot be published: "+
				"the published tree uses %q itself; rename the master", master, part)
		}
	}
	return nil
}

func reserved(part string) bool {
	switch part {
	case releasesName, currentName, rootfsName, articleName, vmlinuzName, initramfsName:
		return true
	}
	return isConffsName(part)
}

func checkVersion(version string) error {
	if !versionForm.MatchString(version) {
		return fmt.Errorf("kernel version %q cannot name a file: "+
			"use what uname -r prints, such as 6.1.0-25-amd64", version)
	}
	return nil
}

func checkTimestamp(timestamp string) error {
	t, err := time.Parse(TimestampFormat, timestamp)
	if err != nil || t.Format(TimestampFormat) != timestamp {
		return fmt.Errorf("release %q is not a timestamp of the form %s", timestamp, TimestampFormat)
	}
	return nil
}
