//go:build integration

package pipeline

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/pipeline/identities"
	"vauban/pipeline/plan"
	"vauban/progress"
	"vauban/registry"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is a machine with a base that is built already, a repository of
// playbooks and a configuration.
type world struct {
	dir      string
	engine   *layers.Engine
	registry *registry.Registry
	base     layers.Image
}

// worldConfig packs no squashfs: that would take most of a test's time.
const worldConfig = `
configuration:
  ansible_repo: playbooks
  never_upload: [master-test]
suite:
  release: bookworm
  name: base/iso
  master-test:
    stages: [playbook_master.yml]
    conffs: "host*"
`

// newWorld makes a world of the playbooks and other files of the repository.
func newWorld(t testing.TB, files map[string]string) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	write(t, filepath.Join(w.dir, "config.yml"), worldConfig)
	for name, text := range files {
		write(t, filepath.Join(w.dir, "playbooks", name), text)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "."},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=all"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = filepath.Join(w.dir, "playbooks")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	w.engine, w.base = testenv.EngineWithBase(t, filepath.Join(w.dir, "state"))
	var err error
	w.registry, err = registry.Open(t.Context(), registry.Options{StateDir: filepath.Join(w.dir, "state"), BlobPath: w.engine.BlobPath})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.registry.Close() })
	r := w.runner(t, Options{}, &plan.Plan{})
	if err := r.job(nil).keep(t.Context(), "base/iso", w.base); err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runner prepares a run of a plan; o holds what is special about it.
func (w *world) runner(t testing.TB, o Options, p *plan.Plan) *Runner {
	t.Helper()
	return w.prepare(t, o, p, New)
}

func (w *world) prepare(t testing.TB, o Options, p *plan.Plan, newRunner func(context.Context, Options, *plan.Plan) (*Runner, error)) *Runner {
	t.Helper()
	if o.Config == nil {
		o.Config = w.config(t)
	}
	o.Engine, o.Registry, o.StateDir, o.Version = w.engine, w.registry, filepath.Join(w.dir, "state"), "test"
	o.Settings.UploadDir = filepath.Join(w.dir, "pxe")
	o.Log = testenv.Log(t)
	if o.Progress == nil {
		o.Progress = progress.New(progress.Plain{W: t.Output()})
	}
	var err error
	o.Ansible, err = ansible.Open(t.Context(), ansible.Options{
		Repository: repository.Options{Repo: filepath.Join(w.dir, "playbooks"), StateDir: o.StateDir, Dir: w.dir, Environ: os.Environ(), Log: o.Log},
		Strategy:   o.Config.Configuration.AnsibleStrategy,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Ansible.Close() })
	if o.Identities == nil {
		o.Identities = identities.None()
	}
	r, err := newRunner(t.Context(), o, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) config(t testing.TB) *config.Config {
	t.Helper()
	cfg, err := config.Load(filepath.Join(w.dir, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// build plans a request and runs it.
func (w *world) build(t testing.TB, o Options, request plan.Request) (*Runner, []Outcome, error) {
	t.Helper()
	o.Config = w.config(t)
	p, err := plan.New(o.Config, request)
	if err != nil {
		t.Fatal(err)
	}
	r := w.runner(t, o, p)
	outcomes, err := r.Run(t.Context())
	return r, outcomes, err
}
