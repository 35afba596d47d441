package inside

import (
	"strings"
	"testing"
)

// machineWithUnits has a few units, and a systemctl that prints its words.
func machineWithUnits(c container) {
	c.command("usr/bin/systemctl", "")
	c.command("usr/sbin/service", "")
	c.file("etc/systemd/system/two@.service", "[Service]\nUser=two\nEnvironment=A=b \"C=d\"\n[Install]\nWantedBy=multi-user.target\n")
	c.link("two@.service", "etc/systemd/system/alias@.service")
	c.file("etc/systemd/system/two@.service.d/more.conf", "[Service]\nEnvironment=E=f\nExecReload=/bin/true\n")
	c.unit("on.service", "[Unit]\nDescription=It is on\n"+installed)
	c.want("on.service", "multi-user.target")
	c.unit("off.service", installed)
	c.unit("one.timer", "[Timer]\n[Install]\nWantedBy=timers.target\n")
	c.unit("once.service", "[Service]\nType=oneshot\nPIDFile=/run/x\n"+"[Install]\nWantedBy=multi-user.target\n")
	c.want("once.service", "multi-user.target")
	c.link("/dev/null", "etc/systemd/system/masked.service")
	c.file("etc/fstab", "/dev/sdx /srv/a-b ext4 defaults 0 0\n")
	c.command("etc/init.d/script", "")
}

func TestSystemctlAsks(t *testing.T) {
	run(t, []scenario{{"units", machineWithUnits, []callOf{
		{"systemctl is-active on off nosuch", result{out: "active\ninactive\ninactive"}},
		{"systemctl is-active off", failed(3, "inactive")}, {"systemctl is-active -q nosuch", result{code: 3}}, {"systemctl --quiet is-active on", result{}},
		{"systemctl is-failed on", failed(1, "active")},
		{"systemctl status on", said("● on.service - It is on\n     Loaded: loaded (/lib/systemd/system/on.service; enabled)\n     Active: active (running)")},
		{"systemctl status off", failed(3, "○ off.service - off.service\n     Loaded: loaded (/lib/systemd/system/off.service; disabled)\n     Active: inactive (dead)")},
		{"systemctl status -q off", result{code: 3}}, {"systemctl status -n 5 -l once.service", said("● once.service - once.service\n     Loaded: loaded (/lib/systemd/system/once.service; enabled)\n     Active: active (exited)")},
		{"systemctl status nosuch", refused(4, "Unit nosuch.service could not be found.")}, {"systemctl status", said("systemctl: status")},
		{"systemctl show -p ActiveState,SubState --property LoadState two@y", said("LoadState=loaded\nActiveState=inactive\nSubState=dead")},
		{"systemctl show --value -p ActiveState nosuch", said("inactive")}, {"systemctl show -P LoadState nosuch masked", said("not-found\n\nmasked")},
		{"systemctl show alias@x -p Id,Names,FragmentPath,DropInPaths,User,Environment,UnitFileState,CanReload",
			said("User=two\nEnvironment=A=b C=d E=f\nId=two@x.service\nNames=two@x.service alias@x.service\nFragmentPath=/etc/systemd/system/two@.service\n" +
				"DropInPaths=/etc/systemd/system/two@.service.d/more.conf\nUnitFileState=disabled\nCanReload=yes")},
		{"systemctl show once", said("Type=oneshot\nPIDFile=/run/x\nResult=success\nExecMainStatus=0\nId=once.service\nNames=once.service\nDescription=once.service\n" +
			"LoadState=loaded\nActiveState=active\nSubState=exited\nFragmentPath=/lib/systemd/system/once.service\nUnitFileState=enabled\nCanReload=no\nNeedDaemonReload=no")},
		{"systemctl show -p MainPID once", result{}}, {"systemctl show", said("systemctl: show")},
		{"systemctl show -p LoadState,UnitFileState,FragmentPath,Description script", said("Description=LSB: script\nLoadState=loaded\nFragmentPath=/run/systemd/generator.late/script.service\nUnitFileState=generated")},
		{"systemctl cat alias@x", said("# /etc/systemd/system/two@.service\n[Service]\nUser=two\nEnvironment=A=b \"C=d\"\n[Install]\nWantedBy=multi-user.target\n\n" +
			"# /etc/systemd/system/two@.service.d/more.conf\n[Service]\nEnvironment=E=f\nExecReload=/bin/true\n")},
		{"systemctl cat nosuch", refused(1, "No files found for nosuch.service.")},
		{"systemctl list-units --type=service --plain --no-legend", said("on.service loaded active running It is on\nonce.service loaded active exited once.service")},
		{"systemctl", said("  UNIT LOAD ACTIVE SUB DESCRIPTION\n  on.service loaded active running It is on\n  once.service loaded active exited once.service")},
		{"systemctl list-units --all --plain --no-legend o*", said("off.service loaded inactive dead off.service\non.service loaded active running It is on\nonce.service loaded active exited once.service")},
		{"systemctl list-units --state exited,failed --no-legend", said("  once.service loaded active exited once.service")},
		{"systemctl list-units --failed --no-legend", result{}}, {"systemctl list-units -t timer", result{}}, {"systemctl list-units -h", said("systemctl: list-units -h")},
		{"systemctl edit on", refused(1, "Cannot edit units if not on a tty.")},
		{"systemctl list-unit-files on", said("systemctl: list-unit-files on on.service")}, {"systemctl list-unit-files on off", said("systemctl: list-unit-files on off")}, {"systemctl list-unit-files", said("systemctl: list-unit-files")},
		{"systemctl is-enabled on", said("systemctl: is-enabled on")},
		{"systemctl is-system-running", both("running", "systemctl is-system-running: no stage runs services")},
		{"systemctl --force reboot", noted("systemctl reboot: a stage does not reboot")},
		{"systemctl daemon-reload", said("systemctl: daemon-reload")}, {"systemctl --version", said("systemctl: --version")},
	}}})
}

