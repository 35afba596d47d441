package inside

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vauban/internal/hostile"
)

// tool runs one of the program's own parts.
func (c container) tool(name string) result {
	c.Helper()
	var out, errs bytes.Buffer
	call := &call{root: c.root, name: name, uid: os.Geteuid(), stdin: strings.NewReader(""), stdout: &out, stderr: &errs, become: child,
		environ: []string{"PATH=/usr/bin:/bin"}}
	code := call.run(true)
	return result{strings.ReplaceAll(out.String(), c.dir, ""), strings.ReplaceAll(errs.String(), c.dir, ""), "", code}
}

func TestFillRun(t *testing.T) {
	c := newContainer(t)
	user := fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())
	c.file("etc/passwd", "root:x:"+user+":root:/root:/bin/sh\nservice:x:"+user+"::/:/bin/false\n")
	c.file("etc/group", fmt.Sprintf("service:x:%d:\n", os.Getegid()))
	c.command("usr/bin/systemd-tmpfiles", `echo "tmpfiles $*" >>`+c.dir+`/srv`)
	c.unit("a.service", "[Service]\nUser=service\nRuntimeDirectory=old\nRuntimeDirectory = canary canary/sub:link %i ../etc/x /abs a/./b\nRuntimeDirectoryMode=0750\n")
	c.file("etc/systemd/system/b.service", "[Service]\nRuntimeDirectory=plain\n")
	c.unit("nouser.service", "[Service]\nUser=nosuch\nRuntimeDirectory=nouser\n")
	c.unit("group.service", "[Service]\nGroup=service\nRuntimeDirectory=grouped\n")
	c.unit("badmode.service", "[Service]\nRuntimeDirectory=badmode\nRuntimeDirectoryMode=rwx\n")
	c.unit("nogroup.service", "[Service]\nRuntimeDirectory=nogroup\nGroup=nosuch\n")
	c.unit("x.timer", "[Service]\nRuntimeDirectory=timer\n")
	c.file("run/plain", "a file that is there")
	before := unix.Umask(0o077)
	got := c.tool("fill-run")
	unix.Umask(before)
	if got.code != 0 || !strings.Contains(got.errors, `no group "nosuch"`) || !strings.Contains(got.errors, `"rwx" is not an octal number`) {
		t.Errorf("it ends with %+v", got)
	}
	for name, want := range map[string]string{
		"run/canary": "drwxr-x---", "run/canary/sub": "drwxr-x---", "run/grouped": "drwxr-xr-x", "run/plain": "-rw-r--r--", "run/old": "", "run/nouser": "",
		"run/badmode": "", "run/nogroup": "", "run/timer": "", "run/link": "", "etc/x": "", "run/abs": "", "run/a": "", "run/%i": "", "run/.vauban-filled": "-rw-r--r--",
	} {
		info, err := os.Lstat(filepath.Join(c.dir, name))
		if mode := ""; err == nil {
			if mode = info.Mode().String(); mode != want {
				t.Errorf("%s is %s, want %q", name, mode, want)
			}
		} else if want != "" {
			t.Error(err)
		}
	}
	if got := c.read("srv"); got != "tmpfiles --create --prefix=/run\n" {
		t.Errorf("systemd-tmpfiles was run as %q", got)
	}
	c.checkMark("run/.vauban-filled", "usr/lib/systemd/system", "etc/systemd/system")
}

// checkMark checks that a mark is dated as the newest of folders.
func (c container) checkMark(mark string, dirs ...string) {
	c.Helper()
	date := func(name string) time.Time {
		info, err := os.Stat(filepath.Join(c.dir, name))
		c.must(err)
		return info.ModTime()
	}
	newest := time.Time{}
	for _, dir := range dirs {
		if date(dir).After(newest) {
			newest = date(dir)
		}
	}
	if got := date(mark); !got.Equal(newest) {
		c.Errorf("%s is dated %s, want %s", mark, got, newest)
	}
}

