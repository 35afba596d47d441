package layers

import (
	"strings"
	"testing"

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