// What is started and stopped is remembered, and the real one does the rest.
func TestSystemctlChanges(t *testing.T) {
	active := func(unit string) callOf { return callOf{"systemctl is-active " + unit, said("active")} }
	inactive := func(unit string) callOf { return callOf{"systemctl is-active " + unit, failed(3, "inactive")} }
	real := func(line string) callOf { return callOf{"systemctl " + line, said("systemctl: " + line)} }
	run(t, []scenario{
		{"start and stop", machineWithUnits, []callOf{
			real("stop on"), inactive("on"), real("restart on"), active("on"), real("start off.service"), active("off"), real("reload-or-restart two@x"), active("alias@x"), inactive("two@y"),
			real("try-restart two@y"), inactive("two@y"), real("stop o*"), active("on"),
			{"systemctl start nosuch.service off", refused(5, "Failed to start nosuch.service: Unit nosuch.service not found.")},
			real(`start srv-a\x2db.mount`), active(`srv-a\x2db.mount`), {"systemctl start nosuch.timer", refused(5, "Failed to start nosuch.timer: Unit nosuch.timer not found.")},
			{"systemctl list-units --no-legend --plain two@*", said("two@x.service loaded active running two@x.service")},
		}},
		{"enable and disable", machineWithUnits, []callOf{
			{"systemctl enable --now one.timer", said("systemctl: enable one.timer")}, active("one.timer"),
			real("disable on"), active("on"), {"systemctl disable --now on", said("systemctl: disable on")}, inactive("on"),
			real("enable off"), inactive("off"), {"systemctl --now mask once", said("systemctl: mask once")}, inactive("once"),
		}},
		{"service", machineWithUnits, []callOf{
			{"service off start", said("systemctl: start off")}, active("off"), {"invoke-rc.d off stop", said("systemctl: stop off")}, inactive("off"),
			{"service off.sh force-reload", said("systemctl: restart off")}, active("off"), {"service off force-stop", said("systemctl: stop off")}, inactive("off"),
			{"service --full-restart off", said("systemctl: restart off")}, {"service off other", said("service: off other")}, {"service --status-all", said("service: --status-all")},
			{"service off status", said("● off.service - off.service\n     Loaded: loaded (/lib/systemd/system/off.service; disabled)\n     Active: active (running)")},
			{"service nosuch start", refused(5, "Failed to start nosuch.service: Unit nosuch.service not found.")}, {"service script start", said("systemctl: start script")}, active("script"),
		}},
	})
	c := newContainer(t)
	machineWithUnits(c)
	if got := c.call("systemctl", "set-property", "alias@x", "CPUQuota=20%", "MemoryMax=1G"); got != (result{}) {
		t.Errorf("set-property: %+v", got)
	}
	const dir = "etc/systemd/system.control/two@x.service.d/50-"
	if got := c.read(dir+"CPUQuota.conf") + c.read(dir+"MemoryMax.conf"); got != "[Service]\nCPUQuota=20%\n[Service]\nMemoryMax=1G\n" {
		t.Errorf("the properties are %q", got)
	}
	for line, want := range map[string]result{
		"systemctl set-property nosuch A=b":         refused(1, "Failed to set unit properties on nosuch.service: Unit nosuch.service not found."),
		"systemctl set-property":                    refused(1, "Failed to set unit properties on .service: Unit .service not found."),
		"systemctl set-property --runtime on A=b":   said("systemctl: set-property --runtime on A=b"),
		"systemctl --user set-property on.slice A=": said("systemctl: --user set-property on.slice A="),
	} {
		if got := c.call(strings.Fields(line)...); got != want {
			t.Errorf("%s\ngives %+v\nwant  %+v", line, got, want)
		}
	}
}

