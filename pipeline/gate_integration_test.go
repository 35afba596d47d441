//go:build integration

package pipeline

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/config"
	"vauban/internal/testenv"
	"vauban/pipeline/plan"
	"vauban/progress"
)

const deployKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nY2FuYXJ5IG9mIHRoZSBkZXBsb3kga2V5\n-----END OPENSSH PRIVATE KEY-----\n"

// run builds without the repository of playbooks, as no stage is one.
func (w *world) run(t *testing.T, o Options, names ...string) (r *Runner, failures string, err error) {
	t.Helper()
	o.Config, o.NoPublish = w.config(t), true
	p, err := NewPlan(o.Config, plan.Request{Names: names, Stage: plan.Rootfs})
	if err != nil {
		t.Fatal(err)
	}
	r = w.runner(t, o, p)
	r.Ansible = nil
	outcomes, err := r.Run(t.Context())
	for _, outcome := range outcomes {
		if outcome.Err != nil {
			failures += outcome.Err.Error() + "\n"
		}
	}
	return r, failures, err
}

// TestBaseWithSecretIsRefused: a run of a base alone knows the deploy key and a
// vault password too.
func TestBaseWithSecretIsRefused(t *testing.T) {
	w := newWorld(t, map[string]string{"x": ""})
	base, err := filepath.Abs(testenv.BaseTar(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.dir, "config.yml"), "own:\n  file: "+base+"\n  name: own/iso\n")
	write(t, filepath.Join(w.dir, "deploy"), deployKey)
	write(t, filepath.Join(w.dir, "vault.pass"), "the canary of the vault\n")
	settings := config.Settings{AnsibleRepo: "https://git.example.com/x.git", AnsibleSSHKey: filepath.Join(w.dir, "deploy"), AnsibleExtraArgs: "--vault-password-file vault.pass"}
	for name, tt := range map[string]struct{ line, want string }{
		"the deploy key":   {"RUN printf '%s\\n' '" + strings.ReplaceAll(strings.TrimSpace(deployKey), "\n", "' '") + "' >/etc/leak", "/etc/leak (ANSIBLE_SSH_KEY)"},
		"a vault password": {"RUN echo the canary of the vault >/etc/leak", `/etc/leak (the vault password in "` + filepath.Join(w.dir, "vault.pass")},
		"nothing":          {"RUN echo the canary >/etc/leak", ""},
	} {
		write(t, filepath.Join(w.dir, "Dockerfiles/Dockerfile.base"), "ARG SOURCE\nFROM ${SOURCE}\n"+tt.line+"\n")
		r, failures, err := w.run(t, Options{Settings: settings}, "own")
		if (err == nil) != (tt.want == "") || !strings.Contains(failures, tt.want) {
			t.Errorf("%s: %v: %s", name, err, failures)
		}
		if _, err := w.engine.Image(t.Context(), "own/iso:"+r.Tag); (err == nil) != (tt.want == "") {
			t.Errorf("%s: the image is there: %v", name, err == nil)
		}
		if strings.Contains(failures, "canary of") {
			t.Errorf("%s: the error shows the secret: %s", name, failures)
		}
	}
}

// TestContextWithoutSecrets copies all that is next to config.yml into a layer.
func TestContextWithoutSecrets(t *testing.T) {
	w := newWorld(t, map[string]string{"x": ""})
	stage := strings.NewReplacer("[playbook_master.yml]", "['Dockerfile:Dockerfile']", `    conffs: "host*"`, "").Replace(worldConfig)
	write(t, filepath.Join(w.dir, "config.yml"), stage)
	for name, text := range map[string]string{".secrets.env": "REGISTRY_PASSWORD=x", "ansible-ro": deployKey, "vault/eu/host01.tar.gpg": "gpg", "apt.auth": "machine a login b password c",
		"app/main": "hello", "Dockerfile": "ARG SOURCE\nFROM ${SOURCE}\nCOPY . /srv/app\n"} {
		write(t, filepath.Join(w.dir, name), text)
	}
	if err := os.Link(filepath.Join(w.dir, "ansible-ro"), filepath.Join(w.dir, "app/key")); err != nil {
		t.Fatal(err)
	}
	settings := config.Settings{AnsibleSSHKey: filepath.Join(w.dir, "ansible-ro"), AptAuthFile: filepath.Join(w.dir, "apt.auth")}
	collected := progress.NewCollector()
	r, failures, err := w.run(t, Options{Settings: settings, Progress: progress.New(collected)}, "master-test")
	if err != nil {
		t.Fatalf("%v: %s", err, failures)
	}
	img, err := w.engine.Image(t.Context(), "master-test:"+r.Tag)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := w.engine.OpenLayer(t.Context(), img.Manifest.Layers[len(img.Manifest.Layers)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var got []string
	for entries := tar.NewReader(layer); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if rest, ok := strings.CutPrefix(h.Name, "srv/app/"); ok && h.Typeflag != tar.TypeDir && !strings.HasPrefix(rest, "playbooks/") {
			got = append(got, rest)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"Dockerfile", "app/main", "config.yml"}, got); diff != "" {
		t.Errorf("in the layer, want (-), got (+): %s", diff)
	}
	const notice = "Dockerfile:Dockerfile: left out of the build context: .secrets.env (vauban's secrets), ansible-ro (the deploy key, ANSIBLE_SSH_KEY), app/key (the deploy key, ANSIBLE_SSH_KEY), " +
		"apt.auth (apt's credentials, APT_AUTH_FILE), state (vauban's state directory), vault (the vault of hosts' identities)"
	var notices []string
	for _, task := range r.Summary().Tasks {
		for _, n := range task.Notices {
			notices = append(notices, n.Text)
		}
	}
	if !slices.Equal(notices, []string{notice}) {
		t.Errorf("notices %q, want %q", notices, notice)
	}

	write(t, filepath.Join(w.dir, "Dockerfile"), "ARG SOURCE\nFROM ${SOURCE}\nRUN touch /x\nCOPY .secrets.env /srv/\n")
	_, failures, err = w.run(t, Options{Settings: settings}, "master-test")
	if err == nil || failures != "" || !strings.Contains(err.Error(), "config.yml:9") || !strings.Contains(err.Error(), `".secrets.env" is left out of every build context (vauban's secrets)`) {
		t.Errorf("COPY of secrets by name, before anything is built: %v: %s", err, failures)
	}
}
