//go:build e2e

// Package e2e runs the program as a user does: it builds the repository's own
// config.yml and examples/, publishes them and boots the result.
package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vauban/boot"
)

// world is one user's machine: configuration, state and published tree. All
// tests share what one run built.
type world struct {
	dir, program string
	env          []string
	peak         atomic.Int64 // memory of the largest process, in KiB
}

func newWorld(t *testing.T) *world {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), program: filepath.Join(top, "bin/vauban")}
	for _, name := range []string{"config.yml", "examples", "scripts"} {
		if err := os.CopyFS(filepath.Join(w.dir, name), os.DirFS(filepath.Join(top, name))); err == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.addLedger(t)
	w.env = append(os.Environ(), "VAUBAN_STATE_DIR="+w.path("state"), "UPLOAD_DIR="+w.path("pxe"), "VAULTED_SSHD_KEYS_KEY="+passphrase)
	w.command(t, "sh", "scripts/demo", "repository")
	return w
}

// ledger is a stage that needs its service running: what is written into it is
// in memory until the service is stopped in its own way. It also wants a
// parameter on the kernel's command line, in the way of machines with a disk.
const ledger = `
- name: Write a line into the ledger
  hosts: all
  gather_facts: false
  tasks:
    - name: Its service
      ansible.builtin.copy:
        dest: /etc/systemd/system/ledger.service
        mode: "0644"
        content: |
          [Unit]
          Description=Ledger
          [Service]
          Type=oneshot
          RemainAfterExit=yes
          StateDirectory=ledger
          RuntimeDirectory=ledger
          ExecStart=/bin/sh -c 'if [ -e /var/lib/ledger/lines ]; then cp /var/lib/ledger/lines /run/ledger/; fi'
          ExecStop=/bin/cp /run/ledger/lines /var/lib/ledger/
          [Install]
          WantedBy=multi-user.target
    - name: It runs
      ansible.builtin.systemd:
        name: ledger
        state: started
        enabled: true
        daemon_reload: true
    - name: The line
      ansible.builtin.shell: "[ -z \"$SYSTEMD_OFFLINE\" ] && echo {{ inventory_hostname }} >>/run/ledger/lines"
    - name: A kernel parameter
      ansible.builtin.lineinfile: {path: /etc/default/grub, regexp: ^GRUB_CMDLINE_LINUX=, line: 'GRUB_CMDLINE_LINUX="plymouth.ledger=yes init=/bin/false"'}
      notify: update-grub
  handlers:
    - name: update-grub
      ansible.builtin.command: update-grub
`

// addLedger makes it the last stage of master-12-web.
func (w *world) addLedger(t *testing.T) {
	t.Helper()
	const last = "- playbook_web.yml\n"
	config := w.read(t, "config.yml")
	with := strings.Replace(config, last, last+"        - init: systemd@playbook_ledger.yml\n", 1)
	if with == config {
		t.Fatalf("config.yml has no %q", last)
	}
	for name, content := range map[string]string{"config.yml": with, "examples/ansible/playbook_ledger.yml": ledger} {
		if err := os.WriteFile(w.path(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// passphrase is that of the vault. It must be nowhere but in the environment.
const passphrase = "a passphrase that nothing else holds"

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// command runs a program that must succeed and gives its output.
func (w *world) command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.try(t, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = w.dir, w.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan struct{})
	go w.watchMemory(cmd.Process.Pid, ended)
	err := cmd.Wait()
	close(ended)
	return out.String(), err
}

// watchMemory keeps the most memory that a process had resident, in KiB. The
// kernel's own high-water mark cannot be read once it has ended.
func (w *world) watchMemory(pid int, ended <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
				kib, _ := strconv.ParseInt(fields[1], 10, 64)
				w.peak.Store(max(kib, w.peak.Load()))
			}
		}
	}
}

func (w *world) vauban(t *testing.T, args ...string) string {
	t.Helper()
	return w.command(t, append([]string{w.program}, args...)...)
}

