package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/pipeline"
	"vauban/pipeline/plan"
)

// parseStage reads a command line of `vauban stage` as the program does, and
// stops where it would begin to work.
func parseStage(t *testing.T, args []string) (*config.Config, *plan.Plan, *stageTree, error) {
	t.Helper()
	cmd, f := newStage(&app{})
	var tree *stageTree
	cmd.RunE = func(_ *cobra.Command, stages []string) (err error) {
		f.stages, f.initramfsIsDefault = stages, !cmd.Flags().Changed("initramfs")
		tree, err = f.tree(func(path string) bool { return strings.HasPrefix(path, "here") })
		return err
	}
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.Execute(); err != nil {
		return nil, nil, nil, err
	}
	cfg, err := config.Parse("the command line", ".", tree.text)
	if err != nil {
		return nil, nil, tree, err
	}
	plan, err := pipeline.NewPlan(cfg, tree.requests...)
	return cfg, plan, tree, err
}

func TestStageTree(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   string // words, divided by spaces
		plan   string // kinds and subjects
		given  map[string]string
		stages string // of a host, or of the image when it has no hosts
		err    string
	}{
		{
			name: "the defaults",
			args: "-s base/iso a.yml b.yml",
			plan: "rootfs master-test, squashfs master-test, kernel master-test, release master-test", stages: "a.yml b.yml",
			given: map[string]string{"base/iso": "base/iso"},
		},
		{
			name: "everything",
			args: "--source-image base/iso:2026-11-20T211348Z --name web --ansible-host web* --inherited base.yml web.yml",
			plan: "rootfs web, squashfs web, kernel web, conffs web, release web", stages: "base.yml web.yml",
			given: map[string]string{"base/iso": "base/iso:2026-11-20T211348Z"},
		},
		{
			name: "no upload", args: "-s base -n web -u no a.yml", plan: "rootfs web, kernel web", stages: "a.yml",
			given: map[string]string{"base": "base"},
		},
		{
			name: "conffs of an image that is there",
			args: "-s web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef -n web -r no -i no -a web* base.yml web.yml",
			plan: "conffs web, release web", stages: "base.yml web.yml",
			given: map[string]string{"web": "web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		},
		{name: "conffs of another image", args: "-s Web -n test -r no -i no -a x", plan: "conffs test, release test", given: map[string]string{"test": "web"}},
		{name: "an initramfs alone", args: "-n web -r no -l no", plan: "kernel web, release web"},
		{
			name: "a base and a master", args: "--iso here/debian-12.raw --name web --initramfs no web.yml",
			plan: "base debian-12/iso, rootfs web, squashfs web, release web", stages: "web.yml",
		},
		{name: "a base alone", args: "-f bookworm -n bookworm/iso -l no", plan: "base bookworm/iso"},
		{name: "a base with another name", args: "-f suite -n b --set base.release=bookworm --set base.name=b s.yml", plan: "base b"},
		{name: "both sources", args: "-s base -f here.raw -n web -i no", plan: "rootfs web, squashfs web, release web", given: map[string]string{"base": "base"}},
		{
			name: "a stage with systemd", args: "-s base,init: systemd@a.yml", plan: "rootfs master-test, squashfs master-test, kernel master-test, release master-test",
			stages: "init: systemd@a.yml", given: map[string]string{"base": "base"},
		},
		{name: "no source", args: "a.yml", err: "--source-image IMAGE or --iso FILE"},
		{name: "conffs without an image", args: "-r no -a web*", err: "no image to build conffs on"},
		{name: "nothing to build", args: "-s base -r no -i no", err: "nothing is to be built"},
		{name: "another word", args: "-s base --upload maybe", err: "use yes or no"},
		{name: "true is another word", args: "-s base --rootfs=true", err: "use yes or no"},
		{name: "a flag without its value", args: "-s base --rootfs", err: "needs an argument"},
		{name: "on itself", args: "-s web:latest -n web", err: "not built on itself"},
		{name: "no file", args: "-f ./there.raw", err: "is not a file"},
		{name: "no suite", args: "-f Bookworm", err: "is not a suite"},
		{name: "a stage that is none", args: "-s base web.txt", err: `the command line: "web.txt" is not a stage`},
		{name: "a name that is none", args: "-s base -n a:b", err: `"a:b"`},
		{name: "an empty name", args: "-s,base,-n,", err: "--name is empty"},
		{name: "hosts of a base", args: "-f bookworm -n bookworm/iso -a web*", err: "is the base itself"},
		{name: "a base's initramfs", args: "-f bookworm -n bookworm/iso -i yes", err: "is the base itself"},
		{name: "inherited from nothing", args: "-f bookworm --inherited a.yml", err: "--inherited"},
		{name: "a base's key for an image", args: "-s base --set base.arch=arm64", err: "base.arch"},
		{name: "a set without a scope", args: "-s base --set arch=arm64", err: "base.KEY=VALUE"},
		{name: "a set that is no YAML", args: "-s base --set master.groups=[", err: "not YAML"},
		{name: "a set of no key", args: "-s base --set master.grups=[a]", err: `did you mean "groups"?`},
		{name: "a set of a wrong kind", args: "-s base --set master.groups=a", err: "it must be a list"},
		{name: "a secret", args: "-s base --set configuration.registry_password=x", err: "is a secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := strings.Fields(tt.args)
			if strings.Contains(tt.args, ",") && !strings.Contains(tt.args, "[") {
				args = strings.Split(tt.args, ",")
				args = append(strings.Fields(args[0]), args[1:]...)
			}
			cfg, plan, tree, err := parseStage(t, args)
			if tt.err != "" || err != nil {
				if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			var tasks, stages []string
			for _, task := range plan.Tasks {
				tasks = append(tasks, task.String())
			}
			if got := strings.Join(tasks, ", "); got != tt.plan {
				t.Errorf("it plans %s, want %s", got, tt.plan)
			}
			for _, m := range cfg.Masters() {
				all := m.Stages
				if m.Conffs != "" {
					all = m.HostStages(cfg)
				}
				for _, s := range all {
					stages = append(stages, s.Raw)
				}
			}
			if got := strings.Join(stages, " "); got != tt.stages {
				t.Errorf("the stages are %q, want %q", got, tt.stages)
			}
			if diff := cmp.Diff(tt.given, tree.given, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const linesConfig = `
configuration:
  ansible_repo: playbooks
  ignore_stage_in_conffs: [packages.yml]
  always_apply_stage_in_conffs: [hostname.yml]
  never_upload: [inner]
  conffs_exclude: ["var/lib/it's/*"]
suite:
  release: bookworm
  name: base/iso
  mirror: http://deb.example.com/debian
  stages: [prepare.yml]
  inner:
    stages: [packages.yml, old@base.yml]
    branch: fix/base
    master-web:
      stages: [web.yml, packages.yml, "Dockerfile:docker/Dockerfile"]
      conffs: "web*"
      branch: fix/web
      groups: [web]
      facts: {cores: 8, name: it's}
      network: host
    other:
      stages: [other.yml]
      branch: fix/other
`

func TestStageLines(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags buildFlags
		of    []string
		want  []string
	}{
		{
			"the whole line of ancestors", buildFlags{stage: "all", parents: "yes", commitVault: true}, []string{"master-web"},
			[]string{
				`vauban --state /state stage --iso suite --name base/iso --rootfs yes --initramfs no --conffs no --upload no --set base.mirror=http://deb.example.com/debian --set base.name=base/iso --set base.release=bookworm --set configuration.always_apply_stage_in_conffs='["hostname.yml"]' --set configuration.ansible_repo=playbooks --set configuration.conffs_exclude='["var/lib/it'\''s/*"]' prepare.yml`,
				`vauban --state /state stage --source-image base/iso --name inner --rootfs yes --initramfs yes --conffs no --upload no --branch fix/base --set configuration.always_apply_stage_in_conffs='["hostname.yml"]' --set configuration.ansible_repo=playbooks --set configuration.conffs_exclude='["var/lib/it'\''s/*"]' packages.yml old@base.yml`,
				`vauban --state /state stage --source-image inner --name master-web --rootfs yes --initramfs yes --conffs yes --upload yes --ansible-host 'web*,!inner,!other' --inherited prepare.yml --inherited old@base.yml --commit-vault --set master.branch=fix/web --set master.facts='{"cores":8,"name":"it'\''s"}' --set master.groups='["web"]' --set master.network=host --set configuration.always_apply_stage_in_conffs='["hostname.yml"]' --set configuration.ansible_repo=playbooks --set configuration.conffs_exclude='["var/lib/it'\''s/*"]' --set configuration.ignore_stage_in_conffs='["packages.yml"]' web.yml packages.yml Dockerfile:docker/Dockerfile`,
			},
		},
		{
			"conffs alone, narrowed, at a branch", buildFlags{stage: "conffs", parents: "no", branch: "b", limit: "web0*"}, []string{"master-web"},
			[]string{
				`vauban --state /state stage --source-image master-web@sha256:aa --name master-web --rootfs no --initramfs no --conffs yes --upload yes --ansible-host 'web*,!inner,!other' --limit 'web0*' --inherited prepare.yml --inherited old@base.yml --branch b --set master.facts='{"cores":8,"name":"it'\''s"}' --set master.groups='["web"]' --set master.network=host --set configuration.always_apply_stage_in_conffs='["hostname.yml"]' --set configuration.ansible_repo=playbooks --set configuration.conffs_exclude='["var/lib/it'\''s/*"]' --set configuration.ignore_stage_in_conffs='["packages.yml"]' web.yml packages.yml Dockerfile:docker/Dockerfile`,
			},
		},
		{
			"an initramfs", buildFlags{stage: "initramfs", parents: "no"}, []string{"other"},
			[]string{
				`vauban --state /state stage --source-image other@sha256:aa --name other --rootfs no --initramfs yes --conffs no --upload yes --branch fix/other --set configuration.always_apply_stage_in_conffs='["hostname.yml"]' --set configuration.ansible_repo=playbooks --set configuration.conffs_exclude='["var/lib/it'\''s/*"]' other.yml`,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, plan := plannedBy(t, linesConfig, &tt.flags, tt.of)
			l := stageLines{cfg: cfg, flags: &tt.flags, global: []string{"--state", "/state"},
				current: func(m *config.Master) string { return m.Image() + "@sha256:aa" }}
			var got []string
			for _, line := range l.of(plan) {
				got = append(got, unsplit(shellLine(line)))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// Lines end up in a CI job's log.
func TestStageLinesHideURLs(t *testing.T) {
	text := "b:\n  url: https://user:canary@example.com/root.tar?token=canary\n  sha512sums: https://user:canary@example.com/SUMS\n"
	f := &buildFlags{stage: "rootfs", parents: "no"}
	cfg, plan := plannedBy(t, text, f, []string{"b"})
	lines := fmt.Sprint(stageLines{cfg: cfg, flags: f}.of(plan))
	if strings.Contains(lines, "canary") || !strings.Contains(lines, "base.url=https://example.com/root.tar]") {
		t.Error(lines)
	}
}

// unsplit writes 'KEY=VALUE' as KEY='VALUE', for people's eyes.
func unsplit(line string) string {
	for _, scope := range []string{"base.", "master.", "configuration."} {
		parts := strings.Split(line, "--set '"+scope)
		for i := 1; i < len(parts); i++ {
			key, value, _ := strings.Cut(parts[i], "=")
			parts[i] = key + "='" + value
		}
		line = strings.Join(parts, "--set "+scope)
	}
	return line
}

func plannedBy(t *testing.T, text string, f *buildFlags, names []string) (*config.Config, *plan.Plan) {
	t.Helper()
	a := &app{configFile: configFile(t, text)}
	cfg, err := a.load()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := a.planned(cfg, f, names)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, plan
}

// TestStageLinesPlan has `stage` read each line again: together they plan what
// the run does, with the same stages for the same hosts.
func TestStageLinesPlan(t *testing.T) {
	for _, stage := range []string{"all", "rootfs", "conffs", "initramfs"} {
		for _, parents := range []string{"no", "1", "2", "yes"} {
			f := &buildFlags{stage: stage, parents: parents}
			cfg, p := plannedBy(t, linesConfig, f, []string{"master-web"})
			l := stageLines{cfg: cfg, flags: f, current: func(m *config.Master) string { return m.Image() }}
			var want, got []string
			for _, task := range p.Tasks {
				want = append(want, task.String())
			}
			for _, line := range l.of(p) {
				again, planned, _, err := parseStage(t, line[2:])
				if err != nil {
					t.Fatalf("%s: %v", shellLine(line), err)
				}
				for _, task := range planned.Tasks {
					got = append(got, task.String())
					if task.Kind == plan.MakeConffs {
						compareHostStages(t, cfg, again, task.Master.Name)
					}
				}
			}
			// A master that is never published has no squashfs either way.
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("stage=%s build_parents=%s: want (-), got (+):\n%s", stage, parents, diff)
			}
		}
	}
}

func compareHostStages(t *testing.T, want, got *config.Config, name string) {
	t.Helper()
	of := func(c *config.Config) (all []string) {
		_, m, err := c.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range m.HostStages(c) {
			all = append(all, m.HostStageImage(c, "h", i)+" "+s.Playbook+s.Dockerfile+"@"+s.RunBranch(""))
		}
		return all
	}
	if diff := cmp.Diff(of(want), of(got)); diff != "" {
		t.Errorf("the stages of hosts: want (-), got (+):\n%s", diff)
	}
}

func TestShellLine(t *testing.T) {
	for word, want := range map[string]string{
		"plain-1.0_x:y/z@a,b+c=d%": "plain-1.0_x:y/z@a,b+c=d%",
		"":                         "''",
		"web*":                     "'web*'",
		"!a":                       "'!a'",
		"it's":                     `'it'\''s'`,
		"$(x) `y` \\ \"":           "'$(x) `y` \\ \"'",
		"a\nb":                     "'a\nb'",
		"~":                        "'~'",
	} {
		if got := shellLine([]string{word}); got != want {
			t.Errorf("%q is quoted %s, want %s", word, got, want)
		}
	}
	if got := shellLine(slices.Repeat([]string{"a"}, 2)); got != "a a" {
		t.Errorf("two words are %q", got)
	}
}

// The first release of a master with hosts is not published without them.
func TestStageLinesOfFirstRelease(t *testing.T) {
	for stage, want := range map[string]map[bool]string{
		"rootfs": {true: "--upload yes", false: "--upload no"},
		"conffs": {true: "--upload yes", false: "--upload yes"},
		"all":    {true: "--upload yes", false: "--upload yes"},
	} {
		for published, upload := range want {
			f := &buildFlags{stage: stage, parents: "no", removeHosts: true, noIdentities: true}
			cfg, plan := plannedBy(t, linesConfig, f, []string{"master-web"})
			l := stageLines{cfg: cfg, flags: f, current: func(m *config.Master) string { return m.Image() },
				published: func(*config.Master) bool { return published }}
			line := shellLine(l.of(plan)[0])
			if !strings.Contains(line, upload) {
				t.Errorf("stage=%s, published %v: %s", stage, published, line)
			}
			if !strings.Contains(line, "--no-identities") || strings.Contains(line, "--remove-hosts") != (stage != "rootfs") {
				t.Errorf("stage=%s: %s", stage, line)
			}
		}
	}
}
