//go:build integration

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// dockerOptions are those of a `docker run`, less what is this job's own.
func dockerOptions(t *testing.T, text string) []string {
	t.Helper()
	words := strings.Fields(strings.ReplaceAll(text, "\\\n", " "))
	var options []string
	for i := 0; i+1 < len(words); i++ {
		switch word := words[i]; word {
		case "--workdir", "--env":
			i++
		case "--rm":
		case "--volume":
			i++
			if !strings.HasPrefix(words[i], `"$PWD`) {
				options = append(options, word, words[i])
			}
		default:
			if strings.HasPrefix(word, "--") {
				i++
				options = append(options, word, words[i])
			}
		}
	}
	return options
}

// documented are the options of docs/ci.md.
func documented(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)\ndocker run (.*?)IMAGE vauban ci\n").FindSubmatch(page)
	if example == nil {
		t.Fatal("docs/ci.md has no example of docker run")
	}
	return dockerOptions(t, string(example[1]))
}

// job is a script and its environment, as a CI system would run it.
type job struct {
	name, script string
	env          []string
	options      []string // of its container; nil: those of docs/ci.md
}

func ciSite(t *testing.T) *site {
	t.Helper()
	return newSite(t, map[string]string{
		"config.yml": `
configuration: {ansible_repo: playbooks}
suite:
  file: base.tar
  name: base/iso
  web:
    stages: [web.yml, {init: systemd@service.yml}]
    conffs: "web*"
    export: {level: "1"}
`,
		"playbooks/inventory":   "web01\n",
		"playbooks/ansible.cfg": "[defaults]\ninventory = inventory\n",
		"playbooks/web.yml": `
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: /srv/web, content: "{{ inventory_hostname }}"}
    - shell: iptables -A INPUT -p tcp --dport 80 -j ACCEPT; rm -f /srv/null; mknod /srv/null c 1 3; chown 1:1 /srv/null
`,
		"playbooks/service.yml": `
- hosts: all
  gather_facts: false
  tasks:
    - shell: |
        printf '[Service]\nType=oneshot\nPrivateTmp=yes\nExecStart=/bin/sh -c "hostname >/srv/service"\n' >/run/systemd/system/writes.service
        systemctl start writes
`,
	})
}

// container is a job's, with the site's folder as its checkout.
func (s *site) container(t *testing.T, j job) jobContainer {
	t.Helper()
	volumes := map[string]string{"/src": s.dir, "/sys/fs/cgroup": "/sys/fs/cgroup"}
	for inside, name := range map[string]string{"/var/lib/vauban": "state", "/srv/pxe": "pxe"} {
		if err := os.MkdirAll(s.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
		volumes[inside] = s.path(name)
	}
	options := j.options
	if options == nil {
		options = documented(t)
	}
	return jobContainer{options: options, volumes: volumes, env: j.env, dir: "/src"}
}

// TestCITemplates runs every script line of the pipelines in docs/ci, in a
// container with the privileges of docs/ci.md.
func TestCITemplates(t *testing.T) {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(path))))
	defer server.Close()
	s := ciSite(t)
	for _, j := range append(gitlabJobs(t), githubJobs(t)...) {
		t.Run(j.name, func(t *testing.T) {
			j.env = append(j.env, "VAUBAN_URL="+server.URL+"/vauban")
			code, said := s.container(t, j).run(t, j.script)
			if code != 0 {
				t.Fatalf("exit code %d\n%s\n%s", code, j.script, said)
			}
			t.Log(said)
		})
	}
	files := s.published(t, "pxe/web")
	if files["rootfs/srv/service"] != "web\n" || files["conffs-web01/srv/service"] != "web01\n" {
		t.Errorf("the service wrote %q and %q", files["rootfs/srv/service"], files["conffs-web01/srv/service"])
	}
	if files["rootfs/srv/web"] != "web" || files["conffs-web01/srv/web"] != "web01" || !strings.Contains(files["names"], "initramfs.img") {
		t.Errorf("published are %q and %q of %q", files["rootfs/srv/web"], files["conffs-web01/srv/web"], files["names"])
	}
}

// scriptLines are the lines that a runner's shell gets.
type scriptLines []string

// UnmarshalYAML takes a text or a list of them.
func (s *scriptLines) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*s = scriptLines{n.Value}
		return nil
	}
	return n.Decode((*[]string)(s))
}

