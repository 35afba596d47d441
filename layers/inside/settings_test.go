package inside

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHostname(t *testing.T) {
	c := newContainer(t)
	c.file("etc/hostname", "standins\n")
	reals("hostname", "hostnamectl")(c)
	for _, test := range []struct {
		line             string
		want             result
		hostname, pretty string
	}{
		{"hostname", said("hostname:"), "standins", ""},
		{"hostname -f", said("hostname: -f"), "standins", ""},
		{"hostname other", noted("hostname: a stage keeps its name"), "standins", ""},
		{"hostname -F /etc/hostname", noted("hostname: a stage keeps its name"), "standins", ""},
		{"hostnamectl", said(" Static hostname: standins"), "standins", ""},
		{"hostnamectl --static", said("standins"), "standins", ""},
		{"hostnamectl hostname", said("standins"), "standins", ""},
		{"hostnamectl set-hostname other", noted("hostnamectl set-hostname: the name holds from the next boot on"), "other", ""},
		{"hostnamectl hostname again", noted("hostnamectl set-hostname: the name holds from the next boot on"), "again", ""},
		{"hostnamectl --pretty set-hostname Pretty", noted("hostnamectl set-hostname: the name holds from the next boot on"), "again", "PRETTY_HOSTNAME=\"Pretty\"\n"},
		{"hostnamectl --transient set-hostname x", noted("hostnamectl set-hostname: the name holds from the next boot on"), "again", "PRETTY_HOSTNAME=\"Pretty\"\n"},
		{"hostnamectl --pretty --static set-hostname both", noted("hostnamectl set-hostname: the name holds from the next boot on"), "both", "PRETTY_HOSTNAME=\"both\"\n"},
		{"hostnamectl set-icon-name computer", noted("hostnamectl set-icon-name: written to /etc/machine-info"), "both", "PRETTY_HOSTNAME=\"both\"\nICON_NAME=\"computer\"\n"},
		{"hostnamectl chassis", said("hostnamectl: chassis"), "both", "PRETTY_HOSTNAME=\"both\"\nICON_NAME=\"computer\"\n"},
		{"hostnamectl describe", said("hostnamectl: describe"), "both", "PRETTY_HOSTNAME=\"both\"\nICON_NAME=\"computer\"\n"},
	} {
		if got := c.call(strings.Fields(test.line)...); got != test.want {
			t.Errorf("%s\ngives %+v\nwant  %+v", test.line, got, test.want)
		}
		pretty, _ := os.ReadFile(filepath.Join(c.dir, "etc/machine-info"))
		if got := c.read("etc/hostname"); got != test.hostname+"\n" || string(pretty) != test.pretty {
			t.Errorf("after %s: %q, %q", test.line, got, pretty)
		}
	}
}

func TestTimedatectl(t *testing.T) {
	c := newContainer(t)
	c.command("usr/bin/date", `echo "$TZ, +0900"`)
	c.command("usr/bin/systemctl", "")
	c.file("usr/share/zoneinfo/Asia/Tokyo", "")
	c.file("usr/share/zoneinfo/tzdata.zi", "# version x\nZ Europe/Berlin 0:53\nR x\nL America/Chicago US/Central\n")
	c.file("etc/timezone", "Etc/UTC\n")
	status := func(zone, synchronized, service, local string) result {
		return said("                Time zone: " + zone + " (" + zone + ", +0900)\nSystem clock synchronized: " + synchronized +
			"\n              NTP service: " + service + "\n          RTC in local TZ: " + local)
	}
	check := func(line string, want result) {
		t.Helper()
		if got := c.call(strings.Fields(line)...); got != want {
			t.Errorf("%s\ngives %+v\nwant  %+v", line, got, want)
		}
	}
	check("timedatectl", status("Etc/UTC", "no", "n/a", "no"))
	check("timedatectl set-timezone Nowhere/City", refused(1, "Failed to set time zone: Invalid or not installed time zone 'Nowhere/City'"))
	check("timedatectl set-timezone", refused(1, "Failed to set time zone: Invalid or not installed time zone ''"))
	check("timedatectl set-timezone Asia/Tokyo", noted("timedatectl set-timezone: /etc/localtime leads to it"))
	if target, _ := os.Readlink(filepath.Join(c.dir, "etc/localtime")); target != "../usr/share/zoneinfo/Asia/Tokyo" || c.read("etc/timezone") != "Asia/Tokyo\n" {
		t.Errorf("the zone is %q, %q", target, c.read("etc/timezone"))
	}
	check("timedatectl show -p Timezone --value", said("Asia/Tokyo"))
	check("timedatectl set-local-rtc yes", noted("timedatectl set-local-rtc: written to /etc/adjtime"))
	check("timedatectl show -pLocalRTC", said("LocalRTC=yes"))
	check("timedatectl set-local-rtc 0", noted("timedatectl set-local-rtc: written to /etc/adjtime"))
	if got := c.read("etc/adjtime"); got != "0.0 0 0\n0\nUTC\n" {
		t.Errorf("/etc/adjtime is %q", got)
	}
	check("timedatectl list-timezones", said("Europe/Berlin\nUS/Central\nUTC"))
	check("timedatectl set-time 12:00", noted("timedatectl set-time: a stage sets no clock"))
	check("timedatectl set-ntp yes", refused(1, "Failed to set ntp: NTP not supported"))
	check("timedatectl show", said("Timezone=Asia/Tokyo\nLocalRTC=no\nCanNTP=no\nNTP=no\nNTPSynchronized=no"))

	for unit, list := range map[string]string{"first": "etc/systemd/ntp-units.d/50-a.list", "second": "usr/lib/systemd/ntp-units.d/80-b.list"} {
		c.unit(unit+".service", installed)
		c.file(list, "nosuch.service\n"+unit+".service\n")
	}
	note := "timedatectl set-ntp: the service is enabled or disabled, from the next boot on"
	check("timedatectl set-ntp true", both("systemctl: enable first.service", note))
	check("timedatectl", status("Asia/Tokyo", "yes", "active", "no"))
	check("timedatectl set-ntp off", both("systemctl: disable first.service\nsystemctl: disable second.service", note))
	check("timedatectl show --property=NTP -p CanNTP", said("CanNTP=yes\nNTP=no"))
	c.must(os.RemoveAll(filepath.Join(c.dir, remembered)))
	c.want("first.service", "multi-user.target")
	check("timedatectl show -p NTPSynchronized", said("NTPSynchronized=yes"))
	c.command("usr/bin/systemctl", "exit 5")
	check("timedatectl set-ntp 1", result{code: 5})
}

