package layers

import (
	"os"
	"path/filepath"
	"testing"
)

// Of the /etc/hosts that a step wrote, only our own line is taken back.
func TestReclaimHosts(t *testing.T) {
	c := &Container{options: ContainerOptions{Name: "web01"}, root: overlay{upper: t.TempDir(), lower: []string{t.TempDir()}}, lent: []lentFile{{path: "/etc/hosts"}}}
	for name, test := range map[string]struct{ content, want string }{
		"edited":                      {"127.0.0.1\tlocalhost\n" + c.hostsLine() + "192.0.2.1\tdb\n", "127.0.0.1\tlocalhost\n192.0.2.1\tdb\n"},
		"with a line for the machine": {"127.0.0.1\tlocalhost\n127.0.1.1\tweb01\n", "127.0.0.1\tlocalhost\n127.0.1.1\tweb01\n"},
		"with both":                   {c.hostsLine() + "127.0.1.1 web01\n", "127.0.1.1 web01\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(c.root.upper, "etc/hosts")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := c.reclaim(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != test.want {
				t.Errorf("%q, error %v, want %q", got, err, test.want)
			}
		})
	}
}
