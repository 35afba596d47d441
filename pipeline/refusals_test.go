package pipeline

import (
	"net/netip"
	"strings"
	"testing"

	"vauban/layers"
)

func TestRefusedAreReportedOnce(t *testing.T) {
	database := layers.Refusal{Protocol: "tcp", Address: netip.MustParseAddr("192.0.2.2"), Port: 5432}
	metadata := layers.Refusal{Protocol: "tcp", Address: netip.MustParseAddr("169.254.169.254"), Port: 80, Never: true}
	var f refusals
	f.add("web01", nil, 0)
	f.add("web02", []layers.Refusal{database, metadata}, 3)
	f.add("web03", []layers.Refusal{database}, 1)
	got := f.lines()
	want := []string{
		"refused on 2 hosts a connection (tcp) to the builder's own address 192.0.2.2:5432: to permit it, add to `configuration:` in config.yml: network_allow: [\"192.0.2.2:5432\"]",
		"refused a connection (tcp) to 169.254.169.254:80, which is never permitted",
		"refused connections to 3 more addresses",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("reported is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
