package inside

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scenario is a container in which commands are called one after the other.
type scenario struct {
	name  string
	setup func(c container)
	calls []callOf
}

type callOf struct {
	line string // words between blanks
	want result
}

func noted(note string) result           { return result{note: "\t" + note} }
func said(out string) result             { return result{out: out} }
func both(out, note string) result       { return result{out: out, note: "\t" + note} }
func failed(code int, out string) result { return result{out: out, code: code} }
func refused(code int, says string) result {
	return result{errors: says, code: code}
}

func run(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			c := newContainer(t)
			if s.setup != nil {
				s.setup(c)
			}
			for _, call := range s.calls {
				words := strings.Fields(call.line)
				if got := c.call(words...); got != call.want {
					t.Errorf("%s\ngives %+v\nwant  %+v", call.line, got, call.want)
				}
			}
		})
	}
}

// reals makes real commands that print their words.
func reals(names ...string) func(c container) {
	return func(c container) {
		for _, name := range names {
			c.command("usr/bin/"+name, "")
		}
	}
}

func TestOfTheMachine(t *testing.T) {
	const mounts = "mount: a stage mounts nothing; what later tasks write there is in the image"
	run(t, []scenario{
		{"mount", reals("mount", "umount", "swapon", "swapoff"), []callOf{
			{"mount -t tmpfs -o password=canary none /mnt", noted(mounts)},
			{"mount -o remount,ro /", noted(mounts)},
			{"mount", said("mount:")}, {"mount -t proc", said("mount: -t proc")}, {"mount -tproc", said("mount: -tproc")},
			{"mount --types proc", said("mount: --types proc")}, {"mount -l", said("mount: -l")},
			{"mount --version", said("mount: --version")}, {"mount --help", said("mount: --help")},
			{"umount /mnt", noted("umount: a stage mounts nothing")},
			{"swapon /srv/swap", noted("swapon: a stage has no swap")}, {"swapon --show", result{}}, {"swapon", result{}},
			{"swapoff -a", noted("swapoff: a stage has no swap")},
		}},
		{"ends of the machine", reals("init"), []callOf{
			{"reboot", noted("reboot: a stage does not reboot")}, {"shutdown -r now canary", noted("shutdown: a stage does not reboot")},
			{"poweroff", noted("poweroff: a stage does not reboot")}, {"halt -p", noted("halt: a stage does not reboot")},
			{"init 6", noted("init: a stage does not reboot")}, {"init q", result{}}, {"telinit u", result{}}, {"telinit 0", noted("telinit: a stage does not reboot")},
		}},
		{"clock", reals("hwclock"), []callOf{
			{"hwclock --systohc", noted("hwclock: a stage sets no clock")}, {"hwclock", said("hwclock:")}, {"hwclock --show", said("hwclock: --show")},
			{"ntpdate pool.example.com", noted("ntpdate: a stage sets no clock")}, {"rdate x", noted("rdate: a stage sets no clock")},
		}},
		{"devices", reals("udevadm", "systemd-detect-virt"), []callOf{
			{"udevadm trigger -s block", noted("udevadm trigger: a stage has no devices of its own")}, {"udevadm info /dev/null", said("udevadm: info /dev/null")},
			{"systemd-detect-virt", failed(1, "none")}, {"systemd-detect-virt -q", result{code: 1}}, {"systemd-detect-virt --container", said("systemd-detect-virt: --container")},
		}},
		{"update-initramfs", nil, []callOf{{"update-initramfs -u", noted("update-initramfs: the initramfs of a machine that boots from the network is made outside of its image")}}},
		{"update-initramfs that is installed", func(c container) { c.command("usr/sbin/update-initramfs", "") }, []callOf{{"update-initramfs -u", said("update-initramfs: -u")}}},
		{"audit", reals("augenrules", "auditctl"), []callOf{
			{"auditctl -l", noted("auditctl: a stage loads no rules")}, {"augenrules --check", said("augenrules: --check")},
			{"augenrules --load", both("augenrules:", "augenrules: a stage loads no rules")},
		}},
		{"audit rules that are wrong", func(c container) { c.command("usr/sbin/augenrules", "exit 3") }, []callOf{{"augenrules --load", result{code: 3}}}},
		{"no such command", nil, []callOf{{"modinfo x", refused(127, "modinfo: command not found")}, {"nosuch", refused(127, "nosuch: command not found")}}},
	})
}