func TestLocalectl(t *testing.T) {
	c := newContainer(t)
	c.command("usr/bin/locale", `printf 'C\nC.utf8\nPOSIX\nde_DE.utf8\nen_US.UTF-8\nfr_FR\n'`)
	reals("localectl")(c)
	for _, test := range []struct {
		line  string
		want  result
		lines string
	}{
		{"localectl set-locale LANG=de_DE.UTF-8 LC_TIME=C", noted("localectl set-locale: written to /etc/default/locale"), "LANG=de_DE.UTF-8\nLC_TIME=C\n"},
		{"localectl set-locale en_US.UTF-8", noted("localectl set-locale: written to /etc/default/locale"), "LC_TIME=C\nLANG=en_US.UTF-8\n"},
		{"localectl", said("   System Locale: LC_TIME=C LANG=en_US.UTF-8"), "LC_TIME=C\nLANG=en_US.UTF-8\n"},
		{"localectl set-locale LC_TIME=", noted("localectl set-locale: written to /etc/default/locale"), "LANG=en_US.UTF-8\n"},
		{"localectl list-locales", said("C.UTF-8\nde_DE.UTF-8\nen_US.UTF-8"), "LANG=en_US.UTF-8\n"},
		{"localectl list-keymaps", said("localectl: list-keymaps"), "LANG=en_US.UTF-8\n"},
		{"localectl set-keymap de", noted("localectl set-keymap: written to /etc/vconsole.conf"), "LANG=en_US.UTF-8\n"},
		{"localectl set-x11-keymap de", noted("localectl set-x11-keymap: written to /etc/default/keyboard"), "LANG=en_US.UTF-8\n"},
	} {
		if got := c.call(strings.Fields(test.line)...); got != test.want {
			t.Errorf("%s\ngives %+v\nwant  %+v", test.line, got, test.want)
		}
		if got := c.read("etc/default/locale"); got != test.lines {
			t.Errorf("after %s: %q", test.line, got)
		}
	}
	if got := c.read("etc/vconsole.conf") + c.read("etc/default/keyboard"); got != "KEYMAP=de\nXKBLAYOUT=\"de\"\n" {
		t.Errorf("the keymaps are %q", got)
	}
	c.file("etc/locale.conf", "")
	if got := c.call("localectl", "set-locale", "C.UTF-8"); got.note != "\tlocalectl set-locale: written to /etc/locale.conf" || c.read("etc/locale.conf") != "LANG=C.UTF-8\n" {
		t.Errorf("with /etc/locale.conf: %+v", got)
	}
}

const passwd = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/false\nwww-data:x:33:33::/var/www:/bin/false\ngames:x:5:60::/tmp/games:/bin/sh\n"