// gitlabJobs are those of docs/ci/gitlab-ci.yml.
func gitlabJobs(t *testing.T) (jobs []job) {
	t.Helper()
	var pipeline struct {
		Stages    []string
		Variables map[string]yaml.Node
		Default   struct {
			BeforeScript scriptLines `yaml:"before_script"`
		}
		Jobs map[string]struct {
			Stage  string
			Script scriptLines
		} `yaml:",inline"`
	}
	decodePipeline(t, "gitlab-ci.yml", &pipeline)
	env := []string{"name=web", "build_parents=yes"}
	for name, n := range pipeline.Variables {
		value := n.Value
		if n.Kind == yaml.MappingNode {
			var long struct{ Value string }
			if err := n.Decode(&long); err != nil {
				t.Fatal(err)
			}
			value = long.Value
		}
		if name != "name" && name != "build_parents" {
			env = append(env, name+"="+value)
		}
	}
	for _, stage := range pipeline.Stages {
		for name, j := range pipeline.Jobs {
			if j.Stage == stage {
				lines := append(slices.Clone(pipeline.Default.BeforeScript), j.Script...)
				jobs = append(jobs, job{name: "gitlab " + name, script: strings.Join(lines, "\n"),
					env: append(slices.Clone(env), "CI_JOB_STAGE="+stage, "GITLAB_CI=true", "CI=true")})
			}
		}
	}
	if len(jobs) < 2 {
		t.Fatalf("the pipeline has %d jobs", len(jobs))
	}
	return jobs
}

// githubJobs are those of docs/ci/github-workflow.yml: the run lines of all
// steps, one after the other.
func githubJobs(t *testing.T) (jobs []job) {
	t.Helper()
	var workflow struct {
		Jobs map[string]struct {
			Container struct {
				Options string
				Volumes []string
			}
			Env   map[string]string
			Steps []struct{ Run string }
		}
	}
	decodePipeline(t, "github-workflow.yml", &workflow)
	// As the runner evaluates them, started by hand for one host.
	expressions := strings.NewReplacer(
		"${{ inputs.name }}", "web",
		"${{ github.event_name == 'schedule' && 'yes' || '' }}", "",
		"${{ inputs.stage || 'all' }}", "conffs",
		"${{ inputs.build_parents || 'yes' }}", "no",
		"${{ inputs.branch }}", "main",
		"${{ inputs.conffs }}", "web01",
		"${{ secrets.REGISTRY_PASSWORD }}", "",
		"${{ secrets.VAULTED_SSHD_KEYS_KEY }}", "",
		"${{ secrets.GIT_TOKEN_USERNAME }}", "",
		"${{ secrets.GIT_TOKEN_PASSWORD }}", "",
	)
	for name, j := range workflow.Jobs {
		one := job{name: "github " + name, options: dockerOptions(t, j.Container.Options+" IMAGE"), env: []string{"GITHUB_ACTIONS=true", "CI=true"}}
		for _, volume := range j.Container.Volumes {
			one.options = append(one.options, "--volume", volume)
		}
		for name, value := range j.Env {
			if value = expressions.Replace(value); strings.Contains(value, "${{") && name != "VAUBAN_URL" {
				t.Errorf("%s is %s, which this test does not know", name, value)
			} else if name != "VAUBAN_URL" {
				one.env = append(one.env, name+"="+value)
			}
		}
		for _, step := range j.Steps {
			one.script += step.Run + "\n"
		}
		want, got := slices.Sorted(slices.Values(documented(t))), slices.Sorted(slices.Values(one.options))
		if !slices.Equal(want, got) {
			t.Errorf("the workflow's container has the options %q, docs/ci.md %q", got, want)
		}
		jobs = append(jobs, one)
	}
	if len(jobs) == 0 {
		t.Fatal("the workflow has no jobs")
	}
	return jobs
}

func decodePipeline(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../docs/ci", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestCIContainerWithout takes away one thing at a time that docs/ci.md asks
// for: each is missed, with words that say so.
func TestCIContainerWithout(t *testing.T) {
	s := ciSite(t)
	s.sh(t, `cp "$(command -v vauban)" .`)
	for _, tt := range []struct {
		without string // an option's value
		state   string
		said    string // by vauban
	}{
		{"", "/home/state", "a volume"}, // on the container's own root
		{"/dev/net/tun", "", "/dev/net/tun"},
	} {
		t.Run(tt.without+tt.state, func(t *testing.T) {
			options := documented(t)
			if i := slices.Index(options, tt.without); i > 0 {
				options = slices.Delete(options, i-1, i+1)
			}
			j := job{options: options, env: []string{"name=web", "build_parents=yes", "VAUBAN_STATE_DIR=" + tt.state}}
			code, said := s.container(t, j).run(t, "./vauban ci")
			if code != 1 || !strings.Contains(said, tt.said) {
				t.Errorf("exit code %d, want 1; it does not speak of %q:\n%s", code, tt.said, said)
			}
			code, said = s.container(t, j).run(t, "./vauban doctor")
			if code != 1 || !strings.Contains(said, "MISSING") || !strings.Contains(said, tt.said) {
				t.Errorf("doctor: exit code %d, want 1; it does not speak of %q:\n%s", code, tt.said, said)
			}
		})
	}
}
