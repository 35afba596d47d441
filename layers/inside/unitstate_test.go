package inside

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	unitBody  = "[Service]\nExecStart=/bin/true\n"
	installed = unitBody + "[Install]\nWantedBy=multi-user.target\n"
)

// states are what systemd 252 answers to `systemctl is-enabled`: of each way in
// which a unit may be installed.
var states = map[string]string{
	"enabled.service": "enabled", "disabled.service": "disabled", "static.service": "static",
	"static-wanted.service": "static", "wanted-by-package.service": "disabled", "runtime.service": "enabled-runtime",
	"required.service": "enabled", "also.service": "indirect", "named.service": "disabled",
	"named-and-linked.service": "enabled", "its-name.service": "alias", "target.service": "static", "alias.service": "alias",
	"masked.service": "masked", "masked-runtime.service": "masked-runtime", "masked-by-nothing.service": "masked",
	"masked-by-package.service": "masked", "empty.service": "masked",
	"linked.service": "linked", "linked-runtime.service": "linked-runtime", "linked-and-enabled.service": "enabled",
	"broken.service": "bad", "loop1.service": "bad", "loop2.service": "bad", "hides-itself.service": "bad", "to-hidden.service": "bad",
	"one@.service": "enabled", "two@.service": "indirect", "three@.service": "indirect", "four@.service": "indirect",
	"four@y.service": "static", "other-four@.service": "alias",
	"in-drop-in.service": "disabled", "overridden.service": "static", "wanted-by-file.service": "disabled",
	"wanted-though-static.service": "enabled", "garbage.service": "disabled", "local.service": "enabled",
	"other-name.service": "indirect", "other-name-of.service": "alias", "wanted-by-other-name.service": "disabled",
	"other-four-target.service": "static", "five@.service": "disabled", "six@.service": "static",
}

// instances have no file of their own.
var instances = map[string]string{
	"one@one.service": "enabled", "one@two.service": "disabled", "two@two.service": "enabled", "two@one.service": "disabled",
	"three@x.service": "enabled", "four@x.service": "static", "nosuch.service": "", "nosuch@x.service": "",
}

