package config

import (
	"fmt"
	"slices"

	"vauban/internal/cmdline"
)

// A Master is a named image: its parent's, and its stages on top.
type Master struct {
	Name             string
	Base             *Base
	Parent           *Master // nil for a child of the base
	Stages           []Stage // none: the parent's image
	Conffs           string  // the hosts made of it, in the syntax of ansible's --limit; "" is none
	Branch           string  // of its stages, "" without a `branch:`; children do not inherit it
	Groups           []string
	KernelParameters []string // patterns, besides the ones in `configuration:`
	Kernel           string   // the version to boot; "" is the newest that its rootfs holds
	// Network of its containers: "private", the default, or "host".
	Network string
	// AnsibleRun is how its hosts share a run of ansible: "independent", the
	// default, "together" or "alone".
	AnsibleRun  string
	Facts       map[string]any // ansible facts that its playbooks see
	Init        string         // of its stages' containers: "systemd", or "" for vauban's own
	Export      map[string]string
	KeepAnsible bool
	Masters     []*Master
	Written     Written
	Pos         Position // of the key
}

// Ancestry returns the masters from the one below the base down to m itself.
func (m *Master) Ancestry() []*Master {
	var up []*Master
	for ; m != nil; m = m.Parent {
		up = append(up, m)
	}
	slices.Reverse(up)
	return up
}

// KernelParameters are patterns of the kernel parameters that m's image may
// bring besides those of vauban's list.
func (c *Config) KernelParameters(m *Master) []string {
	return slices.Concat(c.Configuration.KernelParameters, m.KernelParameters)
}

// checkKernelParameter accepts a pattern that can allow a kernel parameter.
func checkKernelParameter(pattern string) error {
	if err := cmdline.CheckPattern(pattern); err != nil {
		return Mistake{What: fmt.Sprintf("%q cannot be a kernel parameter of an image", pattern), Why: err.Error(),
			Do: "write NAME or NAME=VALUE, with * for any characters"}
	}
	return nil
}

// HostStages returns what makes a host's image out of m's: the stages of
// `always_apply_stage_in_conffs`, then those of the base and of the whole
// ancestry in their order, less `ignore_stage_in_conffs`. Each is run at the
// branch it has where it is declared, see [Stage.RunBranch].
func (m *Master) HostStages(c *Config) []Stage {
	stages := slices.Clone(c.Configuration.AlwaysApplyStageInConffs)
	add := func(declared []Stage) {
		for _, s := range declared {
			if !slices.ContainsFunc(c.Configuration.IgnoreStageInConffs, s.matches) {
				stages = append(stages, s)
			}
		}
	}
	if m.Base != nil {
		add(m.Base.Stages)
	}
	for _, ancestor := range m.Ancestry() {
		add(ancestor.Stages)
	}
	return stages
}

// declare tells stages what they take from the base or master they are in.
func declare(stages []Stage, branch, init string) {
	for i := range stages {
		s := &stages[i]
		s.MasterBranch = branch
		if s.Init == "" && s.Playbook != "" {
			s.Init = init
		}
	}
}

// OwnIdentity names the identity that the master's root filesystem ships: a
// master without hosts is a machine of its own. Empty: it ships none.
func (m *Master) OwnIdentity() string {
	if m.Conffs != "" {
		return ""
	}
	return MachineName(m.Name)
}
