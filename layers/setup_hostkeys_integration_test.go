//go:build integration

package layers_test

import (
	"strings"
	"testing"

	"vauban/internal/testenv"
)

// A role that hardens an SSH server finds the keys that its package makes, and
// whatever it does to their modes, none is in the layer. Its own keys stay.
func TestLentHostKeys(t *testing.T) {
	e, base := shared.use(t)
	server := applyOne(t, e, `: >/usr/sbin/sshd; mkdir /etc/ssh; rm -f /etc/ssh/ssh_host_*`, target("server", base))
	if err := e.SetImage(t.Context(), "server", server); err != nil {
		t.Fatal(err)
	}
	img := applyOne(t, e, script(`cd /etc/ssh
for kind in rsa ecdsa ed25519; do
	grep -q 'OPENSSH PRIVATE KEY' ssh_host_${kind}_key
	grep -q -- "$kind" ssh_host_${kind}_key.pub
	[ "$(stat -c %a ssh_host_${kind}_key)" = 600 ]
done
chmod 640 ssh_host_rsa_key
chgrp daemon ssh_host_ecdsa_key
mv ssh_host_ed25519_key x
cp x ssh_host_ed25519_key
rm x
echo own >ssh_host_own_key
echo replaced >ssh_host_rsa_key.pub`), target("hardened", server))
	holds := testenv.TopLayer(t, e, img)
	for path := range holds {
		if strings.Contains(path, "ssh_host_") && path != "/etc/ssh/ssh_host_own_key" && path != "/etc/ssh/ssh_host_rsa_key.pub" {
			t.Errorf("the layer holds %q", path)
		}
	}
	for path, want := range map[string]string{"etc/ssh/ssh_host_own_key": "own\n", "etc/ssh/ssh_host_rsa_key.pub": "replaced\n"} {
		if got := read(t, e, img, path)[path]; got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
}
