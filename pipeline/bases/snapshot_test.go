package bases

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/config"
)

func TestSnapshotSources(t *testing.T) {
	signed := func(keyring string) string {
		if _, err := os.Stat(keyring); err != nil {
			return ""
		}
		return "signed-by=" + keyring + " "
	}
	debian, ubuntu := signed("/usr/share/keyrings/debian-archive-keyring.gpg"), signed("/usr/share/keyrings/ubuntu-archive-keyring.gpg")
	for _, tt := range []struct {
		name string
		base config.Base
		want []string
	}{
		{name: "Debian", base: config.Base{Source: config.Source{Value: "trixie"}, Components: []string{"main", "contrib"}}, want: []string{
			"deb [" + debian + "check-valid-until=no] http://snapshot.debian.org/archive/debian/20260101T000000Z/ trixie main contrib",
			"deb [" + debian + "check-valid-until=no] http://snapshot.debian.org/archive/debian/20260101T000000Z/ trixie-updates main contrib",
			"deb [" + debian + "check-valid-until=no] http://snapshot.debian.org/archive/debian-security/20260101T000000Z/ trixie-security main contrib",
		}},
		{name: "Debian's sid", base: config.Base{Source: config.Source{Value: "sid"}, Keyring: "key.gpg"}, want: []string{
			"deb [check-valid-until=no] http://snapshot.debian.org/archive/debian/20260101T000000Z/ sid main",
		}},
		{name: "Ubuntu", base: config.Base{Source: config.Source{Value: "noble"}}, want: []string{
			"deb [" + ubuntu + "check-valid-until=no] https://snapshot.ubuntu.com/ubuntu/20260101T000000Z/ noble main",
			"deb [" + ubuntu + "check-valid-until=no] https://snapshot.ubuntu.com/ubuntu/20260101T000000Z/ noble-updates main",
			"deb [" + ubuntu + "check-valid-until=no] https://snapshot.ubuntu.com/ubuntu/20260101T000000Z/ noble-security main",
		}},
		{name: "a mirror", base: config.Base{Source: config.Source{Value: "other"}, Mirror: "http://mirror.example.com/snapshots/"}, want: []string{
			"deb [check-valid-until=no] http://mirror.example.com/snapshots/20260101T000000Z/ other main",
		}},
	} {
		tt.base.Source.Kind, tt.base.Snapshot = config.Release, "20260101T000000Z"
		if diff := cmp.Diff(tt.want, snapshotSources(&tt.base)); diff != "" {
			t.Errorf("%s:\n%s", tt.name, strings.TrimSpace(diff))
		}
	}
}