func TestWhoGetsTheRealCommand(t *testing.T) {
	c := newContainer(t)
	reals("mount", "systemctl", "hostname", "update-grub", "machinectl", "reboot")(c)
	const package_ = "DPKG_MAINTSCRIPT_PACKAGE=x"
	for line, want := range map[string]result{
		"0 - mount x":                    noted("mount: a stage mounts nothing; what later tasks write there is in the image"),
		"33 - mount x":                   said("mount: x"),
		"0 " + package_ + " mount x":     said("mount: x"),
		"0 VAUBAN_TASK=one mount x":      {note: "one\tmount: a stage mounts nothing; what later tasks write there is in the image"},
		"33 - systemctl restart x":       said("systemctl: restart x"),
		"33 - systemctl is-active x":     failed(3, "inactive"),
		"0 " + package_ + " systemctl x": said("systemctl: x"),
		"0 - mount x -- --help":          noted("mount: a stage mounts nothing; what later tasks write there is in the image"),
	} {
		words := strings.Fields(line)
		uid := 0
		if words[0] != "0" {
			uid = 33
		}
		if got := c.callAs(uid, []string{words[1]}, words[2:]...); got != want {
			t.Errorf("%s\ngives %+v\nwant  %+v", line, got, want)
		}
	}
	c.mkdir("run/systemd/system")
	for line, want := range map[string]result{
		"hostname other": said("hostname: other"), "machinectl shell x": said("machinectl: shell x"),
		"systemctl restart x": said("systemctl: restart x"), "systemctl reboot": noted("systemctl reboot: a stage does not reboot"),
		"reboot": noted("reboot: a stage does not reboot"),
	} {
		if got := c.call(strings.Fields(line)...); got != want {
			t.Errorf("where systemd runs, %s\ngives %+v\nwant  %+v", line, got, want)
		}
	}
}

// The real command is never a stand-in, and may be a script without its first
// line.
func TestExecutableCommands(t *testing.T) {
	c := newContainer(t)
	c.command("run/vauban/bin/wg", "echo stand-in")
	c.file("usr/sbin/wg", "not executable")
	c.command("usr/bin/wg", "echo real")
	if got := c.callAs(0, []string{"PATH=" + c.dir + "/run/vauban/bin"}, "wg", "show"); got != said("real") {
		t.Errorf("got %+v", got)
	}
	c.file("usr/sbin/nginx", "echo without a first line $1\n")
	c.must(os.Chmod(filepath.Join(c.dir, "usr/sbin/nginx"), 0o755))
	if got := c.call("nginx", "-s", "reload"); got != both("without a first line -t", "nginx: no such service runs in a stage: it reads its files when it starts") {
		t.Errorf("got %+v", got)
	}
}

func TestOfTheNetwork(t *testing.T) {
	const no = ": nothing manages a stage's network"
	const none = "firewall-cmd: no firewall runs in a stage, and this is not permanent"
	run(t, []scenario{
		{"netplan", reals("netplan"), []callOf{{"netplan apply", noted("netplan apply: it is applied at the next boot")}, {"netplan generate", said("netplan: generate")}}},
		{"ifupdown", reals("ifup"), []callOf{{"ifup --force eth0", noted("ifup" + no)}, {"ifup --no-act eth0", said("ifup: --no-act eth0")}, {"ifdown eth0", noted("ifdown" + no)}}},
		{"WireGuard", reals("wg", "wg-quick"), []callOf{
			{"wg syncconf wg0 /dev/null", noted("wg syncconf" + no)}, {"wg-quick up wg0", noted("wg-quick up" + no)}, {"wg-quick strip wg0", said("wg-quick: strip wg0")}, {"wg genkey", said("wg: genkey")},
		}},
		{"systemd's", reals("networkctl", "resolvectl"), []callOf{
			{"networkctl reload", noted("networkctl reload" + no)}, {"networkctl", said("networkctl:")}, {"resolvectl status", said("resolvectl: status")}, {"resolvectl show-cache", said("resolvectl: show-cache")},
		}},
		{"NetworkManager", reals("nmcli"), []callOf{
			{"nmcli -w 5 con up lan", noted("nmcli up" + no)}, {"nmcli connection reload", noted("nmcli reload: it is applied at the next boot")},
			{"nmcli device set eth0 managed no", noted("nmcli set" + no)}, {"nmcli networking off", noted("nmcli off" + no)},
			{"nmcli -t -f NAME,UP connection show", said("nmcli: -t -f NAME,UP connection show")}, {"nmcli con delete up", said("nmcli: con delete up")}, {"nmcli con mod a b", said("nmcli: con mod a b")},
		}},
		{"firewalld", func(c container) {
			reals("firewall-cmd", "firewall-offline-cmd")(c)
			c.unit("firewalld.service", unitBody)
		}, []callOf{
			{"firewall-cmd --permanent --zone=public --add-service=http", said("firewall-offline-cmd: --zone=public --add-service=http")},
			{"firewall-cmd --zone public --add-service http", both("success", none)},
			{"firewall-cmd --reload", both("success", "firewall-cmd --reload: no firewall runs in a stage")},
			{"firewall-cmd --list-all", said("firewall-offline-cmd: --list-all")}, {"firewall-cmd --set-default-zone=x", said("firewall-offline-cmd: --set-default-zone=x")},
			{"firewall-cmd --get-active-zones", said("firewall-cmd: --get-active-zones")}, {"firewall-cmd --permanent --get-active-zones", said("firewall-cmd: --get-active-zones")},
			{"firewall-cmd --state", refused(252, "not running")},
		}},
		{"firewalld that was started", func(c container) {
			c.unit("firewalld.service", unitBody)
			c.file("run/.vauban-units/firewalld.service", "started\n")
			c.command("usr/bin/firewall-offline-cmd", "exit 16")
		}, []callOf{
			{"firewall-cmd --state", said("running")}, {"firewall-cmd --set-default-zone=x", result{}}, {"firewall-cmd --query-service=x", result{code: 16}},
		}},
	})
}