func TestLoginctl(t *testing.T) {
	c := newContainer(t)
	c.file("etc/passwd", passwd)
	c.command("usr/bin/getent", `[ "$2" = directory ] && echo directory:x:7000:7000::/home/d:/bin/sh`)
	reals("loginctl")(c)
	const holds = ": it holds from the next boot on"
	for _, test := range []struct {
		line    string
		want    result
		lingers string
	}{
		{"loginctl enable-linger www-data 1 directory", noted("loginctl enable-linger" + holds), "daemon directory www-data"},
		{"loginctl disable-linger daemon 7000", refused(1, "Failed to look up user 7000: No such process"), "directory www-data"},
		{"loginctl enable-linger", noted("loginctl enable-linger" + holds), "directory root www-data"},
		{"loginctl enable-linger nosuch", refused(1, "Failed to look up user nosuch: No such process"), "directory root www-data"},
		{"loginctl show-user www-data -p Linger", said("Linger=yes"), "directory root www-data"},
		{"loginctl show-user --property=RuntimePath --value www-data", said("/run/user/33"), "directory root www-data"},
		{"loginctl show-user", said("UID=0\nName=root\nRuntimePath=/run/user/0\nState=lingering\nLinger=yes"), "directory root www-data"},
		{"loginctl show-user daemon", refused(1, "Failed to get user: User ID 1 is not logged in or lingering"), "directory root www-data"},
		{"loginctl kill-user games", noted("loginctl kill-user: no user is logged in"), "directory root www-data"},
		{"loginctl list-sessions", said("loginctl: list-sessions"), "directory root www-data"},
	} {
		if got := c.call(strings.Fields(test.line)...); got != test.want {
			t.Errorf("%s\ngives %+v\nwant  %+v", test.line, got, test.want)
		}
		var names []string
		entries, _ := os.ReadDir(filepath.Join(c.dir, linger))
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if got := strings.Join(names, " "); got != test.lingers {
			t.Errorf("after %s: %s", test.line, got)
		}
	}
}

func TestBecomingOthers(t *testing.T) {
	c := newContainer(t)
	c.file("etc/passwd", passwd)
	reals("sudo", "machinectl", "runuser", "capsh")(c)
	const env = "env PATH=/usr/bin:/bin VAUBAN_TASK=two SYSTEMD_OFFLINE=1"
	for line, want := range map[string]string{
		"sudo -n systemctl reboot":            "sudo: -n " + env + " systemctl reboot",
		"sudo -u games id -un":                "sudo: -u games " + env + " id -un",
		"sudo -ugames id":                     "sudo: -ugames " + env + " id",
		"sudo -nu games -- id":                "sudo: -nu games -- " + env + " id",
		"sudo --user games -n id":             "sudo: --user games -n " + env + " id",
		"sudo --user=games id -i":             "sudo: --user=games " + env + " id -i",
		"sudo -Hu games C=d sh":               "sudo: -Hu games " + env + " C=d sh",
		"sudo -i sh":                          "sudo: -i sh",
		"sudo -Hiu root env":                  "sudo: -Hiu root env",
		"sudo --login x":                      "sudo: --login x",
		"sudo -l":                             "sudo: -l",
		"sudo -v":                             "sudo: -v",
		"sudo -n sh -c echo BECOME-SUCCESS-x": "sudo: -n sh -c echo BECOME-SUCCESS-x",

		"machinectl -q shell games@ /bin/sh -c id": "runuser: -u games -- env HOME=/tmp/games SHELL=/bin/sh USER=games LOGNAME=games /bin/sh -c id",
		"machinectl shell games@.host":             "runuser: -u games -- env HOME=/tmp/games SHELL=/bin/sh USER=games LOGNAME=games /bin/sh",
		"machinectl shell .host id":                "runuser: -u root -- env HOME=/root SHELL=/bin/bash USER=root LOGNAME=root id",
		"machinectl list":                          "machinectl: list",

		"capsh --caps=cap_dac_read_search,cap_audit_write+eip --addamb=cap_dac_read_search -- -c cap_dac_read_search": "capsh: --caps=cap_dac_override,cap_audit_write+eip --addamb=cap_dac_override -- -c cap_dac_read_search",
	} {
		if got := c.callAs(0, []string{"VAUBAN_TASK=two", "SYSTEMD_OFFLINE=1"}, strings.Fields(line)...); got != said(want) {
			t.Errorf("%s\ngives %+v\nwant  %s", line, got, want)
		}
	}
}

func TestStandIns(t *testing.T) {
	names, table := StandIns(), newTable()
	if !slices.IsSorted(names) || !slices.Contains(names, "systemctl") {
		t.Errorf("the commands are %v", names)
	}
	for _, name := range names {
		if s := table[name]; s.do == nil && s.kernel == nil {
			t.Errorf("%s has nothing that stands in for it", name)
		}
	}
}
