package layers

import "vauban/internal/beneath"

// idleUnits make no sense in a build: they would take the terminal or the
// network that the container has, keep time, write down what the kernel audits,
// serve the hardware, mount what only its owner may, or change the image behind
// the step's back. They can be enabled and started, which does nothing: masking
// them would make tasks fail.
var idleUnits = []string{
	"getty@.service", "serial-getty@.service", "console-getty.service", "container-getty@.service", "getty-static.service",

	"systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service",
	"systemd-resolved.service", "networking.service", "ifup@.service", "ifupdown-pre.service", "ifupdown-wait-online.service",
	"NetworkManager-wait-online.service", "NetworkManager-dispatcher.service",
	"dhcpcd.service", "connman.service", "wpa_supplicant.service", "ModemManager.service",
	"cloud-init.service", "cloud-init-local.service", "cloud-config.service", "cloud-final.service",

	"systemd-timesyncd.service", "chrony.service", "ntp.service", "ntpsec.service", "openntpd.service",
	"systemd-time-wait-sync.service",

	"auditd.service", "audit-rules.service", "systemd-journald-audit.socket",

	"apt-daily.timer", "apt-daily.service", "apt-daily-upgrade.timer", "apt-daily-upgrade.service", "unattended-upgrades.service",
	"dpkg-db-backup.timer", "man-db.timer", "logrotate.timer", "e2scrub_all.timer", "e2scrub_reap.service",
	"fstrim.timer", "systemd-tmpfiles-clean.timer", "mdcheck_start.timer", "mdcheck_continue.timer", "mdmonitor-oneshot.timer",

	"dev-hugepages.mount", "sys-fs-fuse-connections.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"sys-kernel-config.mount", "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "systemd-binfmt.service",
	"systemd-remount-fs.service", "systemd-modules-load.service", "kmod-static-nodes.service", "systemd-tmpfiles-setup-dev.service",
	"modprobe@.service", "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udev-settle.service",
	"lvm2-monitor.service", "multipathd.service", "mdmonitor.service", "smartd.service", "smartmontools.service",
	"keyboard-setup.service", "console-setup.service",

	"systemd-journal-flush.service", "systemd-random-seed.service", "systemd-update-utmp.service",
	"systemd-update-utmp-runlevel.service", "systemd-machine-id-commit.service", "systemd-firstboot.service",
	"systemd-pstore.service", "systemd-boot-system-token.service", "systemd-pcrmachine.service",
}

// runFiles are systemd's settings for the container's life. Those in /run come
// after /usr and before /etc, and drop-ins are read by their names.
var systemdRunFiles = map[string]string{
	// The journal of a build is nobody's.
	"/run/systemd/journald.conf.d/zz-vauban.conf": "[Journal]\nStorage=volatile\nForwardToSyslog=no\nForwardToConsole=no\n",
	// NetworkManager keeps profiles, which tasks ask it to; the network is the container's.
	"/run/NetworkManager/conf.d/zz-vauban.conf": "[main]\nrc-manager=unmanaged\n[keyfile]\nunmanaged-devices=interface-name:eth0\n",
	// At boot, what is declared for other directories was made when its
	// package was installed.
	"/run/systemd/system/systemd-tmpfiles-setup.service.d/zz-vauban.conf": "[Service]\nExecStart=\nExecStart=-systemd-tmpfiles --create --boot --prefix=/run --prefix=/tmp\n",
}

// adaptUnits tells systemd what kind of machine this is, in /run alone. It
// runs inside the container.
func adaptUnits() error {
	files := map[string]string{}
	for path, content := range systemdRunFiles {
		files[path] = content
	}
	for _, unit := range idleUnits {
		files["/run/systemd/system/"+unit+".d/zz-vauban.conf"] = "[Unit]\nConditionPathExists=/run/vauban/never\n"
	}
	for path, content := range files {
		if _, err := beneath.Replace("/", path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