func TestOfTheKernel(t *testing.T) {
	modules := func(c container) {
		c.mkdir("lib/modules/6.1.0-9-amd64/kernel")
		c.mkdir("lib/modules/6.1.0-25-amd64/kernel")
		c.mkdir("lib/modules/7.0.0-headers-only")
		reals("modinfo", "modprobe", "depmod")(c)
		c.command("usr/bin/uname", `[ "$1" != --nonsense ] || exit 2; case $1 in -r) echo 5.0.0-builder ;; -m) echo x86_64 ;; *) echo Linux 5.0.0-builder 5.0.0-builder ;; esac`)
	}
	run(t, []scenario{
		{"without one", reals("uname", "modprobe", "modinfo"), []callOf{
			{"uname -r", said("uname: -r")}, {"modprobe br_netfilter", noted("modprobe: a stage loads no module")}, {"modprobe -n x", said("modprobe: -n x")},
			{"insmod x.ko", noted("insmod: a stage loads no module")}, {"rmmod x", noted("rmmod: a stage loads no module")}, {"modinfo x", said("modinfo: x")},
		}},
		{"the newest", modules, []callOf{
			{"uname -r", said("6.1.0-25-amd64")}, {"uname -a", said("Linux 6.1.0-25-amd64 5.0.0-builder")}, {"uname -m", said("x86_64")}, {"uname --nonsense", result{code: 2}},
			{"modinfo canary", said("modinfo: -k 6.1.0-25-amd64 canary")}, {"modprobe -n canary", said("modprobe: -S 6.1.0-25-amd64 -n canary")},
			{"depmod -a", said("depmod: -a 6.1.0-25-amd64")}, {"depmod -a 6.1.0-9-amd64", said("depmod: -a 6.1.0-9-amd64")}, {"modprobe canary", noted("modprobe: a stage loads no module")},
		}},
		{"sysctl", func(c container) {
			c.command("usr/sbin/sysctl", `case "$*" in
				*lacks*) echo "sysctl: cannot stat /proc/sys/net/bridge/lacks: No such file or directory" >&2; exit 1 ;;
				*wrong*) echo "sysctl: cannot stat /proc/sys/a/b: No such file or directory" >&2; echo "sysctl: wrong" >&2; exit 1 ;;
				*mute*) exit 4 ;; esac; echo "set $*"`)
		}, []callOf{
			{"sysctl -w vm.swappiness=12", said("set -w vm.swappiness=12")},
			{"sysctl net.bridge.lacks=1", result{errors: "sysctl: cannot stat /proc/sys/net/bridge/lacks: No such file or directory", note: "\tsysctl: the builder's kernel has no such key: net.bridge.lacks"}},
			{"sysctl -n net.bridge.lacks", refused(1, "sysctl: cannot stat /proc/sys/net/bridge/lacks: No such file or directory")},
			{"sysctl -w wrong=1", refused(1, "sysctl: cannot stat /proc/sys/a/b: No such file or directory\nsysctl: wrong")}, {"sysctl -p mute", result{code: 4}},
		}},
	})
	c := newContainer(t)
	modules(c)
	if got := c.callAs(33, nil, "uname", "-r"); got != said("6.1.0-25-amd64") {
		t.Errorf("to a user, uname says %+v", got)
	}
	if got := c.callAs(0, []string{"DPKG_MAINTSCRIPT_PACKAGE=x"}, "uname", "-r"); got != said("5.0.0-builder") {
		t.Errorf("to a package, uname says %+v", got)
	}
}

