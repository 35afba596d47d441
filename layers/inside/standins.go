package inside

import (
	"maps"
	"slices"
)

// A standIn says how the program stands in for one command.
type standIn struct {
	do func(*call) int
	// kernel is asked first, for every user, where the machine's kernel is
	// known. It returns done where it did the command's work.
	kernel func(*call) (code int, done bool)
	// always makes the command available, whether the image has it or not:
	// playbooks call it on every machine.
	always bool
	// anyUser is for commands that users besides root get the stand-in of.
	anyUser bool
	// offline is for commands that systemd does where it runs.
	offline bool
}

// table is the commands that have a stand-in.
type table map[string]standIn

func newTable() table {
	t := table{}
	t.addMachine()
	t.addServices()
	t.addKernel()
	t.addNetwork()
	t.addSettings()
	return t
}

// StandIns are the commands that have one, sorted.
func StandIns() []string { return slices.Sorted(maps.Keys(newTable())) }

func (t table) add(s standIn, names ...string) {
	for _, name := range names {
		t[name] = s
	}
}

// leaveOut is for commands of which nothing can be done.
func (t table) leaveOut(why string, names ...string) {
	t.add(standIn{do: func(c *call) int { return c.passed(why) }}, names...)
}

func (t table) addMachine() {
	t.add(standIn{do: (*call).mount}, "mount")
	t.leaveOut("a stage mounts nothing", "umount")
	t.add(standIn{do: (*call).swapon}, "swapon")
	t.leaveOut("a stage has no swap", "swapoff")
	t.add(standIn{do: (*call).changeRunlevel}, "init", "telinit")
	t.leaveOut("a stage does not reboot", "reboot", "shutdown", "poweroff", "halt")
	t.add(standIn{do: (*call).hwclock}, "hwclock")
	t.leaveOut("a stage sets no clock", "ntpdate", "rdate")
	t.add(standIn{do: (*call).detectVirt}, "systemd-detect-virt")
	t.add(standIn{do: (*call).udevadm}, "udevadm")
	t.leaveOut("a stage loads no rules", "auditctl")
	t.add(standIn{do: (*call).augenrules}, "augenrules")
	t.add(standIn{do: (*call).sudo}, "sudo")
	t.add(standIn{do: (*call).capsh, offline: true}, "capsh")
	t.add(standIn{do: (*call).machinectl, offline: true}, "machinectl")
}

func (t table) addServices() {
	t.add(standIn{do: (*call).systemctl, anyUser: true}, "systemctl")
	t.add(standIn{do: (*call).service, anyUser: true}, "service", "invoke-rc.d")
	t.add(standIn{do: (*call).daemon}, "apache2ctl", "apachectl", "chronyc", "doveadm", "dovecot", "fail2ban-client", "killall",
		"monit", "nginx", "pkill", "postfix", "rndc", "squid", "supervisorctl", "unbound-control")
}

func (t table) addKernel() {
	t.add(standIn{kernel: (*call).depmod}, "depmod")
	t.add(standIn{kernel: (*call).modinfo}, "modinfo")
	t.add(standIn{kernel: (*call).uname}, "uname")
	t.add(standIn{kernel: (*call).knowsKernel, do: (*call).modprobe}, "modprobe")
	t.leaveOut("a stage loads no module", "insmod", "rmmod")
	t.add(standIn{do: (*call).sysctl}, "sysctl")
	t.add(standIn{do: (*call).grub, always: true}, "grub-mkconfig", "update-grub", "update-grub2")
	t.add(standIn{do: (*call).grubInstall, always: true}, "grub-install")
	t.add(standIn{do: (*call).updateInitramfs, always: true}, "update-initramfs")
	t.add(standIn{do: (*call).appArmorStatus}, "aa-status", "apparmor_status", "aa-enabled")
	t.add(standIn{do: (*call).appArmorChange}, "aa-audit", "aa-complain", "aa-disable", "aa-enforce")
	t.add(standIn{do: (*call).appArmorParser}, "apparmor_parser")
}

func (t table) addNetwork() {
	t.add(standIn{do: (*call).firewallCmd}, "firewall-cmd")
	t.add(standIn{do: (*call).netplan}, "netplan")
	t.add(standIn{do: (*call).ifup}, "ifup", "ifdown")
	t.add(standIn{do: (*call).wireGuard}, "wg", "wg-quick")
	t.add(standIn{do: (*call).resolver, offline: true}, "networkctl", "resolvectl")
	t.add(standIn{do: (*call).nmcli}, "nmcli")
}

func (t table) addSettings() {
	t.add(standIn{do: (*call).hostname, offline: true}, "hostname")
	t.add(standIn{do: (*call).hostnamectl, offline: true}, "hostnamectl")
	t.add(standIn{do: (*call).timedatectl, offline: true}, "timedatectl")
	t.add(standIn{do: (*call).localectl, offline: true}, "localectl")
	t.add(standIn{do: (*call).loginctl, offline: true}, "loginctl")
}
