package plan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/config"
)

const tree = `
configuration:
  never_upload: [hidden]
suite:
  release: bookworm
  name: base/iso
  root:
    stages: [a.yml]
    web:
      stages: [b.yml]
      conffs: "web*"
      app:
        stages: [c.yml]
        conffs: "app*"
    hidden:
      stages: [d.yml]
`

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestNew holds the rules of the article: the parent of conffs or an initramfs
// is its rootfs, that of a rootfs is its master's parent, and with all the
// ancestors get all too.
func TestNew(t *testing.T) {
	cfg := load(t, tree)
	for _, tt := range []struct {
		name    string
		request Request
		want    string
	}{
		{"a rootfs alone", Request{Names: []string{"web"}, Stage: Rootfs},
			"rootfs web, squashfs web, release web"},
		{"conffs alone", Request{Names: []string{"web"}, Stage: Conffs},
			"conffs web, release web"},
		{"an initramfs alone", Request{Names: []string{"web"}, Stage: Initramfs},
			"kernel web, release web"},
		{"all", Request{Names: []string{"web"}, Stage: All},
			"rootfs web, squashfs web, kernel web, conffs web, release web"},
		{"all of a master without hosts", Request{Names: []string{"root"}, Stage: All},
			"rootfs root, squashfs root, kernel root, release root"},
		{"the parent of conffs is the rootfs", Request{Names: []string{"web"}, Stage: Conffs, Parents: 1},
			"rootfs web, squashfs web, conffs web, release web"},
		{"the next parent is the rootfs above", Request{Names: []string{"web"}, Stage: Conffs, Parents: 2},
			"rootfs root, squashfs root, release root, rootfs web, squashfs web, conffs web, release web"},
		{"the parent of an initramfs is the rootfs", Request{Names: []string{"web"}, Stage: Initramfs, Parents: 1},
			"rootfs web, squashfs web, kernel web, release web"},
		{"the parent of a rootfs is the rootfs above", Request{Names: []string{"app"}, Stage: Rootfs, Parents: 1},
			"rootfs web, squashfs web, release web, rootfs app, squashfs app, release app"},
		{"the base is the last parent", Request{Names: []string{"root"}, Stage: Rootfs, Parents: 1},
			"base base/iso, rootfs root, squashfs root, release root"},
		{"more parents than there are", Request{Names: []string{"root"}, Stage: Rootfs, Parents: 9},
			"base base/iso, rootfs root, squashfs root, release root"},
		{"all parents", Request{Names: []string{"app"}, Stage: Rootfs, Parents: AllParents},
			"base base/iso, rootfs root, squashfs root, release root, rootfs web, squashfs web, release web, rootfs app, squashfs app, release app"},
		{"with all the parents get all", Request{Names: []string{"app"}, Stage: All, Parents: 1},
			"rootfs web, squashfs web, kernel web, conffs web, release web, rootfs app, squashfs app, kernel app, conffs app, release app"},
		{"children", Request{Names: []string{"web"}, Stage: Rootfs, Children: true},
			"rootfs web, squashfs web, release web, rootfs app, squashfs app, release app"},
		{"a base", Request{Names: []string{"suite"}, Stage: Rootfs},
			"base base/iso"},
		{"a base and all below", Request{Names: []string{"base/iso"}, Stage: Rootfs, Children: true},
			"base base/iso, rootfs root, squashfs root, release root, rootfs web, squashfs web, release web, rootfs app, squashfs app, release app, rootfs hidden"},
		{"a master that is never published", Request{Names: []string{"hidden"}, Stage: All},
			"rootfs hidden, kernel hidden"},
		{"a shared ancestor is built once", Request{Names: []string{"web", "hidden"}, Stage: Rootfs, Parents: 1},
			"rootfs root, squashfs root, release root, rootfs web, squashfs web, release web, rootfs hidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := New(cfg, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			seen := map[*Task]bool{}
			for _, task := range plan.Tasks {
				for _, need := range task.Needs {
					if !seen[need] {
						t.Errorf("%s stands before %s, which it needs", task, need)
					}
				}
				seen[task] = true
				got = append(got, task.String())
			}
			if diff := cmp.Diff(strings.Split(tt.want, ", "), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNewWaitsForWhatItNeeds(t *testing.T) {
	plan, err := New(load(t, tree), Request{Names: []string{"app"}, Stage: All, Parents: AllParents})
	if err != nil {
		t.Fatal(err)
	}
	for task, want := range map[string]string{
		"rootfs root":  "base base/iso",
		"rootfs app":   "rootfs web",
		"squashfs app": "rootfs app",
		"conffs app":   "rootfs app",
		"release app":  "squashfs app, kernel app, conffs app",
	} {
		for _, got := range plan.Tasks {
			if got.String() != task {
				continue
			}
			var needs []string
			for _, need := range got.Needs {
				needs = append(needs, need.String())
			}
			if strings.Join(needs, ", ") != want {
				t.Errorf("%s needs %v, want %s", task, needs, want)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	cfg := load(t, tree)
	for _, tt := range []struct {
		request Request
		want    string
	}{
		{Request{Names: []string{"nobody"}, Stage: All}, "nobody"},
		{Request{Names: []string{"root"}, Stage: Conffs}, "has no conffs"},
		{Request{Names: []string{"suite"}, Stage: Conffs}, "is a base"},
	} {
		if _, err := New(cfg, tt.request); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want one about %q", tt.request, err, tt.want)
		}
	}
}

// TestNotices: what all leaves out is told of what was asked for, and not of
// each ancestor.
func TestNotices(t *testing.T) {
	cfg := load(t, tree)
	for name, want := range map[string][]string{"web": nil, "hidden": {`master "hidden" has no ` + "`conffs:`, so no hosts are built"}} {
		p, err := New(cfg, Request{Names: []string{name}, Stage: All, Parents: AllParents})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p.Notices); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
