package boot

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// The hooks run in a shell like the initramfs's, with dracut's functions and
// what changes the machine replaced. A parameter of the kernel command line is
// a file in $parameters.
const stubs = `
getarg() {
    name=${1%=}
    [ -e "$parameters/$name" ] || return 1
    cat "$parameters/$name"
}
getargbool() { [ "$(getarg "$2")" = 1 ]; }
emergency_shell() { echo "shell" >> "$log"; }
systemctl() { echo "systemctl $*" >> "$log"; exit 3; }
sleep() { :; }
mount() { :; }
modprobe() { :; }
ip() { echo "2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global dynamic eth0"; }
hookdir=$vauban_root/hooks
vauban_lib=$module/vauban-lib.sh
. "$vauban_lib"
`

// guest is the initramfs of a test.
type guest struct {
	t    *testing.T
	root string
}

func newGuest(t *testing.T, parameters map[string]string) guest {
	t.Helper()
	g := guest{t, t.TempDir()}
	for _, dir := range []string{"parameters", "etc/cmdline.d", "etc/vauban", "hooks/initqueue/finished", "run"} {
		if err := os.MkdirAll(filepath.Join(g.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range parameters {
		g.write("parameters/"+name, value)
	}
	return g
}

func (g guest) write(name, content string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.root, name), []byte(content), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

// run runs a script and returns its output and what was said on the console.
func (g guest) run(script string) (output, console string) {
	g.t.Helper()
	module, err := filepath.Abs("modules.d/90vauban")
	if err != nil {
		g.t.Fatal(err)
	}
	log := filepath.Join(g.root, "log")
	cmd := exec.CommandContext(g.t.Context(), "dash", "-c", stubs+script)
	cmd.Dir = g.root
	cmd.Env = append(os.Environ(),
		"module="+module, "parameters="+filepath.Join(g.root, "parameters"), "log="+log,
		"vauban_root="+g.root, "vauban_kmsg="+filepath.Join(g.root, "kmsg"))
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 3 {
		g.t.Fatalf("running %q: %v: %s", script, err, out)
	}
	said, err := os.ReadFile(filepath.Join(g.root, "kmsg"))
	if err != nil && !os.IsNotExist(err) {
		g.t.Fatal(err)
	}
	did, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		g.t.Fatal(err)
	}
	return string(out), string(said) + string(did)
}

func TestModuleSyntax(t *testing.T) {
	err := fs.WalkDir(DracutModules(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		// dracut sources module-setup.sh in bash, the initramfs has any sh.
		shell := "dash"
		if entry.Name() == "module-setup.sh" {
			shell = "bash"
		}
		out, err := exec.CommandContext(t.Context(), shell, "-n", filepath.Join("modules.d", path)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", path, err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestModuleFunctions(t *testing.T) {
	hex := digest.FromString("x").Encoded()
	for _, test := range []struct{ name, script, want string }{
		{"name", `vauban_name 'http://s/a/rootfs.squashfs?x=/y#z'`, "rootfs.squashfs"},
		{"beside", `vauban_beside 'http://s/a/rootfs.squashfs?x=/y' SHA256SUMS`, "http://s/a/SHA256SUMS"},
		{"URL", `vauban_is_url https://s/a && echo yes`, "yes"},
		{"URL without path", `vauban_is_url http://s || echo no`, "no"},
		{"URL of a file", `vauban_is_url file:///a || echo no`, "no"},
		{"digest", `vauban_is_digest ` + hex + ` && echo yes`, "yes"},
		{"digest, short", `vauban_is_digest ` + hex[1:] + ` || echo no`, "no"},
		{"digest, upper case", `vauban_is_digest ` + strings.ToUpper(hex) + ` || echo no`, "no"},
		{"JSON", `vauban_json name 'a"\b'`, `"name": "a\"\\b"`},
		{"online", `vauban_online && echo yes`, "yes"},
		{"link-local only", `ip() { echo "2: eth0    inet6 fe80::1/64 scope link"; }; vauban_online || echo no`, "no"},
		{"tentative", `ip() { echo "2: eth0    inet6 2001:db8::1/64 scope global tentative"; }; vauban_online || echo no`, "no"},
		{"IPv6", `ip() { echo "2: eth0    inet6 2001:db8::1/64 scope global dynamic"; }; vauban_online && echo yes`, "yes"},
		// systemd starts services with SIGPIPE ignored.
		{"many addresses", `trap '' PIPE; ip() { yes "2: eth0    inet 192.0.2.7/24 scope global eth0" | head -n 5000; }; vauban_online && echo yes`, "yes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := newGuest(t, nil).run(test.script)
			if strings.TrimSpace(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestModuleExpected(t *testing.T) {
	a, b := digest.FromString("a").Encoded(), digest.FromString("b").Encoded()
	for name, test := range map[string]struct{ sums, want string }{
		"text":              {a + "  f\n" + b + "  g\n", a},
		"binary":            {a + " *f\n", a},
		"no final newline":  {b + "  g\n" + a + "  f", a},
		"missing":           {a + "  ff\n" + b + "  g/f\n", "none"},
		"twice":             {a + "  f\n" + a + "  f\n", "none"},
		"malformed":         {a[1:] + "  f\n", "none"},
		"empty":             {"", "none"},
		"name is a pattern": {a + "  [f]\n", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, nil)
			g.write("sums", test.sums)
			got, _ := g.run(`vauban_expected sums f || echo none`)
			if strings.TrimSpace(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

const parse = `root=$(getarg root=); . "$module/cmdline.sh"; echo "$rootok $vauban_image_url $vauban_conffs_url $vauban_sums $vauban_timeout"`

func TestModuleCommandLine(t *testing.T) {
	sums := digest.FromString("sums").String()
	for name, test := range map[string]struct {
		parameters             map[string]string
		required               bool
		want, console, network string
	}{
		"all": {
			parameters: map[string]string{"root": "live:http://s/r", "live.updates": "http://s/c", "vauban.sums": sums, "ip": "eth0:dhcp", "vauban.timeout": "9"},
			want:       "1 http://s/r http://s/c " + sums + " 9",
			network:    "rd.neednet=1\n",
		},
		"not verified": {
			parameters: map[string]string{"root": "live:http://s/r", "vauban.timeout": "soon"},
			want:       "1 http://s/r   300",
			console:    "<3>vauban: warning: no vauban.sums= on the kernel command line: what is fetched is not verified\n",
			network:    "rd.neednet=1\nip=dhcp\n",
		},
		"a time that a shell cannot count": {
			parameters: map[string]string{"root": "live:http://s/r", "vauban.sums": sums, "vauban.timeout": "08"},
			want:       "1 http://s/r  " + sums + " 300",
			network:    "rd.neednet=1\nip=dhcp\n",
		},
		"a time without end": {
			parameters: map[string]string{"root": "live:http://s/r", "vauban.sums": sums, "vauban.timeout": "99999999999999999999"},
			want:       "1 http://s/r  " + sums + " 300",
			network:    "rd.neednet=1\nip=dhcp\n",
		},
		"another root": {
			parameters: map[string]string{"root": "/dev/sda1"},
			want:       "",
		},
		"digest required": {
			parameters: map[string]string{"root": "live:http://s/r"},
			required:   true,
			console:    "<2>vauban: stopped: no vauban.sums= on the kernel command line, and this initramfs requires it\nsystemctl --force --force halt\n",
		},
		"malformed digest": {
			parameters: map[string]string{"root": "live:http://s/r", "vauban.sums": sums[1:], "rd.emergency": "reboot"},
			console:    "<2>vauban: stopped: vauban.sums=" + sums[1:] + ": expected sha256: and 64 hexadecimal digits\nsystemctl --force --force reboot\n",
		},
		"empty digest": {
			parameters: map[string]string{"root": "live:http://s/r", "vauban.sums": "", "rd.emergency": "dance"},
			console:    "<2>vauban: stopped: vauban.sums=: expected sha256: and 64 hexadecimal digits\nsystemctl --force --force halt\n",
		},
		"no URL": {
			parameters: map[string]string{"root": "live:/dev/sda1", "rd.shell": "1"},
			console:    "<2>vauban: stopped: root=live:/dev/sda1: expected root=live:http://SERVER/PATH\nshell\nsystemctl --force --force halt\n",
		},
		"no conffs URL": {
			parameters: map[string]string{"root": "live:http://s/r", "live.updates": "c.tgz"},
			console:    "<2>vauban: stopped: live.updates=c.tgz: expected http://SERVER/PATH\nsystemctl --force --force halt\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, test.parameters)
			if test.required {
				g.write("etc/vauban/require-digest", "")
			}
			got, console := g.run(parse)
			if strings.TrimSpace(got) != test.want || console != test.console {
				t.Errorf("got %q and %q\nwant %q and %q", got, console, test.want, test.console)
			}
			network, err := os.ReadFile(filepath.Join(g.root, "etc/cmdline.d/20-vauban.conf"))
			if err != nil && !os.IsNotExist(err) || string(network) != test.network {
				t.Errorf("got %q for the network, %v; want %q", network, err, test.network)
			}
		})
	}
}

// serve serves files, and counts how often each was asked for.
func serve(t *testing.T, files map[string]string) (base string, asked map[string]int) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	asked = map[string]int{}
	handler := NewHandler(root, slog.New(slog.DiscardHandler))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[strings.TrimPrefix(r.URL.Path, "/")+" "+r.Header.Get("Range")]++
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

// queue is what dracut does: the hook, until nothing is left to be done.
const queue = `
root=$(getarg root=); . "$module/cmdline.sh"
for round in 1 2 3; do
    . "$module/fetch.sh"
    if (. "$hookdir/initqueue/finished/vauban.sh"); then echo "ready after $round"; break; fi
done
`

func TestModuleFetch(t *testing.T) {
	sumsOf := func(files map[string]string) string {
		var lines strings.Builder
		for name, content := range files {
			lines.WriteString(digest.FromString(content).Encoded() + "  " + name + "\n")
		}
		return lines.String()
	}
	good := map[string]string{"rootfs.squashfs": "rootfs", "conffs-web1.tgz": "conffs"}
	for name, test := range map[string]struct {
		sums   string
		served map[string]string
		named  string // what vauban.sums names, if not the list
		want   string
	}{
		"good":        {sums: sumsOf(good), served: good, want: "ready after 1"},
		"wrong byte":  {sums: sumsOf(good), served: map[string]string{"rootfs.squashfs": "rootfz", "conffs-web1.tgz": "conffs"}, want: "rootfs.squashfs is not the file of this release"},
		"conffs":      {sums: sumsOf(good), served: map[string]string{"rootfs.squashfs": "rootfs", "conffs-web1.tgz": "conff"}, want: "conffs-web1.tgz is not the file of this release"},
		"no line":     {sums: sumsOf(map[string]string{"rootfs.squashfs": "rootfs"}), served: good, want: "no single, well-formed line for conffs-web1.tgz"},
		"other list":  {sums: sumsOf(good), named: "another", served: good, want: "is not the list that vauban.sums= names"},
		"not there":   {sums: sumsOf(good), served: map[string]string{"rootfs.squashfs": "rootfs"}, want: "conffs-web1.tgz cannot be fetched: curl: (22) The requested URL returned error: 404"},
		"no sums yet": {named: "x", served: good, want: "SHA256SUMS cannot be fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			served := map[string]string{}
			for file, content := range test.served {
				served[file] = content
			}
			if test.sums != "" {
				served["SHA256SUMS"] = test.sums
			}
			named := test.named
			if named == "" {
				named = test.sums
			}
			base, _ := serve(t, served)
			g := newGuest(t, map[string]string{
				"root":           "live:" + base + "/rootfs.squashfs",
				"live.updates":   base + "/conffs-web1.tgz",
				"vauban.sums":    digest.FromString(named).String(),
				"vauban.timeout": "0",
			})
			output, console := g.run(queue)
			if !strings.Contains(output+console, test.want) {
				t.Errorf("got %q and %q, want %q", output, console, test.want)
			}
			if stopped := strings.Contains(console, "vauban: stopped: "); stopped == (name == "good") {
				t.Errorf("stopped: %v, with %q", stopped, console)
			}
		})
	}
}

// Without a list of digests another release may have taken the place of the one
// that an earlier try began with.
func TestModuleSplicesNothing(t *testing.T) {
	base, _ := serve(t, map[string]string{"rootfs.squashfs": "0123456789"})
	g := newGuest(t, map[string]string{"root": "live:" + base + "/rootfs.squashfs"})
	if err := os.MkdirAll(filepath.Join(g.root, "run/vauban/store"), 0o755); err != nil {
		t.Fatal(err)
	}
	g.write("run/vauban/store/image.part", "older")
	output, console := g.run("vauban_deadline=999999999\n" + queue)
	if got, err := os.ReadFile(filepath.Join(g.root, "run/vauban/store/image")); err != nil || string(got) != "0123456789" {
		t.Errorf("got %q, %v; %q and %q", got, err, output, console)
	}
}

func TestModuleResumes(t *testing.T) {
	sums := digest.FromString("0123456789").Encoded() + "  rootfs.squashfs\n"
	base, asked := serve(t, map[string]string{"rootfs.squashfs": "0123456789", "SHA256SUMS": sums})
	g := newGuest(t, map[string]string{"root": "live:" + base + "/rootfs.squashfs", "vauban.sums": digest.FromString(sums).String()})
	// An earlier try was cut off.
	if err := os.MkdirAll(filepath.Join(g.root, "run/vauban/store"), 0o755); err != nil {
		t.Fatal(err)
	}
	g.write("run/vauban/store/image.part", "01234")
	output, console := g.run("vauban_deadline=999999999\n" + queue)
	if !strings.Contains(output, "ready after 1") {
		t.Fatalf("got %q and %q", output, console)
	}
	if got, err := os.ReadFile(filepath.Join(g.root, "run/vauban/store/image")); err != nil || string(got) != "0123456789" {
		t.Errorf("got %q, %v", got, err)
	}
	if asked["rootfs.squashfs bytes=5-"] != 1 || asked["rootfs.squashfs "] != 0 {
		t.Errorf("asked for %v", asked)
	}
}

func TestModuleStartsAgain(t *testing.T) {
	// What is left of a longer file cannot be gone on with.
	sums := digest.FromString("0123456789").Encoded() + "  rootfs.squashfs\n"
	base, _ := serve(t, map[string]string{"rootfs.squashfs": "0123456789", "SHA256SUMS": sums})
	g := newGuest(t, map[string]string{"root": "live:" + base + "/rootfs.squashfs", "vauban.sums": digest.FromString(sums).String()})
	if err := os.MkdirAll(filepath.Join(g.root, "run/vauban/store"), 0o755); err != nil {
		t.Fatal(err)
	}
	g.write("run/vauban/store/image.part", "0123456789abc")
	output, console := g.run("vauban_deadline=999999999\n" + queue)
	if !strings.Contains(output, "ready after 2") || !strings.Contains(console, "trying again") {
		t.Errorf("got %q and %q", output, console)
	}
}

func TestModuleNoNetwork(t *testing.T) {
	g := newGuest(t, map[string]string{"root": "live:http://192.0.2.1/rootfs.squashfs", "vauban.timeout": "0"})
	_, console := g.run("ip() { :; }\n" + queue)
	if !strings.Contains(console, "stopped: no network: no interface has got an address in 0 s") {
		t.Errorf("got %q", console)
	}
}

// Whatever is on the kernel's command line is a value or stops the boot: the shell
// of the initramfs runs nothing of it.
func FuzzCommandLine(f *testing.F) {
	sums := digest.FromString("sums").String()
	f.Add("live:http://s/r", "http://s/c", sums, "9")
	f.Add("live:http://s/$(touch ran)", "`touch ran`", "sha256:$(touch ran)", "$((ran=1))")
	f.Add("live:https://s/r;touch ran", "http://s/c' touch ran '", "", "08")
	f.Fuzz(func(t *testing.T, root, updates, sums, timeout string) {
		g := newGuest(t, nil)
		for name, value := range map[string]string{"root": root, "live.updates": updates, "vauban.sums": sums, "vauban.timeout": timeout} {
			// As in a line of the kernel's.
			if value != "" && !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
				g.write("parameters/"+name, value)
			}
		}
		out, _ := g.run(`root=$(getarg root=); . "$module/cmdline.sh"; [ -z "$rootok" ] || echo "sums=$vauban_sums timeout=$vauban_timeout"`)
		if _, err := os.Stat(filepath.Join(g.root, "ran")); err == nil {
			t.Errorf("a command was run")
		}
		if out != "" && !commandLine.MatchString(out) {
			t.Errorf("it prints %q", out)
		}
	})
}

var commandLine = regexp.MustCompile(`^sums=(sha256:[0-9a-f]{64})? timeout=[0-9]{1,8}\n$`)

// The shell finds the same digest in a list as a program that reads it line by line.
func FuzzExpected(f *testing.F) {
	a := digest.FromString("a").Encoded()
	f.Add(a+"  f\n", "f")
	f.Add(a+" *f\n"+a+"  g", "g")
	f.Add("$(touch ran)  f\n\\\n", "f")
	f.Fuzz(func(t *testing.T, sums, name string) {
		if strings.ContainsAny(name, " \t\n/*\x00\\'") || name == "" || strings.Contains(sums, "\x00") {
			return // what no URL ends with, or no shell holds
		}
		g := newGuest(t, nil)
		g.write("sums", sums)
		g.write("parameters/name", name)
		out, _ := g.run(`vauban_expected sums "$(getarg name=)" || echo none`)
		if _, err := os.Stat(filepath.Join(g.root, "ran")); err == nil {
			t.Errorf("a command was run")
		}
		if out != "none\n" && (!hexDigest.MatchString(out) || !strings.Contains(sums, strings.TrimSpace(out))) {
			t.Errorf("%q has %q", sums, out)
		}
	})
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}\n$`)
