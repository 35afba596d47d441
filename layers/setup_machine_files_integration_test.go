//go:build integration

package layers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/internal/testenv"
	"vauban/layers"
)

// A step may replace /etc by a link. On the builder that link leads somewhere
// else: what was lent is taken back from the container's own /etc or not at
// all.
func TestTakingBackFollowsNoLink(t *testing.T) {
	e, base := shared.use(t)
	dir := t.TempDir()
	hosts := filepath.Join(dir, "hosts")
	const content = "127.0.0.1\tlocalhost\n127.0.1.1\tlinked\n"
	if err := os.WriteFile(hosts, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	img := applyOne(t, e, script(`mv /etc /srv/etc; ln -s `+dir+` /etc`), target("linked", base))
	if got := readFile(t, hosts); got != content {
		t.Errorf("the builder's file became %q", got)
	}
	if _, err := os.Stat(hosts); err != nil {
		t.Error(err)
	}
	err := e.Mount(t.Context(), img, func(root string) error {
		target, err := os.Readlink(filepath.Join(root, "etc"))
		if target != dir {
			t.Errorf("/etc leads to %q, error %v", target, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a step does to lent files stays, whatever it is, and nothing else of
// them does.
func TestLentFiles(t *testing.T) {
	e, base := shared.use(t)
	before := read(t, e, base, "etc/hosts", "etc/resolv.conf", "etc/machine-id")
	for name, test := range map[string]struct {
		script string
		want   map[string]string
	}{
		"read": {`cat /etc/hosts /etc/resolv.conf /etc/machine-id`, map[string]string{
			"etc/hosts": before["etc/hosts"], "etc/resolv.conf": before["etc/resolv.conf"], "etc/machine-id": before["etc/machine-id"]}},
		"removed": {`rm /etc/hosts /etc/resolv.conf /etc/machine-id`, map[string]string{
			"etc/hosts": "missing", "etc/resolv.conf": "missing", "etc/machine-id": "missing"}},
		"renamed over": {`for f in hosts resolv.conf machine-id; do echo new >/etc/$f.new; mv /etc/$f.new /etc/$f; done`, map[string]string{
			"etc/hosts": "new\n", "etc/resolv.conf": "new\n", "etc/machine-id": "new\n"}},
		"made empty": {`for f in hosts resolv.conf machine-id; do : >/etc/$f; done`, map[string]string{
			"etc/hosts": "", "etc/resolv.conf": "", "etc/machine-id": ""}},
		"a link": {`ln -sf ../srv/x /etc/resolv.conf; echo linked >/srv/x`, map[string]string{
			"etc/resolv.conf": "linked\n", "etc/hosts": before["etc/hosts"]}},
		"a directory": {`rm /etc/resolv.conf; mkdir /etc/resolv.conf; echo in >/etc/resolv.conf/it`, map[string]string{
			"etc/resolv.conf/it": "in\n"}},
		"edited in place": {`sed -i 's/^127.0.0.1.*/& canary/' /etc/hosts`, map[string]string{
			"etc/hosts": strings.Replace(before["etc/hosts"], "\tlocalhost\n", "\tlocalhost canary\n", 1)}},
		"written with a line for the machine": {`printf '127.0.0.1\tlocalhost\n127.0.1.1\tlent\n' >/etc/hosts`, map[string]string{
			"etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tlent\n"}},
		"a copy": {`cp -a /etc/hosts /srv/hosts`, map[string]string{
			"etc/hosts": before["etc/hosts"]}},
		"a hard link": {`ln /etc/machine-id /srv/id`, map[string]string{
			"etc/machine-id": before["etc/machine-id"]}},
	} {
		t.Run(name, func(t *testing.T) {
			img := applyOne(t, e, script(test.script), target("lent", base))
			for path, want := range test.want {
				if got := read(t, e, img, path)[path]; got != want {
					t.Errorf("%s holds %q, want %q", path, got, want)
				}
			}
		})
	}
}

// A playbook that hands names to systemd-resolved looks them up itself in the
// tasks after it, though nothing makes that service's files in a stage.
func TestNamesAreFoundByResolvedsLink(t *testing.T) {
	e, base := shared.use(t)
	for name, systemd := range map[string]bool{"default": false, "systemd": true} {
		t.Run(name, func(t *testing.T) {
			to := target("resolved", base)
			to.Systemd = systemd
			live(t, e, to, func(c *layers.Container) {
				mustSh(t, c, `for file in stub-resolv.conf resolv.conf; do
					cp /etc/resolv.conf /tmp/lent
					ln -sf ../run/systemd/resolve/$file /etc/resolv.conf
					diff /tmp/lent /etc/resolv.conf || exit
				done`)
			})
		})
	}
}

// Lending and taking back leaves no trace: dates of directories stay.
func TestNothingChangedIsAnEmptyLayer(t *testing.T) {
	e, base := shared.use(t)
	named := applyOne(t, e, `true`, target("empty", base)) // ships /etc/hostname
	if err := e.SetImage(t.Context(), "empty", named); err != nil {
		t.Fatal(err)
	}
	dates := func(img layers.Image) (all []time.Time) {
		err := e.Mount(t.Context(), img, func(root string) error {
			for _, dir := range []string{"etc", "etc/apt", "run", "tmp", "var/lib/apt", "var/cache", "root", "."} {
				info, err := os.Stat(filepath.Join(root, dir))
				if err != nil {
					return err
				}
				all = append(all, info.ModTime())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	again := applyOne(t, e, `true`, target("empty", named))
	if a, b := dates(named), dates(again); !equalTimes(a, b) {
		t.Errorf("dates before %v, after %v", a, b)
	}
	if holds := testenv.TopLayer(t, e, again); len(holds) > 0 {
		t.Errorf("the layer of a step that did nothing holds %v", holds)
	}
}

func equalTimes(a, b []time.Time) bool {
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}