func TestGrub(t *testing.T) {
	const mark = "# A machine that boots from the network does not read this: the boot server says how it starts.\n# kernel parameters:"
	const menu = mark + " audit=1 quiet\nmenuentry 'Linux 6.1.0-25-amd64' {\n\tlinux\t/boot/vmlinuz-6.1.0-25-amd64 ro  audit=1 quiet\n}\n" +
		"menuentry 'Linux 6.1.0-9-amd64' {\n\tlinux\t/boot/vmlinuz-6.1.0-9-amd64 ro  audit=1 quiet\n}\n"
	c := newContainer(t)
	if got := c.call("grub-mkconfig"); got != said(mark) {
		t.Errorf("without settings: %+v", got)
	}
	c.file("boot/vmlinuz-6.1.0-9-amd64", "")
	c.file("boot/vmlinuz-6.1.0-25-amd64", "")
	c.file("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\necho noise\n")
	c.file("etc/default/grub.d/x.cfg", `GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX audit=1"`)
	for _, test := range []struct{ line, file string }{
		{"update-grub", "boot/grub/grub.cfg"}, {"update-grub2", "boot/grub/grub.cfg"},
		{"grub-mkconfig -o /srv/a.cfg", "srv/a.cfg"}, {"grub-mkconfig -o/srv/b.cfg", "srv/b.cfg"}, {"grub-mkconfig --output=/srv/c.cfg", "srv/c.cfg"}, {"grub-mkconfig --output /srv/d.cfg", "srv/d.cfg"},
	} {
		if got := c.call(strings.Fields(test.line)...); got != (result{errors: "noise"}) || c.read(test.file) != menu {
			t.Errorf("%s\ngives %+v, and writes\n%s", test.line, got, c.read(test.file))
		}
	}
	if got := c.callAs(0, []string{"DPKG_MAINTSCRIPT_PACKAGE=linux-image"}, "grub-mkconfig"); got.out+"\n" != menu {
		t.Errorf("to a kernel's package: %+v", got)
	}
	if got := c.callAs(0, []string{"DPKG_MAINTSCRIPT_PACKAGE=grub-pc"}, "grub-install"); got != (result{}) {
		t.Errorf("a package installs GRUB: %+v", got)
	}
	if got := c.call("grub-install", "/dev/sda"); got != noted("grub-install: a machine that boots from the network has no boot loader of its own") {
		t.Errorf("grub-install: %+v", got)
	}
	c.file("etc/default/grub.d/y.cfg", "exit 3")
	if got := c.call("update-grub"); got.code != 3 {
		t.Errorf("settings that fail: %+v", got)
	}
}

