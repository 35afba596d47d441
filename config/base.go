package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// A Base is a root of the tree: the system that masters start from.
type Base struct {
	Key    string // in config.yml
	Name   string // of its image: `name:`, or else the key
	Source Source
	// SHA256 is the digest, in lower-case hexadecimal, that a File or a URL
	// must have; "" checks nothing. A URL has this or SHA512Sums.
	SHA256 string
	// SHA512Sums is the URL or path of a SHA512SUMS file that lists the File
	// or URL by its file name.
	SHA512Sums string

	// These are for a Release. Empty ones are left to mmdebstrap.
	Mirror     string
	Components []string
	Variant    string
	Include    []string // packages
	Keyring    string   // a path, see Config.Resolve
	Snapshot   string   // the moment of the mirror: 20261120T000000Z

	MaxAge time.Duration // how old the base may become; 0 is any age
	Arch   string        // as Debian calls it, default amd64
	// Kernel is the kernel package that Dockerfile.base installs: by default
	// linux-image-ARCH, and linux-image-generic for Ubuntu's suites.
	Kernel string

	Stages  []Stage // applied to the base itself
	Branch  string  // of its stages, "" without a `branch:`
	Masters []*Master
	Written Written
	Pos     Position // of the key
}

// A Source is where a base comes from.
type Source struct {
	Kind  SourceKind
	Value string // as it was written; for a path see Config.Resolve
}

// SourceKind is the key that names a [Source].
type SourceKind string

// The kinds of sources.
const (
	Release SourceKind = "release" // a Debian or Ubuntu suite
	File    SourceKind = "file"    // a disk image or a tar here
	URL     SourceKind = "url"     // a disk image or a tar elsewhere
	Image   SourceKind = "image"   // an image of a registry
)

// String is the source for people: of a URL without what may be secret in it.
func (s Source) String() string { return fmt.Sprintf("%s %s", s.Kind, PublicURL(s.Value)) }

// PublicURL is an http or https URL without its user, password and query. Any
// other text stays as it is.
func PublicURL(text string) string {
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "a URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// momentLayout is how snapshots are named, for [time.Parse].
const momentLayout = "20060102T150405Z"

// SnapshotTime is the moment of the base's Snapshot, if it has one.
func (b *Base) SnapshotTime() (at time.Time, ok bool) {
	at, err := time.Parse(momentLayout, b.Snapshot)
	return at, err == nil
}

// Distribution is whose suite the base's is: "debian", "ubuntu" or, for one
// that is not known, "".
func (b *Base) Distribution() string {
	if b.Source.Kind != Release {
		return ""
	}
	return suites()[b.Source.Value]
}

// defaultArch is the architecture of a base that names none: the one place
// that assumes one.
const defaultArch = "amd64"

// suites are those that a base may be named after without a `release:`, and
// the distribution of each. `release:` takes any.
func suites() map[string]string {
	known := map[string]string{}
	for distribution, names := range map[string][]string{
		"debian": {"bullseye", "bookworm", "trixie", "forky", "duke", "sid",
			"oldoldstable", "oldstable", "stable", "testing", "unstable"},
		"ubuntu": {"focal", "jammy", "noble", "questing", "resolute"},
	} {
		for _, name := range names {
			known[name] = distribution
		}
	}
	return known
}

// complete gives the base what its keys left out.
func (b *Base) complete() {
	if b.Name == "" {
		b.Name = b.Key
	}
	if b.Arch == "" {
		b.Arch = defaultArch
	}
	switch {
	case b.Kernel != "":
	case b.Distribution() == "ubuntu":
		b.Kernel = "linux-image-generic"
	default:
		b.Kernel = "linux-image-" + b.Arch
	}
	declare(b.Stages, b.Branch, "")
}

// AsMaster is the base as the master of its own stages.
func (b *Base) AsMaster() *Master {
	return &Master{Name: b.Image(), Base: b, Stages: b.Stages, Branch: b.Branch, Network: "private"}
}