func TestLink(t *testing.T) {
	c := newContainer(t)
	reals("mount", "nginx")(c)
	c.file("usr/bin/wg", "not executable")
	check := func(want string) {
		t.Helper()
		if got := c.tool("link"); got != (result{}) {
			t.Errorf("it ends with %+v", got)
		}
		entries, err := os.ReadDir(filepath.Join(c.dir, binTarget))
		c.must(err)
		var names []string
		for _, entry := range entries {
			target, err := os.Readlink(filepath.Join(c.dir, binTarget, entry.Name()))
			if names = append(names, entry.Name()); err != nil || target != "/run/vauban/stand-in" {
				t.Errorf("%s leads to %q, %v", entry.Name(), target, err)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("the stand-ins are %s, want %s", got, want)
		}
		c.checkMark("run/.vauban-linked", "usr/sbin", "usr/bin")
	}
	const always = "grub-install grub-mkconfig"
	const after = "update-grub update-grub2 update-initramfs"
	check(always + " mount nginx " + after)
	c.must(os.Remove(filepath.Join(c.dir, "usr/bin/nginx")))
	reals("umount")(c)
	check(always + " mount umount " + after)
}

func TestListServices(t *testing.T) {
	c := newContainer(t)
	machineWithUnits(c)
	const want = "masked.service inactive dead masked masked.service\noff.service inactive dead disabled off.service\n" +
		"on.service active running enabled It is on\nonce.service active exited enabled once.service\n" +
		"two@.service inactive dead indirect two@.service\nscript.service inactive dead generated script.service\n"
	if got := c.tool("units"); got.out != "alias@.service active running alias alias@.service\n"+want {
		t.Errorf("got\n%s", got.out)
	}
}

func TestBusy(t *testing.T) {
	c := newContainer(t)
	c.file("proc/1/status", "Name:\tinit\nPPid:\t0\n")
	own, parent := os.Getpid(), os.Getppid()
	c.file(fmt.Sprintf("proc/%d/status", own), fmt.Sprintf("Name:\tbusy\nPPid:\t%d\n", parent))
	c.file(fmt.Sprintf("proc/%d/status", parent), "Name:\tsh\nPPid:\t0\n")
	c.mkdir("proc/99999999")
	c.mkdir("proc/sys")
	if got := c.tool("busy"); got.code != 1 {
		t.Errorf("a quiet container is busy: %+v", got)
	}
	for _, status := range []string{"PPid:\t1\n", "PPid:\t0\n", "PPid:\t77\n"} {
		c.file("proc/99999998/status", status)
		if got := c.tool("busy"); got.code != 0 {
			t.Errorf("with a process %q nothing is busy: %+v", status, got)
		}
	}
}

// The parts are for their own names in the program's folder alone.
func TestMainDispatch(t *testing.T) {
	c := newContainer(t)
	reals("init", "link")(c)
	if got := c.call("link", "a"); got != said("link: a") {
		t.Errorf("another link is %+v", got)
	}
	if got := c.tool("init"); got.code != notStarted {
		t.Errorf("process 1 elsewhere ends with %+v", got)
	}
	links := Links()
	for _, name := range []string{"init", "fill-run", "link", "busy", "units", "stand-in"} {
		if links[name] != Program {
			t.Errorf("%s leads to %q", name, links[name])
		}
	}
	if links["bin"] != "/run/.vauban-bin" || len(links) != 7 || len(SystemdInit) == 0 {
		t.Errorf("the links are %v", links)
	}
}

// The profile starts a tool when a folder has changed since.
func TestProfile(t *testing.T) {
	c := newContainer(t)
	text := string(Profile())
	if strings.Contains(text, "@") || !strings.Contains(text, "\nPATH=/run/vauban/bin:") {
		t.Fatalf("the profile is\n%s", text)
	}
	for _, top := range []string{"/run", "/usr", "/etc", "/sbin", "/bin"} {
		text = strings.ReplaceAll(text, " "+top, " "+c.dir+top)
	}
	c.file("profile", strings.ReplaceAll(text, "\t"+Dir, "\t"+c.dir+Dir))
	for _, name := range []string{"fill-run", "link"} {
		c.command("run/vauban/"+name, "echo "+name+" >>"+c.dir+"/srv")
	}
	started := func() string {
		c.file("srv", "")
		if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-e", c.dir+"/profile").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %s", err, out)
		}
		return c.read("srv")
	}
	for tool, mark := range map[string]string{"fill-run": filledMark, "link": linkedMark} {
		c.tool(tool)
		if _, err := os.Stat(filepath.Join(c.dir, mark)); err != nil {
			t.Error(err)
		}
	}
	if got := started(); got != "" {
		t.Errorf("when nothing changed it starts %q", got)
	}
	c.touch("usr/lib/systemd/system")
	if got := started(); got != "fill-run\n" {
		t.Errorf("when units came it starts %q", got)
	}
	c.tool("fill-run")
	c.touch("usr/sbin")
	if got := started(); got != "link\n" {
		t.Errorf("when commands came it starts %q", got)
	}
}