func (w *world) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(w.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMainJob(t *testing.T) {
	w := newWorld(t)
	out := w.vauban(t, "build", "master-12-web", "master-12-app", "master-12-db", "--build-parents", "yes", "--log-level", "debug")
	t.Log(out)
	if peak := w.peak.Load(); peak == 0 || peak > 200<<10 {
		t.Errorf("the program had up to %d KiB in memory, want some and at most 200 MiB", peak)
	} else {
		t.Logf("peak memory: %d MiB", peak>>10)
	}

	t.Run("published tree", func(t *testing.T) { publishedTree(t, w) })
	t.Run("booted guest", func(t *testing.T) { bootedGuest(t, w) })
	t.Run("nothing is stale", func(t *testing.T) { nothingStale(t, w) })
	t.Run("an unchanged host keeps its conffs", func(t *testing.T) { unchangedHost(t, w) })
	t.Run("an unchanged master keeps its release", func(t *testing.T) { unchangedMaster(t, w) })
	t.Run("the same machine at its second boot", func(t *testing.T) { secondBoot(t, w) })
	t.Run("a rootfs, then its conffs", func(t *testing.T) { separately(t, w) })
	t.Run("an interrupted run", func(t *testing.T) { interrupted(t, w) })
	t.Run("damaged rootfs", func(t *testing.T) { damagedRootfs(t, w) })
	t.Run("nothing is left", func(t *testing.T) { nothingLeft(t, w) })
}

func publishedTree(t *testing.T, w *world) {
	for master, hosts := range map[string][]string{
		"master-12-base": nil,
		"master-12-web":  {"web01", "web02"},
		"master-12-app":  {"web03"},
		"master-12-db":   {"db01"},
	} {
		files := []string{"rootfs.squashfs", "rootfs.tgz", "vmlinuz", "initramfs.img", "current/SHA256SUMS", "current/manifest.json"}
		for _, host := range hosts {
			files = append(files, fmt.Sprintf("conffs-%s.tgz", host))
		}
		for _, file := range files {
			if _, err := os.Stat(w.path(filepath.Join("pxe", master, file))); err != nil {
				t.Error(err)
			}
		}
		w.command(t, "sh", "-c", "cd pxe/"+master+"/current && sha256sum --check --quiet SHA256SUMS")
	}
}

// nothingStale: what was just built and published would come out the same.
func nothingStale(t *testing.T, w *world) {
	if out := w.vauban(t, "status"); strings.Contains(out, "stale") {
		t.Error(out)
	}
	if out := w.vauban(t, "build", "--if-stale"); !strings.Contains(out, "nothing to do\n") {
		t.Error(out)
	}
}

// unchangedHost builds one host again, alone: neither its neighbours nor the
// time of day may matter, so its archive is the very same.
func unchangedHost(t *testing.T, w *world) {
	sums := func() string {
		return w.command(t, "sha256sum", "pxe/master-12-web/conffs-web01.tgz", "pxe/master-12-web/conffs-web02.tgz")
	}
	before := sums()
	w.vauban(t, "build", "master-12-web", "--stage", "conffs", "--limit", "web01")
	if after := sums(); before != after {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// unchangedMaster builds a master without hosts again: nothing but dates can
// differ, so image and release stay. Its identity is in its root filesystem.
func unchangedMaster(t *testing.T, w *world) {
	release := func() string {
		return w.command(t, "sh", "-c", "readlink pxe/master-12-base/current && sha256sum pxe/master-12-base/current/SHA256SUMS")
	}
	before := release()
	out := w.vauban(t, "build", "master-12-base")
	if after := release(); before != after || !strings.Contains(out, "unchanged since") {
		t.Errorf("before\n%s\nafter\n%s\n%s", before, after, out)
	}
	identity := w.vauban(t, "vault", "show", "master-12-base")
	for _, file := range []string{"etc/machine-id", "etc/ssh/ssh_host_ed25519_key.pub", "etc/ssh/ssh_host_rsa_key.pub", "etc/ssh/ssh_host_ecdsa_key.pub"} {
		shipped := w.command(t, "unsquashfs", "-cat", "pxe/master-12-base/rootfs.squashfs", file)
		if !strings.Contains(identity, strings.TrimSpace(shipped)) {
			t.Errorf("%s is %q, the vault has %s", file, shipped, identity)
		}
	}
	listed := w.command(t, "unsquashfs", "-lln", "pxe/master-12-base/rootfs.squashfs", "etc/ssh", "etc/machine-id")
	for name, mode := range map[string]string{"ssh_host_rsa_key": "-rw------- 0/0", "ssh_host_rsa_key.pub": "-rw-r--r-- 0/0", "etc/machine-id": "-r--r--r-- 0/0"} {
		if !slices.ContainsFunc(strings.Split(listed, "\n"), func(line string) bool {
			return strings.HasPrefix(line, mode) && strings.HasSuffix(line, name)
		}) {
			t.Errorf("%s is not there as %s:\n%s", name, mode, listed)
		}
	}
	if out, err := w.try(t, "sh", "-c", "unsquashfs -lls pxe/master-12-web/rootfs.squashfs | grep ssh_host_"); err == nil {
		t.Errorf("the root filesystem of a master with hosts has keys: %s", out)
	}
	if out, err := w.try(t, "grep", "-rlF", passphrase, "state/logs", "state/registry", "pxe"); err == nil {
		t.Errorf("the vault's passphrase is in %s", out)
	}
}

// identityProbe is run in the booted guest; sshd answers with what it has.
const identityProbe = `
printf 'machine_id=%s\n' "$(cat /etc/machine-id)"
printf 'keys=%s\n' "$(cut -d' ' -f1,2 /etc/ssh/ssh_host_*_key.pub | sort | tr '\n' ',')"
printf 'modes=%s\n' "$(stat -c '%a' /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /etc/machine-id | tr '\n' ' ')"
printf 'answers=%s\n' "$(ssh-keyscan -t ed25519,rsa,ecdsa 127.0.0.1 2>/dev/null | cut -d' ' -f2,3 | sort | tr '\n' ',')"
`

// checkIdentity compares what a guest says with what the vault shows.
func checkIdentity(t *testing.T, w *world, host string, got map[string]string) {
	t.Helper()
	id, keys := "", []string{}
	for line := range strings.Lines(w.vauban(t, "vault", "show", host)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "machine-id":
			id = fields[1]
		case len(fields) >= 2 && strings.HasPrefix(fields[1], "AAAA"):
			keys = append(keys, fields[0]+" "+fields[1])
		}
	}
	slices.Sort(keys)
	all := strings.Join(keys, ",") + ","
	if id == "" || len(keys) != 3 || got["machine_id"] != id || got["keys"] != all || got["answers"] != all {
		t.Errorf("the vault has %s and %s; the guest has %v", id, all, got)
	}
	if want := "600 600 600 644 644 644 444"; strings.TrimSpace(got["modes"]) != want {
		t.Errorf("modes %q, want %q", got["modes"], want)
	}
}

// secondBoot starts the machine once more, with conffs that were built again,
// and by its boot entry: it must be the same machine.
func secondBoot(t *testing.T, w *world) {
	result, err := boot.Boot(t.Context(), boot.Options{
		Tree: w.path("pxe"), Master: "master-12-web", Host: "web01", PXE: true, Wait: true, Probe: identityProbe, SerialLog: w.path("second.log"),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLines(w.read(t, "second.log")))
	}
	checkIdentity(t, w, "web01", answers(result.Report.Output))
}

// answers are the NAME=VALUE lines of a probe.
func answers(output []byte) map[string]string {
	got := map[string]string{}
	for line := range strings.Lines(string(output)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		got[name] = value
	}
	return got
}

// separately builds a rootfs in one run and the conffs in another: only the
// second may publish, and it publishes both.
func separately(t *testing.T, w *world) {
	release := func() string {
		target, err := os.Readlink(w.path("pxe/master-12-db/current"))
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	before := release()
	// Another hook makes another image: one that is as before stays published.
	env := w.env
	w.env = append(slices.Clone(env), "HOOK_PRE_ANSIBLE=true")
	defer func() { w.env = env }()
	out := w.vauban(t, "build", "master-12-db", "--stage", "rootfs")
	if release() != before || !strings.Contains(out, "not published") {
		t.Errorf("a rootfs without its conffs was published: %s\n%s", release(), out)
	}
	w.vauban(t, "build", "master-12-db", "--stage", "conffs", "--on", "latest")
	if release() == before {
		t.Error("rootfs and conffs are built and not published")
	}
	w.command(t, "sh", "-c", "cd pxe/master-12-db/current && sha256sum --check --quiet SHA256SUMS")
}

// interrupted sends SIGINT to a run in the middle of a stage.
func interrupted(t *testing.T, w *world) {
	cmd := exec.CommandContext(t.Context(), w.program, "build", "master-12-web", "--stage", "conffs", "--progress", "json")
	cmd.Dir, cmd.Env = w.dir, w.env
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "playbook_base.yml: ") {
			cmd.Process.Signal(os.Interrupt)
		}
	}
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("exit code %d, want 130; it said:\n%s", cmd.ProcessState.ExitCode(), said)
	}
	nothingLeft(t, w)
}

