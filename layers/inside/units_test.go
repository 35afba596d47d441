package inside

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// unitTree is a filesystem with units, without a container.
func unitTree(files map[string]string) fs.FS {
	tree := fstest.MapFS{}
	for name, content := range files {
		mode := fs.FileMode(0o644)
		if target, isLink := strings.CutPrefix(content, "-> "); isLink {
			content, mode = target, fs.ModeSymlink
		} else if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		tree[name] = &fstest.MapFile{Data: []byte(content), Mode: mode}
	}
	return tree
}

const (
	local  = "etc/systemd/system/"
	vendor = "usr/lib/systemd/system/"
)

func TestNamesOfUnits(t *testing.T) {
	for word, want := range map[string]string{
		"ssh": "ssh.service", "ssh.service": "ssh.service", "a.timer": "a.timer", "/etc/systemd/system/x.socket": "x.socket",
		"a.b": "a.b.service", "a@b": "a@b.service", "-.mount": "-.mount",
	} {
		if got := unitName(word); got != want {
			t.Errorf("%q is %q, want %q", word, got, want)
		}
	}
	for name, want := range map[string]bool{"a.service": true, "a@.service": true, "a@b.service": true, `a\x2d.service`: true,
		"a b.service": false, "@a.service": false, ".service": false, "ä.service": false, strings.Repeat("a", 260) + ".service": false} {
		if got := isUnitName(name); got != want {
			t.Errorf("%q may be a unit's name: %v", name, got)
		}
	}
}

func TestFilesOfUnits(t *testing.T) {
	units := SystemUnits(unitTree(map[string]string{
		vendor + "a.service": "[Service]\nUser=vendor\n", local + "a.service": "[Service]\nUser=local\n",
		vendor + "t@.service": "[Unit]\nDescription=T\n", vendor + "alias.service": "-> a.service", vendor + "ta@.service": "-> t@.service",
		vendor + "loop.service": "-> loop.service", vendor + "out.service": "-> ../../../../opt/out.service", "opt/out.service": "[Service]\n",
		local + "t@.service.d/20-b.conf": "[Service]\nUser=b\n", vendor + "t@.service.d/10-a.conf": "[Service]\nUser=a\nGroup=a\n",
		local + "t@x.service.d/30-c.conf": "", "run/systemd/system/service.d/15-all.conf": "[Service]\nGroup=all\n",
		vendor + "t@.service.d/20-b.conf": "[Service]\nUser=hidden\n", local + "t@.service.d/readme": "",
	}))
	for unit, want := range map[string]string{
		"a.service": "/etc/systemd/system/a.service", "t@x.service": "/usr/lib/systemd/system/t@.service", "nosuch.service": "",
	} {
		if got, _ := units.file(unit); got != want {
			t.Errorf("the file of %s is %q, want %q", unit, got, want)
		}
	}
	for unit, want := range map[string]string{
		"alias.service": "a.service", "ta@x.service": "t@x.service", "a.service": "a.service", "loop.service": "loop.service",
		"out.service": "out.service", "nosuch.service": "nosuch.service",
	} {
		if got := units.ownName(unit); got != want {
			t.Errorf("%s is %s, want %s", unit, got, want)
		}
	}
	want := []string{"/usr/lib/systemd/system/t@.service.d/10-a.conf", "/run/systemd/system/service.d/15-all.conf",
		"/etc/systemd/system/t@.service.d/20-b.conf", "/etc/systemd/system/t@x.service.d/30-c.conf"}
	if got := units.dropIns("t@x.service"); !slices.Equal(got, want) {
		t.Errorf("the drop-ins are %v", got)
	}
	says := units.settings("t@x.service")
	if got := says.last("User") + says.last("Group") + says.last("Description"); got != "ballT" {
		t.Errorf("the settings are %q", got)
	}
}

