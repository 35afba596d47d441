package boot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// writeTree makes a published tree with two releases of the master web, of
// which r2 is current.
func writeTree(t *testing.T) (tree, sums string) {
	t.Helper()
	tree = t.TempDir()
	for _, release := range []string{"r1", "r2"} {
		dir := filepath.Join(tree, "web", "releases", release)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		sums = "00  rootfs.squashfs\n11  conffs-b.example.com.tgz\n22 *conffs-a.tgz\n33  vmlinuz\n"
		for name, content := range map[string]string{
			sumsFile: sums, rootfsFile: "rootfs of " + release, "conffs-a.tgz": "a", "conffs-b.example.com.tgz": "b",
			kernelFile: "kernel", initramfsFile: "initramfs", manifestFile: `{"rootfs": {"parameters": ["audit=1", "quiet"]}}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("releases/r2", filepath.Join(tree, "web", "current")); err != nil {
		t.Fatal(err)
	}
	return tree, sums
}

func TestOpenRelease(t *testing.T) {
	tree, sums := writeTree(t)
	for name, want := range map[string]string{"": "r2", "r1": "r1", "r2": "r2"} {
		got, err := OpenRelease(tree, "web", name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Release{
			Master: "web",
			Name:   want,
			Path:   "web/releases/" + want,
			Sums:   digest.FromString(sums),
			Hosts:  []string{"a", "b.example.com"},

			Parameters: []string{"audit=1", "quiet"},
		}, got); diff != "" {
			t.Errorf("release %q (-want +got):\n%s", name, diff)
		}
	}
}

func TestOpenReleaseRefused(t *testing.T) {
	tree, _ := writeTree(t)
	for _, test := range []struct{ master, release, want string }{
		{"db", "", "build and publish it first"},
		{"web", "r3", "opening release"},
		{"../web", "", "not a name below"},
		{"web", "../r1", "not a name below"},
	} {
		_, err := OpenRelease(tree, test.master, test.release)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s/%s: got %v, want an error with %q", test.master, test.release, err, test.want)
		}
	}
}

func FuzzHostsOf(f *testing.F) {
	f.Add([]byte("11  conffs-a.tgz\n"))
	f.Add([]byte("conffs-.tgz conffs-x.tgz"))
	f.Fuzz(func(t *testing.T, sums []byte) {
		for _, host := range hostsOf(sums) {
			if host == "" || !strings.Contains(string(sums), conffsFile(host)) {
				t.Errorf("host %q is in none of the lines %q", host, sums)
			}
		}
	})
}

// What a manifest.json wants on the kernel's command line is taken only where the
// list has it, whichever version wrote it.
func FuzzParameters(f *testing.F) {
	f.Add([]byte(`{"rootfs":{"parameters":["console=ttyS0","init=/bin/sh","quiet"]}}`), "net.ifnames")
	f.Add([]byte(`{"rootfs":[]}`), "*")
	f.Fuzz(func(t *testing.T, manifest []byte, allowed string) {
		parameters, err := parametersIn(manifest)
		if err != nil {
			return
		}
		extras, refused := Release{Parameters: parameters, Allowed: []string{allowed}}.Extras()
		if len(extras)+len(refused) > len(parameters) {
			t.Errorf("%d taken and %d refused of %d", len(extras), len(refused), len(parameters))
		}
		for _, p := range extras {
			name, _, _ := strings.Cut(p, "=")
			if strings.ContainsAny(p, " \n\t\"'\\$") || name == "init" || name == "root" || strings.HasPrefix(name, "rd.") || strings.HasPrefix(name, "vauban.") {
				t.Errorf("took %q", p)
			}
		}
	})
}
