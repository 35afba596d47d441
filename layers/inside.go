package layers

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// insideDir is where a container finds what is ours: on a tmpfs, read-only, so
// that it is in no layer.
const insideDir = "/run/vauban"

// initPath is process 1 inside. Its base name is what ansible's setup module
// takes for the name of the service manager, and a full path keeps it from
// being found as /sbin/init.
const initPath = insideDir + "/init"

// Profile is a file inside that a shell reads to get the stand-ins first on
// its PATH, and /run filled again when units were installed.
const Profile = insideDir + "/profile"

// StandInPath is the folder of the stand-ins for the commands that the image has.
const StandInPath = insideDir + "/bin"

// UnitsPath is a program inside that prints the services of systemd's that the
// machine would have, and which of them would run, while no systemd does.
const UnitsPath = insideDir + "/units"

// BusyPath is a program inside that ends well when the container holds a
// process besides process 1 and those that run the program.
const BusyPath = insideDir + "/busy"

//go:embed inside
var insideFiles embed.FS

// standIns are the commands that inside/stand-in stands in for.
var standIns = []string{
	"aa-audit", "aa-complain", "aa-disable", "aa-enabled", "aa-enforce", "aa-status", "apache2ctl",
	"apachectl", "apparmor_parser", "apparmor_status", "auditctl", "augenrules", "capsh", "chronyc",
	"depmod", "doveadm", "dovecot", "fail2ban-client", "firewall-cmd", "halt", "hostname", "hostnamectl",
	"hwclock", "ifdown", "ifup", "init", "insmod", "invoke-rc.d", "killall", "localectl", "loginctl",
	"machinectl", "modinfo", "modprobe", "monit", "mount", "netplan", "networkctl", "nginx", "nmcli",
	"ntpdate", "pkill", "postfix", "poweroff", "rdate", "reboot", "resolvectl", "rmmod", "rndc", "service",
	"shutdown", "squid", "sudo", "supervisorctl", "swapoff", "swapon", "sysctl", "systemctl",
	"systemd-detect-virt", "telinit", "timedatectl", "udevadm", "umount", "uname", "unbound-control", "wg",
	"wg-quick",
}

// alwaysStandIns are those that images have which start from a disk of their
// own: playbooks call them on every machine.
var alwaysStandIns = []string{"grub-install", "grub-mkconfig", "update-grub", "update-grub2", "update-initramfs"}

// StandIns are the commands that have one in the folder StandInPath, if the image has them.
func StandIns() []string { return slices.Concat(standIns, alwaysStandIns) }

// writeInside makes in dir what is mounted at insideDir, and the file that
// stand-ins write to.
func (o ContainerOptions) writeInside(dir string) error {
	files, err := insideFiles.ReadDir("inside")
	if err != nil {
		return err
	}
	at := filepath.Join(dir, "inside")
	// whatever the umask, for every user inside
	err = errors.Join(os.MkdirAll(at, 0o755), os.Chmod(at, 0o755))
	for _, file := range files {
		content, readErr := insideFiles.ReadFile("inside/" + file.Name())
		path := filepath.Join(at, file.Name())
		err = errors.Join(err, readErr, os.WriteFile(path, content, 0o755), os.Chmod(path, 0o755))
	}
	if o.Systemd {
		err = errors.Join(err, os.Rename(filepath.Join(at, "init-systemd"), filepath.Join(at, "init")))
	}
	list := filepath.Join(at, "stand-ins")
	names := strings.Join(standIns, "\n") + "\n" + strings.Join(alwaysStandIns, " always\n") + " always\n"
	err = errors.Join(err, os.WriteFile(list, []byte(names), 0o644), os.Chmod(list, 0o644),
		os.Symlink("/run/.vauban-bin", filepath.Join(at, "bin")))
	// the files that others are mounted over, and what they write to
	for _, name := range []string{filepath.Base(userNamespacePath), filepath.Base(aptAuthAside), "passed", "../passed"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(at, name), nil, 0o600))
	}
	if err != nil {
		return fmt.Errorf("writing the container's own files: %w", err)
	}
	return nil
}

// PassedFile is a file on the builder that the stand-ins of the container
// append to: a line for each time that one of them left something out. It
// holds what the environment variable VAUBAN_TASK says, a tab, and what was
// left out.
func (c *Container) PassedFile() string { return filepath.Join(c.dir, "passed") }