// A unit would run by now when it was started, or is started at boot and was
// not stopped.
func TestActive(t *testing.T) {
	const oneshot = "[Service]\nType=oneshot\n[Install]\nWantedBy=multi-user.target\n"
	files := map[string]string{
		vendor + "on.service": installed, local + "multi-user.target.wants/on.service": "-> ../../../../usr/lib/systemd/system/on.service",
		vendor + "off.service": installed, vendor + "static.service": unitBody, vendor + "wanted.service": unitBody,
		vendor + "on.target.wants/wanted.service": "-> ../wanted.service", vendor + "by.service": unitBody,
		vendor + "on.target.requires/by.service": "-> ../by.service",
		vendor + "once.service":                  oneshot, local + "multi-user.target.wants/once.service": "-> ../../../../usr/lib/systemd/system/once.service",
		vendor + "also.service": unitBody + "[Install]\nAlso=on.service\n", vendor + "x.socket": "[Socket]\n", vendor + "x.timer": "[Timer]\n[Install]\nWantedBy=timers.target\n",
		vendor + "x.path": "[Path]\n", vendor + "x.mount": "[Mount]\n", vendor + "x.slice": "[Slice]\n",
		vendor + "stopped.service": installed, local + "multi-user.target.wants/stopped.service": "-> ../../../../usr/lib/systemd/system/stopped.service",
		"run/.vauban-units/stopped.service": "stopped\n", "run/.vauban-units/off2.service": "started\n", vendor + "off2.service": installed,
		"run/.vauban-units/nosuch.service": "started\n", vendor + "masked.service": "", "etc/fstab": "# x /a\n/dev/sdb /srv/a-b ext4\n",
		"etc/init.d/boot": "#!/bin/sh\n", "etc/init.d/idle": "#!/bin/sh\n", "etc/init.d/data": "text", "etc/rc3.d/S01boot": "-> ../init.d/boot", "etc/rcS.d/S01idle": "-> ../init.d/idle",
	}
	units := SystemUnits(unitTree(files))
	for unit, want := range map[string]string{
		"on.service": "loaded active running", "off.service": "loaded inactive dead", "static.service": "loaded inactive dead",
		"wanted.service": "loaded active running", "by.service": "loaded active running", "once.service": "loaded active exited",
		"also.service": "loaded inactive dead", "x.socket": "loaded active listening", "x.timer": "loaded inactive dead",
		"x.path": "loaded active waiting", "x.mount": "loaded active mounted", "x.slice": "loaded active active",
		"stopped.service": "loaded inactive dead", "off2.service": "loaded active running", "nosuch.service": "not-found inactive dead",
		`srv-a\x2db.mount`: "loaded inactive dead", "a.mount": "not-found inactive dead", "sdb.device": "loaded inactive dead",
		"boot.service": "loaded active running", "idle.service": "loaded inactive dead", "data.service": "not-found inactive dead",
		"x/../boot.service": "not-found inactive dead",
	} {
		if s := units.State(unit); s.load+" "+s.Active()+" "+s.how != want {
			t.Errorf("%s is %s %s %s, want %s", unit, s.load, s.Active(), s.how, want)
		}
		if got := units.Active(unit); got != strings.Contains(want, " active ") {
			t.Errorf("%s is active: %v", unit, got)
		}
	}
}

func TestServices(t *testing.T) {
	units := SystemUnits(unitTree(map[string]string{
		vendor + "on.service": "[Unit]\nDescription=It is on\n" + installed, local + "multi-user.target.wants/on.service": "-> ../../../../usr/lib/systemd/system/on.service",
		vendor + "alias.service": "-> on.service", vendor + "bad.service": "-> nowhere.service", vendor + "x.timer": "",
		vendor + "t@.service": "[Unit]\nDescription=of \\\n  two lines\n" + unitBody, "run/.vauban-units/t@x.service": "stopped\n", "run/.vauban-units/t.timer": "started\n",
		"etc/init.d/script": "#!/bin/sh\n", "etc/init.d/on": "#!/bin/sh\n", "etc/rc5.d/S20script": "-> ../init.d/script",
	}))
	var got []string
	for _, s := range units.Services() {
		got = append(got, strings.Join([]string{s.name, s.Active(), s.how, s.enabled, s.description}, " "))
	}
	want := []string{
		"alias.service active running alias It is on",
		"bad.service inactive dead bad bad.service",
		"on.service active running enabled It is on",
		"t@.service inactive dead static of two lines",
		"script.service active running generated script.service",
		"t@x.service inactive dead enabled of two lines",
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseUnit(t *testing.T) {
	long := "[Service]\nUser=a\nEnvironment=" + strings.Repeat("x", 5000) + "\nGroup=b\n"
	for content, want := range map[string]string{
		"[Service]\nUser=a\nUser = b \n":                  "b/",
		"# x\n[Service]\n\tUser=a\n;c\nGroup=g\n":         "a/g",
		"[Service]\nnonsense\nUser=a\n[Broken\nGroup=g\n": "a/g",
		"[Service]\nUser=a \\\n  b\nGroup=g\n":            "a b/g",
		"[Service]\nUser=a \\\nnot=this\\\n\nGroup=g\n":   "a not=this/g",
		"[Service]\nUser=a\nUser=\n":                      "/",
		"User=a\n":                                        "/",
		"":                                                "/",
		"[Service]\nUser=a":                               "a/",
		"[Service]\r\nUser=a\r\nGroup=b\r\n":              "a/b",
		"[Service]\n" + strings.Repeat("Group=g\n", maxSettings) + "User=a\n": "/g", // is bounded
		long: "a/b",
		"[Service]\n" + strings.Repeat("Group=g\n", maxSettings) + "User=a\n": "/g", // and no more
		"[Service]\nUser=a\n#" + strings.Repeat("y", maxUnit):                 "/",  // is not read
		"[Unit]\n=x\n[Service]\nUser=a\n":                                     "a/",
	} {
		says := parseUnit([]byte(content))
		if got := says.last("User") + "/" + says.last("Group"); got != want {
			t.Errorf("%.60q says %q, want %q", content, got, want)
		}
	}
}

func FuzzParseUnit(f *testing.F) {
	f.Add([]byte("[Service]\nUser=a \\\n b\ngarbage\n#c\n[x\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, o := range parseUnit(content) {
			if strings.Contains(joinLines(o.Value), "\\\n") {
				t.Errorf("%q has a line that goes on", o.Value)
			}
		}
	})
}