// probe is run in the booted guest; it prints NAME=VALUE lines.
const probe = `
say() { printf '%s=%s\n' "$1" "$(echo $2)"; }
say hostname "$(hostname)"
say etc_hostname "$(cat /etc/hostname)"
say machine_id "$(cat /etc/machine-id)"
say machine_info "$(cat /etc/machine-info)"
say default_site "$(ls /etc/nginx/sites-available/default 2>&1)"
say default_root "$(ls -d /var/www/html 2>&1)"
say image "$(findmnt -n -o FSTYPE,OPTIONS /live/image)"
say root "$(findmnt -n -o FSTYPE /)"
say page "$(curl -s http://127.0.0.1/ || python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1/").read().decode())')"
say nginx "$(systemctl is-active nginx)"
say names "$(getent hosts localhost >/dev/null && echo localhost) $(getent hosts "$(hostname)" >/dev/null && echo own)"
say renamed "$(python3 -c 'import os; os.rename("/usr/share/doc", "/usr/share/moved")' 2>&1)"
say ledger "$(systemctl is-active ledger)"
say ledger_lines "$(cat /run/ledger/lines)"
say ledger_kept "$(grep -c plymouth.ledger=yes /proc/cmdline)"
say release "$(cat /run/vauban/release.json)"
`