func installUnits(t *testing.T) container {
	c := newContainer(t)
	const package_, local, runtime = "usr/lib/systemd/system/", "etc/systemd/system/", "run/systemd/system/"
	const wants = "multi-user.target.wants/"
	for _, name := range []string{"enabled", "disabled", "wanted-by-package", "runtime", "wanted-by-file", "one@", "two@", "three@", "wanted-by-other-name"} {
		c.unit(name+".service", installed)
	}
	for _, name := range []string{"static", "static-wanted", "target", "masked", "four@", "wanted-though-static", "in-drop-in", "hides-itself", "other-four-target"} {
		c.unit(name+".service", unitBody)
	}
	c.want("enabled.service", "multi-user.target")
	c.want("wanted-though-static.service", "multi-user.target")
	c.link("../static-wanted.service", package_+wants+"static-wanted.service")
	c.link("../wanted-by-package.service", package_+wants+"wanted-by-package.service")
	c.link("/lib/systemd/system/runtime.service", runtime+wants+"runtime.service")
	c.unit("required.service", unitBody+"[Install]\nRequiredBy=multi-user.target\n")
	c.link("/lib/systemd/system/required.service", local+"multi-user.target.requires/required.service")
	c.unit("also.service", unitBody+"[Install]\nAlso=enabled.service\n")
	c.unit("named.service", unitBody+"[Install]\nAlias=unused-name.service\n")
	c.unit("named-and-linked.service", unitBody+"[Install]\nAlias=its-name.service\n")
	c.link("/lib/systemd/system/named-and-linked.service", local+"its-name.service")
	c.link("target.service", package_+"alias.service")
	for _, name := range []string{local + "masked.service", runtime + "masked-runtime.service", package_ + "masked-by-package.service"} {
		c.link("/dev/null", name)
	}
	c.file(local+"masked-by-nothing.service", "")
	c.unit("empty.service", "")
	c.file("opt/linked.service", installed)
	c.link("/opt/linked.service", local+"linked.service")
	c.file("opt/linked-runtime.service", unitBody)
	c.link("/opt/linked-runtime.service", runtime+"linked-runtime.service")
	c.file("opt/linked-and-enabled.service", installed)
	c.link("/opt/linked-and-enabled.service", local+"linked-and-enabled.service")
	c.link("/opt/linked-and-enabled.service", local+wants+"linked-and-enabled.service")
	c.link("/nowhere/x.service", local+"broken.service")
	c.link("loop2.service", local+"loop1.service")
	c.link("loop1.service", local+"loop2.service")
	c.link("/lib/systemd/system/hides-itself.service", local+"hides-itself.service")
	c.link("/lib/systemd/system/hides-itself.service", local+"to-hidden.service")
	c.file(package_+"one@.service", installed+"DefaultInstance=one\n")
	c.want("one@one.service", "multi-user.target")
	c.file(package_+"two@.service", installed+"DefaultInstance=one\n")
	c.want("two@two.service", "multi-user.target")
	c.want("three@x.service", "multi-user.target")
	c.link("../four@.service", package_+wants+"four@x.service")
	c.link("four@.service", package_+"four@y.service")
	c.link("/lib/systemd/system/four@.service", local+"other-four@.service")
	c.file(local+"in-drop-in.service.d/install.conf", "[Install]\nWantedBy=multi-user.target\n")
	c.unit("overridden.service", installed)
	c.file(local+"overridden.service", unitBody)
	c.file(local+wants+"wanted-by-file.service", "x")
	c.unit("garbage.service", "[Unit]\ngarbage\n[Install]\nWantedBy=multi-user.target\n")
	c.file(local+"local.service", installed)
	c.link("../local.service", local+wants+"local.service")
	c.unit("other-name.service", installed)
	c.link("/lib/systemd/system/other-name.service", local+"other-name-of.service")
	c.link("/lib/systemd/system/wanted-by-other-name.service", local+wants+"notits.service")
	c.must(unix.Mkfifo(c.dir+"/"+local+"pipe.service", 0o644))
	c.mkdir(local + "folder.service")
	c.file(package_+"five@.service", installed)
	c.link("/lib/systemd/system/five@.service", local+wants+"notfive@x.service")
	c.file(package_+"six@.service", unitBody)
	c.link("../six@.service", package_+wants+"six@x.service")
	return c
}

func TestEnabled(t *testing.T) {
	c := installUnits(t)
	units := SystemUnits(c.root)
	for _, table := range []map[string]string{states, instances} {
		for unit, want := range table {
			if got := units.Enabled(unit); got != want {
				t.Errorf("%s is %q, want %q", unit, got, want)
			}
		}
	}
	var listed []string
	for _, name := range units.serviceFiles() {
		if listed = append(listed, name); states[name] == "" {
			t.Errorf("%s is listed", name)
		}
	}
	if len(listed) != len(states) {
		t.Errorf("%d units are listed, want %d: %v", len(listed), len(states), listed)
	}
}

// The table is right where systemd is one that it is about.
func TestEnabledAsSystemctlSays(t *testing.T) {
	if said, err := exec.CommandContext(t.Context(), "systemctl", "--version").Output(); err != nil || !strings.HasPrefix(string(said), "systemd 252 ") {
		t.Skip("systemctl 252 is not installed")
	}
	c := installUnits(t)
	said, err := exec.CommandContext(t.Context(), "systemctl", "--root="+c.dir, "list-unit-files", "--type=service", "--all", "--no-legend", "--no-pager").Output()
	c.must(err)
	listed := map[string]string{}
	for line := range strings.Lines(string(said)) {
		fields := strings.Fields(line)
		listed[fields[0]] = fields[1]
	}
	for unit, want := range states {
		if listed[unit] != want {
			t.Errorf("%s is %q, want %q", unit, listed[unit], want)
		}
	}
	if len(listed) != len(states) {
		t.Errorf("%d units are listed, want %d", len(listed), len(states))
	}
	for unit, want := range instances {
		said, _ := exec.CommandContext(t.Context(), "systemctl", "--root="+c.dir, "is-enabled", unit).Output()
		if got := strings.TrimSpace(string(said)); got != want {
			t.Errorf("%s is %q, want %q", unit, got, want)
		}
	}
}
