//go:build integration

package layers_test

import (
	"os"
	"strings"
	"testing"

	"vauban/layers"
)

// What a running machine would do passes with a note, and what is a file is
// done; what only asks is the real command's.
func TestStandIns(t *testing.T) {
	const (
		units = `cd /etc/systemd/system && printf '[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n' >one.timer && echo '[Service]' >one.service &&
			printf '[Service]\nUser=two\nEnvironment=A=b "C=d"\n[Install]\nWantedBy=multi-user.target\n' >two@.service && ln -s two@.service alias@.service &&
			mkdir two@.service.d && printf '[Service]\nEnvironment=E=f\nExecReload=/bin/true\n' >two@.service.d/more.conf; `
		firewall = `cd /usr/bin && printf '#!/bin/sh\necho real "$@"\n' >firewall-cmd && sed s/real/offline/ firewall-cmd >firewall-offline-cmd && chmod +x firewall-*; . ` + layers.Profile + `; `
		script   = `printf '#!/bin/sh\n[ "$1" != start ] || touch /srv/started\necho $1\n' >/etc/init.d/script; chmod +x /etc/init.d/script; `
		nginx    = `cd /usr/sbin; printf '#!/bin/sh\necho "$@"; ! test -e /srv/broken\n' >nginx; for n in supervisorctl postfix chronyc; do cp nginx $n; done; chmod +x *; . ` + layers.Profile + `; `
		users    = `install -d -o games /tmp/games /tmp/games/.config /tmp/games/.config/systemd /tmp/games/.config/systemd/user; usermod -d /tmp/games games
			printf '[Service]\n[Install]\nWantedBy=default.target\n' | tee /tmp/games/.config/systemd/user/mine.service >/etc/systemd/user/three.service; `
		ntp = `mkdir -p /etc/systemd/ntp-units.d && echo canary.service >/etc/systemd/ntp-units.d/50-canary.list
			printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' >/usr/lib/systemd/system/canary.service; `
		apparmor = `mkdir -p /etc/apparmor.d/disable; cd /etc/apparmor.d; touch disable/off
			for name in one two off; do echo "profile $name flags=(attach_disconnected) {}" >$name; done; sed -i 's/_disc.*)/&x/; s/)x/,complain)/' two
			printf '#!/bin/sh\nsed -n "s/^profile \\([^ ]*\\).*/\\1/p" "$2"\n' >/usr/sbin/apparmor_parser
			printf '#!/bin/sh\necho "$@"\n' >/usr/sbin/aa-complain; chmod 755 /usr/sbin/apparmor_parser /usr/sbin/aa-complain
			for name in aa-status aa-enabled apparmor_status; do install /usr/sbin/aa-complain /usr/sbin/$name; done; . ` + layers.Profile + `; `
	)
	e, base := shared.use(t)
	live(t, e, target("standins", base), func(c *layers.Container) {
		said := func(script string) (string, error) {
			return sh(t, c, `. `+layers.Profile+`; `+script)
		}
		if where, _ := said(`command -v mount`); where != layers.StandInPath+"/mount" {
			t.Fatalf("mount is %s", where)
		}
		for _, test := range []struct {
			script string
			want   string // what it prints; "*" is anything
			note   string // what it notes; empty: nothing
		}{
			{`mkdir -p /mnt/data && VAUBAN_TASK=one mount -t tmpfs -o password=canary none /mnt/data`, "", "one\tmount: a stage mounts nothing"},
			{`mount -o remount,ro /; touch /srv/writable`, "", "\tmount: a stage mounts nothing"},
			{`mount | grep -c ' / '; mount -t proc | grep -c '^proc on /proc '`, "1\n1", ""},
			{`mount --version | grep -c util-linux`, "1", ""},
			{`umount /mnt/data`, "", "umount: "},
			{`swapon /srv/swap`, "", "swapon: a stage has no swap"},
			{`swapon --show`, "", ""},
			{`swapoff -a`, "", "swapoff: "},
			{`modprobe br_netfilter`, "", "modprobe: a stage loads no module"},
			{`modprobe --version | grep -c kmod`, "1", ""},
			{`reboot`, "", "reboot: a stage does not reboot"},
			{`shutdown -r now canary`, "", "shutdown: "},
			{`hostname`, "standins", ""},
			{`hostname other.example.com; hostname`, "standins", "hostname: a stage keeps its name"},
			{`hostnamectl set-hostname other; cat /etc/hostname; hostnamectl --static`, "other\nother", "hostnamectl set-hostname: "},
			{`hostnamectl --pretty set-hostname "The Other"; hostnamectl set-chassis vm; cat /etc/machine-info`,
				"PRETTY_HOSTNAME=\"The Other\"\nCHASSIS=\"vm\"", "hostnamectl set-hostname: "},
			{`hostnamectl --pretty --static set-hostname both; cat /etc/hostname`, "both", "hostnamectl set-hostname: "},
			{`hostnamectl hostname again; hostname=$(cat /etc/hostname); echo $hostname`, "again", "hostnamectl set-hostname: "},
			{`timedatectl set-timezone Asia/Tokyo; readlink /etc/localtime; timedatectl | grep 'Time zone'; timedatectl show -p Timezone --value`,
				"../usr/share/zoneinfo/Asia/Tokyo\n                Time zone: Asia/Tokyo (JST, +0900)\nAsia/Tokyo", "timedatectl set-timezone: "},
			{`timedatectl list-timezones | grep -x -e Europe/Berlin -e US/Central -e UTC; localectl list-locales`, "Europe/Berlin\nUS/Central\nUTC\nC.UTF-8", ""},
			{`timedatectl set-timezone Nowhere/City`, "Failed to set time zone: Invalid or not installed time zone 'Nowhere/City'", ""},
			{`timedatectl set-local-rtc 1; tail -n 1 /etc/adjtime; timedatectl set-local-rtc no; tail -n 1 /etc/adjtime`, "LOCAL\nUTC", "timedatectl set-local-rtc: "},
			{`timedatectl show -p NTP -p CanNTP; timedatectl | grep NTP; timedatectl set-ntp yes`, "CanNTP=no\nNTP=no\n              NTP service: n/a\nFailed to set ntp: NTP not supported", ""},
			{ntp + `timedatectl set-ntp true 2>/dev/null; systemctl is-enabled canary; systemctl is-active canary; timedatectl show --property=NTP --value; timedatectl | sed -n 's/.*NTP service: //p'`,
				"enabled\nactive\nyes\nactive", "timedatectl set-ntp: "},
			{`rm -r /run/.vauban-units; timedatectl show -p NTP`, "NTP=yes", ""}, // for it is enabled
			{`timedatectl set-ntp 0 2>/dev/null; systemctl is-enabled canary; systemctl is-active canary; timedatectl show -p NTPSynchronized -p NTP --value`,
				"disabled\ninactive\nno\nno", "timedatectl set-ntp: "},
			{`localectl set-locale LANG=de_DE.UTF-8 LC_TIME=C; localectl set-locale en_US.UTF-8; sort /etc/default/locale`,
				"LANG=en_US.UTF-8\nLC_TIME=C", "localectl set-locale: "},
			{`loginctl enable-linger www-data 1; ls /var/lib/systemd/linger`, "daemon\nwww-data", "loginctl enable-linger: "},
			{`loginctl disable-linger daemon; ls /var/lib/systemd/linger`, "www-data", "loginctl disable-linger: "},
			{`loginctl enable-linger nosuch || loginctl show-user www-data -p Linger; loginctl show-user --property=RuntimePath --value www-data; loginctl show-user daemon || echo $?`,
				"Failed to look up user nosuch: No such process\nLinger=yes\n/run/user/33\nFailed to get user: User ID 1 is not logged in or lingering\n1", ""},
			{`systemctl is-system-running`, "running", "systemctl is-system-running: "},
			{`systemctl --force reboot`, "", "systemctl reboot: "},
			{`systemctl is-active nosuch getty@tty1; echo $?`, "inactive\nactive\n0", ""},
			{`systemctl is-active -q nosuch; echo $?`, "3", ""},
			{`systemctl start nosuch.service`, "Failed to start nosuch.service: Unit nosuch.service not found.", ""},
			{`systemctl stop getty@tty1 2>/dev/null; systemctl is-active getty@tty1; echo $?; systemctl is-failed getty@tty1; echo $?`,
				"inactive\n3\ninactive\n1", ""},
			{`systemctl restart getty@tty1 2>/dev/null; systemctl is-active getty@tty1 getty@tty2`, "active\ninactive", ""},
			{`systemctl status nosuch; echo $?`, "Unit nosuch.service could not be found.\n4", ""},
			{`systemctl start getty@tty1 2>/dev/null; systemctl status getty@tty1 | sed '1d; s/^ *//'; systemctl stop getty@tty1 2>/dev/null; systemctl status -q getty@tty1; echo $?`,
				"Loaded: loaded (/lib/systemd/system/getty@.service; enabled)\nActive: active (running)\n3", ""},
			{units + `systemctl enable --now one.timer 2>/dev/null; echo $?; systemctl --now enable two@x 2>/dev/null; systemctl is-active one.timer two@x; systemctl is-enabled one.timer two@x`,
				"0\nactive\nactive\nenabled\nenabled", ""},
			{`systemctl disable --now one.timer 2>/dev/null; systemctl disable two@x 2>/dev/null; systemctl is-active one.timer two@x; systemctl is-enabled one.timer two@x`,
				"inactive\nactive\ndisabled\ndisabled", ""},
			{`systemctl enable --now nosuch 2>/dev/null; echo $?`, "1", ""},
			{`systemctl show -p ActiveState,SubState --property LoadState getty@tty2; systemctl show --value -p ActiveState nosuch; systemctl show -P LoadState nosuch`,
				"LoadState=loaded\nActiveState=inactive\nSubState=dead\ninactive\nnot-found", ""},
			{`systemctl show alias@x -p Id,Names,FragmentPath,DropInPaths,User,Environment,UnitFileState,CanReload`,
				"User=two\nEnvironment=A=b C=d E=f\nId=two@x.service\nNames=two@x.service alias@x.service\nFragmentPath=/etc/systemd/system/two@.service\n" +
					"DropInPaths=/etc/systemd/system/two@.service.d/more.conf\nUnitFileState=disabled\nCanReload=yes", ""},
			{`systemctl cat alias@x; systemctl cat nosuch; echo $?`, "# /etc/systemd/system/two@.service\n[Service]\nUser=two\nEnvironment=A=b \"C=d\"\n" +
				"[Install]\nWantedBy=multi-user.target\n\n# /etc/systemd/system/two@.service.d/more.conf\n[Service]\nEnvironment=E=f\nExecReload=/bin/true\n\n" +
				"No files found for nosuch.service.\n1", ""},
			{`systemctl list-units --type=service --plain --no-legend 'two@*'; systemctl list-units --failed --no-legend; systemctl stop two@x 2>/dev/null; systemctl list-units | grep two@`,
				"two@x.service loaded active running two@x.service", ""},
			{`echo '/dev/sdx /srv/a-b ext4 defaults 0 0' >>/etc/fstab; systemctl start 'srv-a\x2db.mount' nosuch.timer 2>&1 | grep Failed`, "Failed to start nosuch.timer: Unit nosuch.timer not found.", ""},
			{`systemctl set-property two@x CPUQuota=20% MemoryMax=1G; cat /etc/systemd/system.control/two@x.service.d/*.conf`, "[Service]\nCPUQuota=20%\n[Service]\nMemoryMax=1G", ""},
			{`systemctl edit two@x`, "Cannot edit units if not on a tty.", ""},
			{`service two@x restart 2>/dev/null; systemctl is-active two@x; invoke-rc.d two@x stop 2>/dev/null; service two@x status >/dev/null; echo $?; service nosuch start`,
				"active\n3\nFailed to start nosuch.service: Unit nosuch.service not found.", ""},
			{script + `service script start 2>/dev/null; service script status | tail -n 1; service script other; systemctl show -p LoadState,UnitFileState script; ls /srv/started`,
				"Active: active (running)\nother\nLoadState=loaded\nUnitFileState=generated\nls: cannot access '/srv/started': No such file or directory", ""},
			{users + `systemctl --user -M games@ enable --now mine 2>/dev/null; ls -R /tmp/games/.config | tail -n 1; systemctl --user restart three; systemctl --user restart nosuch 2>/dev/null; echo $?`,
				"mine.service\nRunning in chroot, ignoring command 'restart'\n5", ""},
			{`runuser -u games -- systemctl --user enable --now three 2>&1 | grep -c -v '^Created'; runuser -u games -- systemctl is-active getty@tty1`, "0\ninactive", ""},
			{`systemctl daemon-reload 2>/dev/null; systemctl list-unit-files --no-legend getty@.service | cut -d ' ' -f 1`, "getty@.service", ""},
			{`systemctl is-enabled getty@.service`, "enabled", ""},
			{`cd /etc/systemd/system && ln -s /lib/systemd/system/systemd-sysext.service alias.service && systemctl list-unit-files --no-legend alias | cut -d ' ' -f 1; rm alias.service`, "alias.service", ""},
			{`systemctl list-unit-files nosuch >/dev/null; echo $?`, "1", ""},
			{`VAUBAN_TASK=two sudo -n systemctl --force reboot; sudo -u games env A=b sh -c 'echo $SYSTEMD_OFFLINE; id -un; command -v sysctl'; sudo -H -u games C=d sh -c 'echo $C'`,
				"1\ngames\n/run/vauban/bin/sysctl\nd", "two\tsystemctl reboot: a stage does not reboot"},
			{`sudo -Hu games env | grep ^SYSTEMD_OFFLINE; sudo -nugames -- id -un; sudo -Hiu root env | grep ^HOME; sudo --user games -n id -un`,
				"SYSTEMD_OFFLINE=1\ngames\nHOME=/root\ngames", ""},
			{`sudo -i sh -c 'echo $SYSTEMD_OFFLINE'; sudo -u nosuch true 2>/dev/null || echo failed`, "failed", ""},
			{`cp /bin/true /usr/bin/machinectl; . ` + layers.Profile + `; machinectl -q shell games@ /bin/sh -c 'id -un; echo $HOME $SYSTEMD_OFFLINE'; machinectl list`, "games\n/tmp/games 1", ""},
			{nginx + `nginx -s reload; nginx -V`, "-t -q\n-V", "nginx: no such service runs in a stage"},
			{`touch /srv/broken; nginx -s reload || echo failed`, "-t -q\nfailed", ""},
			{`cp /bin/sleep /srv/nginx; /srv/nginx 60 & sleep 1; nginx -s reload; kill $!; supervisorctl update`, "-s reload", "supervisorctl: no such service runs"},
			{`supervisorctl status; postfix check; chronyc makestep`, "status\ncheck", "chronyc: no such service runs"},
			{`systemd-detect-virt; echo $?`, "none\n1", ""},
			{`pkill -HUP nosuch; pkill nosuch || echo failed`, "failed", "pkill: no such service runs"},
			{`init q; init 6`, "", "init: a stage does not reboot"},
			{`sysctl -w vm.swappiness=12; sysctl -n vm.swappiness`, "vm.swappiness = 12\n12", ""},
			{`sysctl -w kernel.random.write_wakeup_threshold=1024; cd /proc/sys/kernel/random; cat write_wakeup_threshold; [ "$(cat uuid)" = "$(cat uuid)" ] || echo new`,
				"kernel.random.write_wakeup_threshold = 1024\n1024\nnew", ""},
			{`sysctl -q -w net.bridge.canary=1`, "sysctl: cannot stat /proc/sys/net/bridge/canary: No such file or directory", "sysctl: the builder's kernel has no such key: net.bridge.canary"},
			{`echo 'net.bridge.canary = 1' >/etc/sysctl.d/x.conf; sysctl -p /etc/sysctl.d/x.conf 2>/dev/null`, "", "has no such key: net.bridge.canary"},
			{`sysctl -n net.bridge.canary || echo failed`, "sysctl: cannot stat /proc/sys/net/bridge/canary: No such file or directory\nfailed", ""},
			{`sysctl -p /nowhere || echo failed`, "*", ""},
			{`setpriv --reuid 33 --clear-groups mount -t tmpfs none /mnt || echo failed`, "*", ""},
			{`DPKG_MAINTSCRIPT_PACKAGE=x mount -t tmpfs none /mnt || echo failed`, "*", ""},
			{firewall + `firewall-cmd --permanent --zone=public --add-service=http`, "offline --zone=public --add-service=http", ""},
			{`firewall-cmd --zone public --add-service http`, "success", "firewall-cmd: no firewall runs in a stage, and this is not permanent"},
			{`firewall-cmd --reload`, "success", "firewall-cmd --reload: no firewall runs in a stage"},
			{`firewall-cmd --list-all; firewall-cmd --set-default-zone=internal; firewall-cmd --get-active-zones`,
				"offline --list-all\noffline --set-default-zone=internal\nreal --get-active-zones", ""},
			{`echo exit 16 >>/usr/bin/firewall-offline-cmd; firewall-cmd --set-default-zone=internal; echo $?; firewall-cmd --query-service=x >/dev/null; echo $?`,
				"offline --set-default-zone=internal\n0\n16", ""},
			{`firewall-cmd --state; echo $?; echo '[Service]' >/etc/systemd/system/firewalld.service; systemctl start firewalld 2>/dev/null; firewall-cmd --state`,
				"not running\n252\nrunning", ""},
			{`cp /usr/bin/firewall-cmd /usr/sbin/auditctl; . ` + layers.Profile + `; auditctl -l`, "", "auditctl: a stage loads no rules"},
			{`command -v netplan; echo $?; cp /usr/bin/firewall-cmd /usr/sbin/netplan; . ` + layers.Profile + `; command -v netplan; netplan apply; netplan generate`,
				"127\n/run/vauban/bin/netplan\nreal generate", "netplan apply: it is applied"},
			{`rm /usr/sbin/netplan; . ` + layers.Profile + `; netplan generate 2>/dev/null || echo failed`, "failed", ""},
			{`update-grub; cat /boot/grub/grub.cfg`, "# A machine that boots from the network does not read this: the boot server says how it starts.\n# kernel parameters:",
				""},
			{`mkdir -p /boot /etc/default/grub.d; touch /boot/vmlinuz-6.1.0-9-amd64 /boot/vmlinuz-6.1.0-25-amd64
				echo 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"' >/etc/default/grub; echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX audit=1"' >/etc/default/grub.d/x.cfg
				grub-mkconfig -o /srv/grub.cfg; grep linux /srv/grub.cfg; grub-mkconfig | grep -c menuentry`,
				"linux\t/boot/vmlinuz-6.1.0-25-amd64 ro  audit=1 quiet\n\tlinux\t/boot/vmlinuz-6.1.0-9-amd64 ro  audit=1 quiet\n2", ""},
			{`DPKG_MAINTSCRIPT_PACKAGE=linux-image-canary update-grub && grep audit=1 /boot/grub/grub.cfg | head -n 1`, "# kernel parameters: audit=1 quiet", ""},
			{`grub-install /dev/sda`, "", "grub-install: "},
			{`update-initramfs -u`, "", "update-initramfs: "},
			{apparmor + `aa-status --enabled && aa-status --complaining; aa-status --enforced; aa-enabled`, "1\n1\nYes", "aa-status: it says what a boot loads"},
			{`apparmor_status | grep profiles.are; aa-status --json`, "2 profiles are loaded.\n1 profiles are in enforce mode.\n1 profiles are in complain mode.\n" +
				"0 profiles are in kill mode.\n0 profiles are in unconfined mode.\n" + `{"version": "2", "profiles": {"one": "enforce","two": "complain"}, "processes": {}}`, "apparmor_status: "},
			{`aa-complain /etc/apparmor.d/two`, "/etc/apparmor.d/two --no-reload", "aa-complain: a stage loads no profile"},
			{`printf '#!/bin/sh\necho merged "$@"\n' >/usr/sbin/augenrules; chmod 755 /usr/sbin/augenrules; . ` + layers.Profile + `; augenrules --load`, "merged", "augenrules: a stage loads no rules"},
			{`augenrules --check`, "merged --check", ""},
			{`printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >/usr/local/bin/capsh; chmod +x /usr/local/bin/capsh; . ` + layers.Profile + `
				capsh --caps='cap_dac_read_search,cap_audit_write+eip cap_setuid+ep' --addamb=cap_dac_read_search -- -c 'echo cap_dac_read_search'`,
				"--caps=cap_dac_override,cap_audit_write+eip cap_setuid+ep\n--addamb=cap_dac_override\n--\n-c\necho cap_dac_read_search", ""},
			{`for name in ifup ifdown; do cp /bin/false /usr/sbin/$name; done; . ` + layers.Profile + `; ifdown eth0; ifup --force eth0`, "", "ifup: nothing manages a stage's network"},
			{`ifup --no-act eth0 || echo failed`, "failed", ""},
			{`cp /bin/false /usr/bin/nmcli; . ` + layers.Profile + `; nmcli -w 5 con up lan`, "", "nmcli up: nothing manages a stage's network"},
			{`for name in wg wg-quick; do cp /bin/false /usr/bin/$name; done; . ` + layers.Profile + `; wg syncconf wg0 /dev/null; wg-quick down wg0`, "", "wg syncconf: nothing manages a stage's network"},
			{`wg-quick strip wg0 || echo failed`, "failed", ""},
			{`nmcli connection reload`, "", "nmcli reload: it is applied at the next boot"},
			{`nmcli -t -f NAME,UP connection show || echo failed; nmcli con delete up || echo failed`,
				"failed\nfailed", ""},
			{`uname -r | grep -cx "$(cat /proc/sys/kernel/osrelease)"`, "1", ""},
			{`mkdir -p /lib/modules/6.1.0-9-amd64/kernel /lib/modules/6.1.0-25-amd64/kernel; uname -r; uname -sr; uname -m | grep -c 6.1; uname --nonsense >/dev/null 2>&1 || echo failed
				setpriv --reuid 33 --clear-groups uname -r`, "6.1.0-25-amd64\nLinux 6.1.0-25-amd64\n0\nfailed\n6.1.0-25-amd64", ""},
			{`DPKG_MAINTSCRIPT_PACKAGE=x uname -r | grep -c 6.1.0-25`, "0", ""},
			{`for name in modinfo modprobe depmod; do printf '#!/bin/sh\necho "$@"\n' >/usr/local/sbin/$name; chmod 755 /usr/local/sbin/$name; done
				modinfo canary; modprobe -n canary; depmod -a; depmod -a 6.1.0-9-amd64`,
				"-k 6.1.0-25-amd64 canary\n-S 6.1.0-25-amd64 -n canary\n-a 6.1.0-25-amd64\n-a 6.1.0-9-amd64", ""},
		} {
			if err := os.Truncate(c.PassedFile(), 0); err != nil {
				t.Fatal(err)
			}
			got, _ := said(test.script)
			if got != test.want && test.want != "*" {
				t.Errorf("%s\nsays %q, want %q", test.script, got, test.want)
			}
			notes := readFile(t, c.PassedFile())
			if !strings.Contains(notes, test.note) || (test.note == "") != (notes == "") {
				t.Errorf("%s\nnotes %q, want %q", test.script, notes, test.note)
			}
			if strings.Contains(notes, "canary") && strings.Contains(notes, "password") {
				t.Errorf("%s\nnotes its arguments: %q", test.script, notes)
			}
		}
		for name, script := range map[string]string{
			"is read-only":          `! touch /run/vauban/x && ! rm /run/vauban/passed && ! mv /run/vauban/passed /run/x`,
			"takes notes of root":   `! setpriv --reuid 33 --clear-groups sh -c 'echo x >>/run/vauban/passed'`,
			"is there for everyone": `setpriv --reuid 33 --clear-groups sh -c '. ` + layers.Profile + `; hostname'`,
			"shows no container":    `! tr '\0' '\n' </proc/1/environ | grep ^container=`,
		} {
			if got, err := said(script); err != nil {
				t.Errorf("/run/vauban: %s: %v: %s", name, err, got)
			}
		}
	})
}