func TestAppArmor(t *testing.T) {
	const loads = ": it says what a boot loads"
	run(t, []scenario{
		{"not installed", reals("aa-status", "aa-enabled"), []callOf{{"aa-status --json", said("aa-status: --json")}, {"aa-enabled", said("aa-enabled:")}}},
		{"installed", func(c container) {
			for _, name := range []string{"one", "off", "x.dpkg-old", "old~"} {
				c.file("etc/apparmor.d/"+name, "profile "+name+" flags=(attach_disconnected) {}\n")
			}
			c.file("etc/apparmor.d/two", "profile two flags=(attach_disconnected,complain) {}\n")
			c.file("etc/apparmor.d/three", "# flags=(complain)\nprofile three {}\n")
			c.file("etc/apparmor.d/forced", "profile forced {}\n")
			c.file("etc/apparmor.d/disable/off", "")
			c.file("etc/apparmor.d/force-complain/forced", "")
			c.command("usr/sbin/apparmor_parser", `if [ "$1" = --names ]; then sed -n 's/^profile \([^ ]*\).*/\1/p' "$2"; else echo "${0##*/}:" "$@"; fi`)
			reals("aa-complain")(c)
		}, []callOf{
			{"aa-status --enabled", noted("aa-status" + loads)}, {"aa-status --complaining", both("2", "aa-status"+loads)}, {"aa-status --enforced", both("2", "aa-status"+loads)},
			{"aa-status --profiled", both("4", "aa-status"+loads)}, {"aa-status --kill", both("0", "aa-status"+loads)},
			{"aa-enabled", both("Yes", "aa-enabled"+loads)}, {"aa-enabled -q", noted("aa-enabled" + loads)},
			{"aa-status --json", both(`{"version": "2", "profiles": {"forced": "complain","one": "enforce","three": "enforce","two": "complain"}, "processes": {}}`, "aa-status"+loads)},
			{"apparmor_status", both("apparmor module is loaded.\n4 profiles are loaded.\n2 profiles are in enforce mode.\n   one\n   three\n"+
				"2 profiles are in complain mode.\n   forced\n   two\n0 profiles are in kill mode.\n0 profiles are in unconfined mode.\n0 processes have profiles defined.", "apparmor_status"+loads)},
			{"aa-complain /etc/apparmor.d/two", both("aa-complain: /etc/apparmor.d/two --no-reload", "aa-complain: a stage loads no profile")},
			{"apparmor_parser -r /etc/apparmor.d/one", noted("apparmor_parser: a stage loads no profile")}, {"apparmor_parser -Q x", said("apparmor_parser: -Q x")},
		}},
	})
}

func TestOrdersToServices(t *testing.T) {
	const left = ": no such service runs in a stage: it reads its files when it starts"
	run(t, []scenario{
		{"that do not run", reals("nginx", "apache2ctl", "squid", "postfix", "supervisorctl", "fail2ban-client", "rndc", "chronyc", "unbound-control", "doveadm", "monit"), []callOf{
			{"nginx -s reload", both("nginx: -t -q", "nginx"+left)}, {"nginx -V", said("nginx: -V")}, {"nginx -t", said("nginx: -t")},
			{"apache2ctl graceful", both("apache2ctl: -t", "apache2ctl"+left)}, {"apache2ctl restart", both("apache2ctl: -t", "apache2ctl"+left)}, {"apache2ctl configtest", said("apache2ctl: configtest")},
			{"squid -k reconfigure", noted("squid" + left)}, {"squid -k parse", said("squid: -k parse")},
			{"postfix reload", noted("postfix" + left)}, {"postfix check", said("postfix: check")}, {"supervisorctl update", noted("supervisorctl" + left)}, {"supervisorctl status", said("supervisorctl: status")},
			{"supervisorctl reread", noted("supervisorctl" + left)}, {"fail2ban-client reload sshd", noted("fail2ban-client" + left)}, {"rndc reload", noted("rndc" + left)}, {"rndc status", said("rndc: status")},
			{"chronyc makestep", noted("chronyc" + left)}, {"chronyc -a online", noted("chronyc" + left)}, {"chronyc sources", said("chronyc: sources")},
			{"unbound-control reload", noted("unbound-control" + left)}, {"doveadm reload", noted("doveadm" + left)}, {"monit reload", noted("monit" + left)}, {"monit monitor all", noted("monit" + left)}, {"monit summary", said("monit: summary")},
		}},
		{"that run", func(c container) {
			reals("nginx")(c)
			c.file("proc/7/comm", "nginx\n")
		}, []callOf{{"nginx -s reload", said("nginx: -s reload")}}},
		{"whose files are wrong", func(c container) {
			c.command("usr/sbin/nginx", "echo wrong; exit 3")
			c.command("usr/sbin/squid", "echo wrong; exit 4")
		}, []callOf{{"nginx -s reload", failed(3, "wrong")}, {"squid -k rotate", failed(4, "wrong")}}},
		{"by signal", func(c container) {
			c.command("usr/bin/pkill", `[ "$2" = runs ] || exit 1`)
			c.command("usr/bin/killall", "exit 1")
		}, []callOf{
			{"pkill -HUP runs", result{}}, {"pkill -HUP nosuch", noted("pkill" + left)}, {"pkill nosuch", result{code: 1}}, {"killall -1 x", noted("killall" + left)},
			{"killall -s HUP x", noted("killall" + left)}, {"pkill -SIGUSR1 x", noted("pkill" + left)}, {"pkill --signal HUP x", noted("pkill" + left)}, {"pkill -KILL x", result{code: 1}},
		}},
	})
}
