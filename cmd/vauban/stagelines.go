package main

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"vauban/config"
	"vauban/pipeline/plan"
)

// stageLines writes a plan as command lines of `vauban stage`, one for each
// base and master.
type stageLines struct {
	cfg   *config.Config
	flags *buildFlags
	// global are flags that stand before "stage".
	global []string
	// current is the reference of the image that parts of a master are made
	// of when its rootfs is not built with them.
	current func(*config.Master) string
	// published reports whether a master has a release. Nil: all have.
	published func(*config.Master) bool
}

// of gives the lines in the order of the plan, which has parents first.
func (l stageLines) of(p *plan.Plan) [][]string {
	var lines [][]string
	done := map[*config.Master]bool{}
	for _, t := range p.Tasks {
		switch {
		case t.Master == nil:
			lines = append(lines, l.base(t.Base))
		case !done[t.Master]:
			done[t.Master] = true
			lines = append(lines, l.master(p, t.Master))
		}
	}
	return lines
}

func (l stageLines) start() []string {
	return append(append([]string{"vauban"}, l.global...), "stage")
}

func (l stageLines) base(b *config.Base) []string {
	line := append(l.start(), "--iso", b.Key, "--name", b.Name, "--rootfs", "yes", "--initramfs", "no", "--conffs", "no", "--upload", "no")
	if l.flags.branch != "" {
		line = append(line, "--branch", l.flags.branch)
	}
	sets := config.Written{"name": b.Name, string(b.Source.Kind): b.Source.Value}
	maps.Copy(sets, b.Written)
	for key, value := range sets {
		sets[key] = config.PublicURL(value) // the lines end up in a log
	}
	line = append(line, setFlags("base", sets, "stages")...)
	line = append(line, l.configuration(nil)...)
	for _, s := range b.Stages {
		line = append(line, s.Raw)
	}
	return line
}

func (l stageLines) master(p *plan.Plan, m *config.Master) []string {
	has := func(kind plan.Kind) bool { return p.Find(kind, m) != nil }
	source := l.current(m)
	if has(plan.MakeRootfs) {
		source = m.Base.Name
		if m.Parent != nil {
			source = m.Parent.Name
		}
	}
	line := append(l.start(), "--source-image", source, "--name", m.Name)
	for _, part := range []struct {
		flag string
		kind plan.Kind
	}{{"--rootfs", plan.MakeRootfs}, {"--initramfs", plan.MakeKernel}, {"--conffs", plan.MakeConffs}, {"--upload", plan.MakeRelease}} {
		word := yesNo(has(part.kind))
		if part.kind == plan.MakeRelease && m.Conffs != "" && !has(plan.MakeConffs) && l.published != nil && !l.published(m) {
			word = false // its first release takes its hosts too, of which the line says nothing
		}
		line = append(line, part.flag, word.String())
	}
	var ignored []string
	if has(plan.MakeConffs) {
		line = append(line, "--ansible-host", l.pattern(m))
		if l.flags.limit != "" {
			line = append(line, "--limit", l.flags.limit)
		}
		var inherited []config.Stage
		inherited, ignored = l.hostStages(m)
		for _, s := range inherited {
			line = append(line, "--inherited", l.withBranch(s))
		}
		if l.flags.commitVault {
			line = append(line, "--commit-vault")
		}
		if l.flags.removeHosts {
			line = append(line, "--remove-hosts")
		}
	}
	if l.flags.noIdentities {
		line = append(line, "--no-identities")
	}
	if l.flags.strict {
		line = append(line, "--strict")
	}
	line = append(line, l.branch(m, has(plan.MakeConffs))...)
	line = append(line, setFlags("master", m.Written, "stages", "conffs", "branch")...)
	line = append(line, l.configuration(ignored)...)
	for _, s := range m.Stages {
		line = append(line, s.Raw)
	}
	return line
}

// branch is the one of the command line for all that name none, or else the
// master's own for its own.
func (l stageLines) branch(m *config.Master, hosts bool) []string {
	switch {
	case l.flags.branch != "":
		return []string{"--branch", l.flags.branch}
	case m.Branch == "":
		return nil
	case hosts:
		// --branch would reach the inherited stages too.
		return []string{"--set", "master.branch=" + m.Written["branch"]}
	}
	return []string{"--branch", m.Branch}
}

// withBranch writes an inherited stage, which takes its branch from where it
// is declared.
func (l stageLines) withBranch(s config.Stage) string {
	if s.Branch != "" || s.MasterBranch == "" || s.Playbook == "" || l.flags.branch != "" {
		return s.Raw
	}
	if playbook, ok := strings.CutPrefix(s.Raw, "init: systemd@"); ok {
		return "init: systemd@" + s.MasterBranch + "@" + playbook
	}
	return s.MasterBranch + "@" + s.Raw
}

// hostStages are the stages that a master's hosts get from its ancestors, and
// those of its own that they do not get.
func (l stageLines) hostStages(m *config.Master) (inherited []config.Stage, ignored []string) {
	declared := *l.cfg
	declared.Configuration.AlwaysApplyStageInConffs = nil
	above := &config.Master{Base: m.Base}
	if m.Parent != nil {
		above = m.Parent
	}
	inherited = above.HostStages(&declared)
	own := m.HostStages(&declared)[len(inherited):]
	for _, s := range m.Stages {
		if !slices.ContainsFunc(own, func(kept config.Stage) bool { return kept.Raw == s.Raw }) {
			ignored = append(ignored, s.Raw)
		}
	}
	return inherited, ignored
}

// pattern leaves out the other masters, which the one image does not know of.
func (l stageLines) pattern(m *config.Master) string {
	pattern := m.Conffs
	for _, other := range l.cfg.Masters() {
		usual, _ := path.Match("master-*", other.Name) // left out always
		if other != m && !usual && !slices.Contains(strings.Split(pattern, ","), "!"+other.Name) {
			pattern += ",!" + other.Name
		}
	}
	return pattern
}

// configuration is `configuration:`, less what names other masters and stages.
func (l stageLines) configuration(ignored []string) []string {
	sets := maps.Clone(l.cfg.Configuration.Written)
	delete(sets, "ignore_stage_in_conffs")
	if len(ignored) > 0 {
		text, _ := json.Marshal(ignored) // of texts: it cannot fail
		sets["ignore_stage_in_conffs"] = string(text)
	}
	return setFlags("configuration", sets, "never_upload")
}

func setFlags(scope string, sets config.Written, without ...string) []string {
	var flags []string
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		if !slices.Contains(without, key) {
			flags = append(flags, "--set", scope+"."+key+"="+sets[key])
		}
	}
	return flags
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_%+=:,./@-]+$`)

// shellLine quotes words for a POSIX shell.
func shellLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if !plainWord.MatchString(word) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