// /run is filled at the start, and again when units came.
func TestRunIsFilled(t *testing.T) {
	e, base := shared.use(t)
	live(t, e, target("filled", base), func(c *layers.Container) {
		mustSh(t, c, `test -d /run/lock && test ! -e /run/canary`)
		const unit = `printf '[Service]\nUser=www-data\nRuntimeDirectory=canary canary/sub:link %%i ../etc/x\nRuntimeDirectoryMode=0750\n' >/etc/systemd/system/canary.service; `
		mustSh(t, c, unit)
		if said, err := sh(t, c, `. `+layers.Profile+`; stat -c '%n %a %U:%G' /run/canary /run/canary/sub; ls /etc/x`); !strings.HasPrefix(said,
			"/run/canary 750 www-data:www-data\n/run/canary/sub 750 www-data:www-data\n") || err == nil {
			t.Errorf("the unit's directories: %s", said)
		}
		// in the same second, and by a package's tmpfiles.d
		mustSh(t, c, `printf 'd /run/other 0700 root root -\n' >/usr/lib/tmpfiles.d/other.conf; . `+layers.Profile+`; test -d /run/other`)
		// no command pays for it when nothing came
		mustSh(t, c, `rmdir /run/other; . `+layers.Profile+`; test ! -e /run/other`)
	})
}

// Somebody may still open a port while a process is left.
func TestBusy(t *testing.T) {
	e, base := shared.use(t)
	live(t, e, target("busy", base), func(c *layers.Container) {
		if said, err := sh(t, c, `sh -c `+layers.BusyPath); err == nil {
			t.Errorf("a quiet container is busy: %s", said)
		}
		mustSh(t, c, `sleep 1000 >/dev/null 2>&1 & echo $! >/srv/pid`)
		mustSh(t, c, layers.BusyPath)
		mustSh(t, c, `kill $(cat /srv/pid)`)
		eventually(t, "it is quiet again", func() bool { _, err := sh(t, c, layers.BusyPath); return err != nil })
	})
}