// touch makes a folder newer than every mark.
func (c container) touch(name string) {
	c.Helper()
	later := time.Now().Add(time.Hour)
	c.must(os.Chtimes(filepath.Join(c.dir, name), later, later))
}

// What an image left in the place of a file is read as a file without content,
// or refused; nothing waits for it.
func TestHostileFiles(t *testing.T) {
	files := []string{
		"usr/lib/systemd/system/on.service", "etc/systemd/system/two@.service.d/more.conf", "etc/fstab", "etc/passwd", "etc/hostname", "etc/machine-info",
		"etc/init.d/script", "run/.vauban-units/on.service", "boot/grub/grub.cfg", "etc/default/locale", "etc/apparmor.d/one", "etc/adjtime", "usr/share/zoneinfo/tzdata.zi",
		"usr/lib/systemd/ntp-units.d/x.list", "boot/vmlinuz-1",
	}
	folders := []string{"etc/systemd/system", "run/.vauban-units", "lib/modules", "usr/lib/systemd/ntp-units.d", "etc/apparmor.d", "boot", "etc/default"}
	for _, kind := range hostile.Kinds(filepath.Join(t.TempDir(), "secret")) {
		for what, names := range map[string][]string{"files": files, "folders": folders} {
			t.Run(kind.Name+" for "+what, func(t *testing.T) {
				c := newContainer(t)
				machineWithUnits(c)
				reals("hostnamectl", "timedatectl", "localectl", "loginctl", "aa-status", "apparmor_parser")(c)
				for _, name := range names {
					c.must(hostile.Plant(c.dir, name, kind))
				}
				c.askAll()
			})
		}
	}
}

// askAll calls what reads and writes most files.
func (c container) askAll() {
	c.Helper()
	for _, line := range []string{
		"systemctl is-active on two@x", "systemctl show on two@x script", "systemctl status on", "systemctl cat two@x", "systemctl list-units --all", `systemctl start srv-a\x2db.mount`,
		"systemctl stop on", "hostnamectl", "hostnamectl set-hostname x", "hostnamectl set-chassis vm", "localectl", "localectl set-locale C", "timedatectl set-local-rtc 1",
		"timedatectl list-timezones", "timedatectl show", "loginctl show-user games", "update-grub", "aa-status", "uname -r",
	} {
		if got := c.call(strings.Fields(line)...); strings.Contains(got.out+got.errors, hostile.Secret) {
			c.Errorf("%s: %+v", line, got)
		}
	}
	for _, name := range []string{"units", "fill-run", "link"} {
		c.tool(name)
	}
}

func TestRootIsBounded(t *testing.T) {
	c := newContainer(t)
	for i := range 20 {
		name := fmt.Sprintf("srv/%d", i)
		c.file(name, "")
		c.must(os.Truncate(filepath.Join(c.dir, name), maxFile))
	}
	read := 0
	for i := range 20 {
		read += len(c.root.text(fmt.Sprintf("/srv/%d", i)))
	}
	if read == 0 || read > maxRead {
		t.Errorf("%d bytes were read, the bound is %d", read, maxRead)
	}
	c.must(os.Truncate(filepath.Join(c.dir, "srv/0"), maxFile+1))
	if _, err := newRoot(t, c.dir).ReadFile("srv/0"); err == nil {
		t.Error("a file that is too large was read")
	}
	c.must(unix.Mkfifo(filepath.Join(c.dir, "pipe"), 0o666))
	if err := c.root.write("/pipe", "x"); err == nil {
		t.Error("a pipe was written to")
	}
}

func newRoot(t *testing.T, dir string) *Root {
	t.Helper()
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return root
}
