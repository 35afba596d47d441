package boot

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

var update = flag.Bool("update", false, "write the golden files")

func testRelease() Release {
	return Release{
		Master: "master-12-web",
		Name:   "2026-11-20T211348Z",
		Path:   "master-12-web/releases/2026-11-20T211348Z",
		Sums:   digest.FromString("sums"),
		Hosts:  []string{"web1.example.com", "web2.example.com"},

		Parameters: []string{"audit=1", "cgroup_enable=memory"},
	}
}

func TestEntryGolden(t *testing.T) {
	for _, test := range []struct {
		golden, host, base string
		write              func(Entry, io.Writer) error
	}{
		{"host.ipxe", "web1.example.com", "http://192.0.2.1/pxe", Entry.WriteIPXE},
		{"master.ipxe", "", "https://boot.example.com/", Entry.WriteIPXE},
		{"host.grub", "web1.example.com", "http://192.0.2.1/pxe", func(e Entry, w io.Writer) error {
			// GRUB reads kernel and initramfs from where it was loaded itself.
			e.Kernel, e.Initramfs = "/master-12-web/vmlinuz", "/master-12-web/initramfs.img"
			return e.WriteGRUB(w)
		}},
	} {
		t.Run(test.golden, func(t *testing.T) {
			entry, err := NewEntry(testRelease(), test.host, test.base)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			if err := test.write(entry, &got); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", test.golden)
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s differs (-want +got); -update writes it:\n%s", file, diff)
			}
		})
	}
}

func TestEntryUnknownHost(t *testing.T) {
	_, err := NewEntry(testRelease(), "web9", "http://192.0.2.1")
	if err == nil || !strings.Contains(err.Error(), "web1.example.com, web2.example.com") {
		t.Errorf("got %v, want an error that names the hosts there are", err)
	}
}

func TestEntryTitle(t *testing.T) {
	entry, err := NewEntry(testRelease(), "", "http://192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	entry.Title = "it's\nchain http://203.0.113.1/"
	var script strings.Builder
	if err := entry.WriteIPXE(&script); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(script.String(), "\nchain") {
		t.Errorf("a title ended its comment:\n%s", &script)
	}
}

func TestEntryKernelRefused(t *testing.T) {
	entry, err := NewEntry(testRelease(), "", "http://192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	entry.Kernel = "/vmlinuz' ; reboot '"
	if err := entry.WriteGRUB(io.Discard); err == nil {
		t.Error("a kernel's path that ends its quotes was written")
	}
}