func bootedGuest(t *testing.T, w *world) {
	result, err := boot.Boot(t.Context(), boot.Options{
		Tree: w.path("pxe"), Master: "master-12-web", Host: "web01", Wait: true, Probe: probe + identityProbe, SerialLog: w.path("serial.log"),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLines(w.read(t, "serial.log")))
	}
	if result.Report.State != "running" {
		t.Errorf("the guest is %s: %v failed", result.Report.State, result.Report.Failed)
	}
	got := answers(result.Report.Output)
	t.Logf("up after %s: %v", result.Elapsed, got)
	for name, want := range map[string]string{
		"hostname": "web01", "etc_hostname": "web01", "root": "overlay", "nginx": "active",
		"names": "localhost own", "renamed": "",
		"ledger": "active", "ledger_kept": "1", "ledger_lines": "master-12-web web01", // from two builds with init: systemd
		"machine_id": strings.TrimSpace(w.command(t, "tar", "-xzOf", "pxe/master-12-web/conffs-web01.tgz", "etc/machine-id")),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	checkIdentity(t, w, "web01", got)
	for name, want := range map[string]string{
		"machine_info": "web01",                     // changed by the conffs
		"default_site": "No such file or directory", // a file that the conffs deletes
		"default_root": "No such file or directory", // and a directory
		"page":         "web01",
		"release":      "master-12-web",
	} {
		if !strings.Contains(got[name], want) {
			t.Errorf("%s is %q, which lacks %q", name, got[name], want)
		}
	}
	if image := got["image"]; !strings.HasPrefix(image, "squashfs ro") {
		t.Errorf("/live/image is %q, want a read-only squashfs", image)
	}
}

// damagedRootfs flips one byte of what the machine will fetch.
func damagedRootfs(t *testing.T, w *world) {
	w.command(t, "cp", "-a", "--dereference", "pxe/master-12-base/current", "damaged-release")
	tree := w.path("damaged")
	master := filepath.Join(tree, "master-12-base")
	w.command(t, "sh", "-c", fmt.Sprintf("mkdir -p %[1]s/releases && mv damaged-release %[1]s/releases/2026-01-01T000000Z && ln -s releases/2026-01-01T000000Z %[1]s/current", master))
	rootfs, err := os.OpenFile(filepath.Join(master, "current/rootfs.squashfs"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rootfs.Close()
	const at = 1 << 20
	b := make([]byte, 1)
	if _, err := rootfs.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := rootfs.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	_, err = boot.Boot(t.Context(), boot.Options{Tree: tree, Master: "master-12-base", Wait: true, SerialLog: w.path("damaged.log"), Timeout: 10 * time.Minute})
	if err == nil {
		t.Fatal("a machine came up on a damaged rootfs")
	}
	serial := w.read(t, "damaged.log")
	if !strings.Contains(serial, "rootfs.squashfs") || !strings.Contains(serial, "vauban:") {
		t.Errorf("the console does not say what is wrong:\n%s", lastLines(serial))
	}
	t.Log(err)
}

// nothingLeft looks for what a run must not leave.
func nothingLeft(t *testing.T, w *world) {
	if mounts := w.command(t, "sh", "-c", "grep -F "+w.dir+" /proc/mounts || :"); mounts != "" {
		t.Errorf("mounts: %s", mounts)
	}
	runs, err := filepath.Glob(w.path("state/run/*"))
	if err != nil || len(runs) > 0 {
		t.Errorf("run folders: %v %v", runs, err)
	}
	for _, command := range processes(t) {
		if strings.Contains(command, w.dir) && !strings.Contains(command, "__containerd") {
			t.Errorf("process: %s", command)
		}
	}
}

// processes are the command lines of all that run.
func processes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			all = append(all, strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return all
}

func lastLines(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
