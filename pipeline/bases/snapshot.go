package bases

import (
	"fmt"
	"os"
	"strings"

	"vauban/config"
)

// archives say where a distribution's snapshots are, for the suite itself, its
// updates and its security updates, and which keys sign them.
type archives struct {
	main, security, keyring string
}

// Source: https://snapshot.debian.org/ and https://snapshot.ubuntu.com/
var snapshotArchives = map[string]archives{
	"debian": {"http://snapshot.debian.org/archive/debian", "http://snapshot.debian.org/archive/debian-security",
		"/usr/share/keyrings/debian-archive-keyring.gpg"},
	"ubuntu": {"https://snapshot.ubuntu.com/ubuntu", "https://snapshot.ubuntu.com/ubuntu",
		"/usr/share/keyrings/ubuntu-archive-keyring.gpg"},
}

// snapshotSources are the lines of sources.list for a base of a moment: those
// that mmdebstrap would choose, of that moment. They stay in the image, so that
// its stages find packages that go with what it has. What such a mirror says
// has long expired, and each line says that this is no matter.
func snapshotSources(b *config.Base) []string {
	components := strings.Join(b.Components, " ")
	if components == "" {
		components = "main"
	}
	line := func(options, mirror, suite string) string {
		return fmt.Sprintf("deb [%scheck-valid-until=no] %s/%s/ %s %s", options, strings.TrimRight(mirror, "/"), b.Snapshot, suite, components)
	}
	suite := b.Source.Value
	if b.Mirror != "" {
		return []string{line("", b.Mirror, suite)}
	}
	from, options := snapshotArchives[b.Distribution()], ""
	// The builder's apt trusts the keys of its own distribution alone.
	if _, err := os.Stat(from.keyring); err == nil && b.Keyring == "" {
		options = "signed-by=" + from.keyring + " "
	}
	lines := []string{line(options, from.main, suite)}
	if suite == "sid" || suite == "unstable" {
		return lines
	}
	return append(lines, line(options, from.main, suite+"-updates"), line(options, from.security, suite+"-security"))
}
