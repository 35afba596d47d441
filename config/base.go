package config

import "time"

// A Base is a root of the tree: the system that masters start from.
type Base struct {
	Key    string // in config.yml
	Name   string // of its image: `name:`, or else the key
	Source Source
	// SHA256 is the digest, in lower-case hexadecimal, that a File or a URL
	// must have; "" checks nothing.
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
	Snapshot   string   // a moment of snapshot.debian.org: 20261120T000000Z

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
	File    SourceKind = "file"    // a disk image here
	URL     SourceKind = "url"     // a disk image elsewhere
	Image   SourceKind = "image"   // an image of a registry
)

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
	case b.Source.Kind == Release && suites()[b.Source.Value] == "ubuntu":
		b.Kernel = "linux-image-generic"
	default:
		b.Kernel = "linux-image-" + b.Arch
	}
	declare(b.Stages, b.Branch, "")
}
