package layers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestCheckCgroups(t *testing.T) {
	readOnly := func(paths ...string) func(string) error {
		return func(path string) error {
			for _, p := range paths {
				if p == path {
					return unix.EROFS
				}
			}
			return nil
		}
	}
	v2 := map[string]string{"": "/sys/fs/cgroup"}
	both := map[string]string{"": "/sys/fs/cgroup/unified", "cpu": "/sys/fs/cgroup/cpu", "name=systemd": "/sys/fs/cgroup/systemd"}
	for _, test := range []struct {
		name        string
		hierarchies map[string]string
		writable    func(string) error
		want        string
	}{
		{"version 2 alone", v2, readOnly(), ""},
		{"a container's", v2, readOnly("/sys/fs/cgroup"), `none can be made in "/sys/fs/cgroup": read-only file system: in a container, pass --cgroupns host`},
		{"both versions", both, readOnly(), ""},
		{"both, where runc uses the first", both, readOnly("/sys/fs/cgroup/unified"), ""},
		{"both, one cannot be written", both, readOnly("/sys/fs/cgroup/cpu"), `none can be made in "/sys/fs/cgroup/cpu"`},
		{"version 2 elsewhere alone", map[string]string{"": "/mnt"}, readOnly(), "no cgroups are mounted"},
		{"none", nil, readOnly(), "no cgroups are mounted: mount -t cgroup2"},
	} {
		err := checkCgroups(test.hierarchies, test.writable)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want %q", test.name, err, test.want)
		}
	}
}

// Container networks for one mount cgroup v2 once more.
func TestCgroupMounts(t *testing.T) {
	const usual, more = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
		"97 24 0:26 / /run/cilium/cgroupv2 rw,relatime shared:9 - cgroup2 none rw,nsdelegate\n"
	const cpu = "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
	for text, want := range map[string]map[string]string{
		usual + more: {"": "/sys/fs/cgroup"},
		more + usual: {"": "/sys/fs/cgroup"},
		more + cpu:   {"": "/run/cilium/cgroupv2", "cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct"},
	} {
		file := filepath.Join(t.TempDir(), "mountinfo")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := cgroupMountsIn(file)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s%v (-want +got):\n%s", text, err, diff)
		}
	}
}
