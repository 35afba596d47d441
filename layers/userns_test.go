package layers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckUserNamespaces(t *testing.T) {
	const (
		v1     = "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
		v2     = "31 20 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		limits = "sys/user/max_user_namespaces"

		all     = "Name:\tvauban\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n"
		runners = "Name:\tvauban\nCapEff:\t00000000a82435fb\nCapBnd:\t000001ffffffffff\n"
	)
	for name, test := range map[string]struct {
		files map[string]string
		want  string // "" is no error
	}{
		"both versions": {map[string]string{limits: "100\n", "self/status": all, "self/mountinfo": v1 + v2}, ""},
		"version 2":     {map[string]string{limits: "100\n", "self/status": all, "self/mountinfo": v2}, ""},
		"version 1":     {map[string]string{limits: "100\n", "self/status": all, "self/mountinfo": v1}, "mount -t cgroup2"},
		"a runner":      {map[string]string{limits: "100\n", "self/status": runners, "self/mountinfo": v2}, "--cap-add SYS_PTRACE"},
		"switched off":  {map[string]string{limits: "0\n", "self/mountinfo": v2}, "sysctl -w user.max_user_namespaces"},
		"none":          {map[string]string{"self/mountinfo": v2}, "CONFIG_USER_NS"},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			for path, content := range test.files {
				path = filepath.Join(proc, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := checkUserNamespaces(proc)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}
