//go:build integration

package layers_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/layers"
	"vauban/layers/enter"
)

// recording makes an image in which every program's loader, and the programs
// that lead into containers elsewhere, write down the rights they have.
func recording(t *testing.T, e *layers.Engine, base layers.Image) layers.Image {
	t.Helper()
	recorder := filepath.Join(t.TempDir(), "recorder")
	build := exec.Command("go", "build", "-o", recorder, "./testdata/recorder")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	program := readFile(t, recorder)
	results, err := e.Apply(t.Context(), withInput{program, `set -e
		cat >/srv/recorder; chmod 755 /srv/recorder
		for name in setpriv env nsenter sh python3 su unshare; do
			cp /srv/recorder /usr/local/sbin/$name
			ln -s /usr/bin/$name /usr/local/sbin/$name.real
		done
		echo /srv/no-such-library.so >/etc/ld.so.preload
		echo 'passwd: canary' >/etc/nsswitch.conf
		touch /srv/recorded; chmod 666 /srv/recorded
		loader=$(readlink -f /lib64/ld-linux-x86-64.so.2)
		cp "$loader" /srv/ld.real
		cp /srv/recorder /srv/ld.new
		mv /srv/ld.new "$loader"`}, change, target("hostile", base))
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	return results[0].Image
}

// withInput is a script that reads a file from its standard input.
type withInput struct{ input, script string }

func (s withInput) Key(context.Context, string) (digest.Digest, error) {
	return digest.FromString(s.script), nil
}

func (s withInput) Run(ctx context.Context, containers []*layers.Container) error {
	var out bytes.Buffer
	err := containers[0].Exec(ctx, layers.Process{Args: []string{"/bin/sh", "-ec", s.script}, Stdin: strings.NewReader(s.input), Stdout: &out, Stderr: &out})
	if err != nil {
		return fmt.Errorf("%w: %s", err, out.String())
	}
	return nil
}

// record is what one process of the image saw of itself.
type record struct {
	argv          string
	cgroup, first string // its own, and that of process 1
	status        map[string]string
	fds, escapes  []string
}

func parseRecords(text string) []record {
	var all []record
	for _, block := range strings.Split(text, "end\n") {
		r := record{status: map[string]string{}}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
			switch key {
			case "argv":
				r.argv = value
			case "cgroup":
				r.cgroup = value
			case "first":
				r.first = value
			case "fd":
				r.fds = append(r.fds, value)
			case "escape":
				r.escapes = append(r.escapes, value)
			default:
				r.status[strings.TrimSuffix(key, ":")] = value
			}
		}
		if r.argv != "" {
			all = append(all, r)
		}
	}
	return all
}

// Whatever of an image is executed or loaded first has no more than the
// container's rights, on every way in.
func TestFirstProcessIsConfined(t *testing.T) {
	e, base := shared.use(t)
	img := recording(t, e, base)
	live(t, e, target("victim", img), func(c *layers.Container) {
		recorded := func() (text string) {
			if err := c.Inside(func() error {
				data, err := os.ReadFile("/srv/recorded")
				text = string(data)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return text
		}
		tries := 0
		check := func(way, own string, at int) {
			t.Helper()
			records := parseRecords(recorded()[at:])
			if len(records) == 0 {
				t.Errorf("%s: nothing of the image recorded itself", way)
			}
			for _, r := range records {
				tries++
				for _, wrong := range r.wrong(own) {
					t.Errorf("%s: %q: %s", way, r.argv, wrong)
				}
			}
		}
		check("filling /run", "", 0) // process 1 is vauban's, as is what links
		shell := []string{"/bin/sh", "-c", "true"}
		user := enter.Options{User: &enter.User{UID: 33, GID: 33}, Env: []string{"LD_PRELOAD=/srv/x.so"}}
		for way, words := range map[string][]string{
			"ansible":       shell,
			"Mitogen":       {"-e", "ANSIBLE_ASYNC_DIR=/tmp", "-e", "PATH=/usr/local/sbin:/usr/bin:/bin", "python3", "-c", "pass"},
			"shell":         append(enter.Options{Group: true, Env: []string{"TERM=dumb"}}.Words(), "sh", "-c", "true"),
			"another user":  append(user.Words(), shell...),
			"a folder":      append(enter.Options{Dir: "/srv"}.Words(), "env", "true"),
			"no privileges": append(enter.Options{NoNewPrivileges: true}.Words(), "setpriv", "true"),
			"nsenter":       {"nsenter", "--version"},
			"a preload":     append(enter.Options{Env: []string{"LD_PRELOAD=/srv/x.so", "LD_LIBRARY_PATH=/srv"}}.Words(), "unshare", "--version"),
		} {
			at := len(recorded())
			argv := slices.Concat(c.Enter(), words)
			// What a caller has open is not for the image.
			canary, err := os.Open(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.ExtraFiles = []*os.File{canary}
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Run(); err != nil {
				t.Errorf("%s: %v: %s", way, err, said.String())
			}
			canary.Close()
			own := ""
			if way == "another user" {
				own = noCapabilities
			}
			check(way, own, at)
		}
		at := len(recorded())
		mustSh(t, c, "true")
		if err := c.Exec(t.Context(), layers.Process{Args: []string{"id"}, User: "www-data"}); err != nil {
			t.Error(err)
		}
		check("Exec", "", at)
		t.Logf("processes of the image looked at: %d", tries)
	})
}

const noCapabilities = "0000000000000000"

// containerCapabilities are those of testCapabilities.
const containerCapabilities = "00000000a80435fb" // and NET_ADMIN

// wrong lists what a process has that it must not have. own are its
// capabilities, "" where they depend on the user. runc put process 1 where the
// container is.
func (r record) wrong(own string) []string {
	var found []string
	for key, want := range map[string]string{"CapBnd": containerCapabilities, "CapInh": noCapabilities, "CapAmb": noCapabilities, "Seccomp": "2"} {
		if r.status[key] != want {
			found = append(found, fmt.Sprintf("%s is %s, want %s", key, r.status[key], want))
		}
	}
	for _, key := range []string{"CapPrm", "CapEff"} {
		if got := r.status[key]; got != noCapabilities && (own != "" || got != containerCapabilities) {
			found = append(found, fmt.Sprintf("%s is %s", key, got))
		}
	}
	if r.cgroup != r.first || r.first == "" || strings.Contains(r.cgroup, "/..") {
		found = append(found, "its cgroups are "+r.cgroup)
	}
	for _, fd := range r.fds {
		number, to, _ := strings.Cut(fd, " ")
		if !slices.Contains([]string{"0", "1", "2"}, number) || !isOfContainer(to) {
			found = append(found, "it has open "+fd)
		}
	}
	for _, escape := range r.escapes {
		found = append(found, "it could "+escape)
	}
	return found
}

// isOfContainer says whether an open file is one that the container may have:
// what a caller gives it, or a file inside.
func isOfContainer(file string) bool {
	return strings.HasPrefix(file, "pipe:") || file == "/dev/null" || strings.HasPrefix(file, "/run/vauban/")
}
