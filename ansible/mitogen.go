package ansible

import (
	"fmt"
	"slices"
	"strings"
)

// How tasks reach a host: config.yml's `ansible: {strategy: …}`.
const (
	// Mitogen keeps an interpreter in each container, where ansible starts
	// one for each task.
	Mitogen = "mitogen"
	// Linear is ansible's own way, whatever ansible.cfg says.
	Linear = "linear"
)

// strategy is how the tasks of a run are carried out.
type strategy struct{ independent, mitogen bool }

// strategy uses Mitogen because the user says so, or else because his
// ansible.cfg does.
func (p *Playbook) strategy(s settings) strategy {
	mitogen := strings.HasPrefix(s.text("DEFAULT_STRATEGY"), "mitogen")
	if own := p.controller.options.Strategy; own != "" {
		mitogen = own == Mitogen
	}
	return strategy{p.isIndependent(), mitogen}
}

// name is the strategy of plays that name none. Plays that do are overruled
// only where hosts are to be independent, see the callback plugin.
func (s strategy) name() string {
	switch {
	case s.independent && s.mitogen:
		return "vauban.build.mitogen_independent"
	case s.independent:
		return "vauban.build.independent"
	case s.mitogen:
		return "mitogen_linear"
	}
	return "linear"
}

func (s strategy) environ() []string {
	env := []string{"ANSIBLE_STRATEGY=" + s.name()}
	if s.mitogen {
		// it has one folder for all hosts, and takes no variable for it
		env = append(env, "ANSIBLE_REMOTE_TMP=/tmp")
	}
	return env
}

// goodMitogen is a version that runs every task of ansible-core 2.14 to 2.18.
const goodMitogen = "0.3.24"

// brokenActions are those that a Mitogen before goodMitogen cannot run: their
// module's name comes from a fact.
var brokenActions = []string{"service", "package"}

// MitogenTrouble says what does not work with these versions of ansible-core
// and Mitogen together, and which work. "" is nothing known.
func MitogenTrouble(core, mitogen string) string {
	if before(core, "2.14") || !before(mitogen, goodMitogen) {
		return ""
	}
	return fmt.Sprintf("Mitogen %s fails every `service:` and `package:` task under ansible-core %s: "+
		"take Mitogen %s (its strategy_plugins in ansible.cfg), or `strategy: %s`", mitogen, core, goodMitogen, Linear)
}

// mitogenHint explains a failure of an action that this Mitogen cannot run.
func mitogenHint(e *event, core, mitogen string) string {
	action := e.Action[strings.LastIndex(e.Action, ".")+1:]
	if mitogen == "" || !slices.Contains(brokenActions, action) {
		return ""
	}
	if trouble := MitogenTrouble(core, mitogen); trouble != "" {
		return "\n" + trouble
	}
	return ""
}