func TestSystemctlOfUsers(t *testing.T) {
	c := newContainer(t)
	reals("systemctl", "runuser")(c)
	c.file("etc/passwd", passwd)
	c.file("tmp/games/.config/systemd/user/mine.service", unitBody+"[Install]\nWantedBy=default.target\n")
	c.file("etc/systemd/user/three.service", unitBody)
	c.link("/etc/systemd/user/three.service", "tmp/games/.config/systemd/user/default.target.wants/three.service")
	for line, want := range map[string]result{
		"0 systemctl --user -M games@ enable --now mine":       said("runuser: -u games -- env HOME=/tmp/games /run/vauban/bin/systemctl --user enable --now mine"),
		"0 systemctl --user --machine=games@.host is-active x": said("runuser: -u games -- env HOME=/tmp/games /run/vauban/bin/systemctl --user is-active x"),
		"0 systemctl -M games@ restart x":                      said("systemctl: -M games@ restart x"),
		"0 systemctl --user restart three":                     said("systemctl: --user restart three"),
		"0 systemctl --user restart nosuch":                    refused(5, "Failed to restart nosuch.service: Unit nosuch.service not found."),
		"33 systemctl --user is-active three mine":             said("active\ninactive"),
		"33 systemctl --user show -p FragmentPath mine":        said("FragmentPath=/tmp/games/.config/systemd/user/mine.service"),
		"33 systemctl --user enable --now mine":                said("systemctl: --user enable mine"),
		"33 systemctl --user list-units":                       said("systemctl: --user list-units"),
		"33 systemctl start mine":                              said("systemctl: start mine"),
	} {
		uid, words := 0, strings.Fields(line)
		if words[0] == "33" {
			uid = 33
		}
		if got := c.callAs(uid, []string{"HOME=/tmp/games"}, words[1:]...); got != want {
			t.Errorf("%s\ngives %+v\nwant  %+v", line, got, want)
		}
	}
}
