package boot

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program writes a shell script that stands in for QEMU: its stdout is the
// guest's second serial port, $serial its console.
func program(t *testing.T, script string) string {
	t.Helper()
	if _, err := exec.LookPath("slirp4netns"); err != nil || os.Geteuid() != 0 {
		t.Skip("it needs root and slirp4netns")
	}
	path := filepath.Join(t.TempDir(), "qemu")
	prologue := "#!/bin/sh\n" + `for a; do case $a in file,id=console,path=*) serial=${a#*path=};; esac; done` + "\n"
	if err := os.WriteFile(path, []byte(prologue+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func testOptions(t *testing.T, script string) Options {
	tree, _ := writeTree(t)
	return Options{
		Tree: tree, Master: "web", Host: "a", Wait: true, Timeout: time.Minute,
		Program: program(t, script), SerialLog: filepath.Join(t.TempDir(), "serial.log"),
	}
}

func TestBootReported(t *testing.T) {
	// The guest is up, and goes on running.
	result, err := Boot(t.Context(), testOptions(t, "cat <<'E'\n"+reportLine("running", "", "web1\n", 0)+"E\nexec sleep 3600\n"))
	if err != nil {
		t.Fatal(err)
	}
	if string(result.Report.Output) != "web1\n" || result.Report.State != "running" {
		t.Errorf("got report %+v", result.Report)
	}
}

func TestBootFetches(t *testing.T) {
	// What the command line names is served, to the loopback of QEMU's namespace.
	script := `
while [ "$1" != -append ]; do shift; done
for word in $2; do case $word in
    root=live:*) root=${word#root=live:};; live.updates=*) conffs=${word#live.updates=};;
esac; done
got=$(curl -sf "http://127.0.0.1${root#http://10.0.2.2}" "http://127.0.0.1${conffs#http://10.0.2.2}" | base64 -w0)
echo "{\"state\": \"running\", \"output\": \"$got\"}"
`
	result, err := Boot(t.Context(), testOptions(t, script))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(result.Report.Output), "rootfs of r2a"; got != want {
		t.Errorf("the guest got %q, want %q", got, want)
	}
}

func TestBootByNetworkCard(t *testing.T) {
	// What the script names that the card is led to is served; the initramfs
	// is the one that makes the machine report.
	script := `
get() { curl -sf "http://127.0.0.1${1#http://10.0.2.2}"; }
for a; do case $a in -kernel) exit 1;; user,*bootfile=*) entry=${a#*bootfile=};; esac; done
got=$(get "$entry" | while read -r word first rest; do case $word in
    kernel) get "$first"; echo; echo "$rest";; initrd) get "${rest#* }" | tr -d '\0' | head -c 15; echo;;
esac; done | base64 -w0)
echo "{\"state\": \"running\", \"output\": \"$got\"}"
`
	o := testOptions(t, script)
	o.PXE = true
	result, err := Boot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got := string(result.Report.Output)
	for _, want := range []string{"kernel", " root=live:http://", "conffs-a.tgz vauban.sums=", "initramfs070701"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

func TestBootFailed(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"stopped":      {`echo '[ 9.0] vauban: stopped: wrong byte' >> "$serial"`, "it stopped: wrong byte"},
		"panicked":     {`echo 'Kernel panic' >> "$serial"`, `last words were "Kernel panic"`},
		"silent":       {"", "it wrote nothing"},
		"no start":     {"echo 'no such device' >&2; exit 1", "no such device"},
		"not up":       {"cat <<'E'\n" + reportLine("maintenance", "x.service\n", "", 0) + "E", `"maintenance", failed units: ["x.service"]`},
		"never":        {"exec sleep 3600", "has not reported within 100ms"},
		"ended midway": {"printf '{\"state\": \"run'", "ended before it was up"},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t, test.script)
			if name == "never" {
				o.Timeout = 100 * time.Millisecond
			}
			result, err := Boot(t.Context(), o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range []string{test.want, result.SerialLog, `booting "web"`} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestBootInitramfs(t *testing.T) {
	// The initramfs that QEMU gets is the release's, padded, and an archive.
	t.Setenv("TMPDIR", t.TempDir())
	copied := filepath.Join(t.TempDir(), "initramfs")
	script := `
while [ "$1" != -initrd ]; do shift; done
cp "$2" ` + copied + `
echo '{"state": "running"}'
`
	o := testOptions(t, script)
	o.Probe = "echo probed"
	if _, err := Boot(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), "initramfs\x00\x00\x00070701") {
		t.Errorf("it begins with %q", got[:min(20, len(got))])
	}
	if !strings.Contains(string(got), "echo probed") {
		t.Error("the probe is not in it")
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "vauban-boot-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestBootRefused(t *testing.T) {
	o := testOptions(t, "exit 1")
	o.Host = "c"
	if _, err := Boot(t.Context(), o); err == nil || !strings.Contains(err.Error(), `no files for host "c"`) {
		t.Errorf("got %v", err)
	}
	o = testOptions(t, "exit 1")
	if err := os.Remove(filepath.Join(o.Tree, "web/releases/r2", initramfsFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Boot(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the initramfs is missing", err)
	}
}

func TestFittingMemory(t *testing.T) {
	tree, _ := writeTree(t)
	release, err := OpenRelease(tree, "web", "")
	if err != nil {
		t.Fatal(err)
	}
	rootfs := filepath.Join(tree, release.Path, rootfsFile)
	before, err := fittingMemory(tree, release, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(rootfs, 500<<20); err != nil {
		t.Fatal(err)
	}
	after, err := fittingMemory(tree, release, "a")
	if err != nil {
		t.Fatal(err)
	}
	if after-before < 499 || before < 512 {
		t.Errorf("%d MiB, and %d with 500 MiB more", before, after)
	}
}

func TestVirtualises(t *testing.T) {
	for cpuinfo, want := range map[string]bool{
		"processor\t: 0\nflags\t\t: fpu vme vmx ssse3\n": true,
		"flags\t\t: fpu svm\n":                           true,
		"flags\t\t: fpu svm_lock vmxnet\n":               false,
		"vmx flags\t: ept\nflags\t\t: fpu\n":             false,
		"":                                               false,
	} {
		if got := virtualises(strings.NewReader(cpuinfo)); got != want {
			t.Errorf("%q: got %v, want %v", cpuinfo, got, want)
		}
	}
}
