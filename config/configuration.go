package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"gopkg.in/yaml.v3"
)

// Configuration is `configuration:`, what holds for every master.
type Configuration struct {
	IgnoreStageInConffs      []Stage       // not applied again for hosts
	AlwaysApplyStageInConffs []Stage       // applied first for every host
	NeverUpload              []string      // names of masters that are never published
	ConffsExclude            []string      // globs of paths that conffs leave out
	ConffsMaxSize            int64         // of one conffs, in bytes, default 50 MiB
	KernelParameters         []string      // patterns of what images may bring besides vauban's list
	DelegateHosts            []string      // machines that tasks may be delegated to
	NetworkAllow             []Destination // addresses of the builder that containers may reach
	// PushHosts is which images of hosts go to the registry: "final", the
	// default, "all" or "none".
	PushHosts string
	// Strict fails a stage of which a task wants a running machine.
	Strict    bool
	FactsFrom string // a folder of facts of hosts outside the run, see Config.Resolve
	// AnsibleStrategy is "mitogen" or "linear". Empty: what ansible.cfg says.
	AnsibleStrategy string
	// Settings holds what the file says of each setting, by its name as an
	// environment variable has it; see LoadSettings.
	Settings map[string]string
	Written  Written
}

func defaultConfiguration() Configuration {
	return Configuration{ConffsMaxSize: 50 * units.MiB, PushHosts: "final", Settings: map[string]string{}}
}

// readConfiguration reads `configuration:` into c, whose tree is complete.
func (r *reader) readConfiguration(c *Config, key, value *yaml.Node) {
	if !r.isMapping(key, value) {
		return
	}
	if again := valueOf(value, "debian_apt_get_proxy"); again != nil && valueOf(value, "apt_proxy") != nil {
		r.add(again, Mistake{What: "apt's proxy is given twice", Why: `"apt_proxy" and "debian_apt_get_proxy" are the same`, Do: "keep one of the two"})
	}
	own := r.configurationFields(c)
	c.Configuration.Written = r.written(value, own)
	for k, v := range pairs(value) {
		if read, ok := own[k.Value]; ok {
			read(k, v)
			continue
		}
		if slices.Contains(secretNames(), strings.ToUpper(k.Value)) {
			r.add(k, Mistake{What: fmt.Sprintf("%q is a secret", k.Value), Why: "secrets do not belong in config.yml",
				Do: fmt.Sprintf("set %s in .secrets.env or in the environment", strings.ToUpper(k.Value))})
			continue
		}
		r.unknown(`"configuration"`, "no key has that name", k, own)
	}
}

func (r *reader) configurationFields(c *Config) fields {
	own := &c.Configuration
	all := fields{
		"ignore_stage_in_conffs":       r.knownStagesInto(&own.IgnoreStageInConffs, c),
		"always_apply_stage_in_conffs": r.stagesInto(&own.AlwaysApplyStageInConffs),
		"never_upload":                 r.listInto(&own.NeverUpload, checkMaster(c)),
		"conffs_exclude":               r.listInto(&own.ConffsExclude, anyText),
		"conffs_max_size":              r.sizeInto(&own.ConffsMaxSize),
		"kernel_parameters":            r.listInto(&own.KernelParameters, checkKernelParameter),
		"delegate_hosts":               r.listInto(&own.DelegateHosts, anyText),
		"network_allow":                r.destinationsInto(&own.NetworkAllow),
		"push_hosts":                   r.oneOf(&own.PushHosts, "final", "all", "none"),
		"strict":                       r.boolInto(&own.Strict),
		"facts_from":                   r.textInto(&own.FactsFrom, anyText),
		"ansible":                      r.ansibleInto(own),
	}
	var settings Settings
	for _, s := range settings.table() {
		if s.secret == nil {
			all[strings.ToLower(s.name)] = r.settingInto(own.Settings, s)
		}
		if s.name == "DEBIAN_APT_GET_PROXY" {
			all["apt_proxy"] = all[strings.ToLower(s.name)]
		}
	}
	return all
}

// ansibleInto reads how ansible is run.
func (r *reader) ansibleInto(own *Configuration) field {
	known := fields{"strategy": r.oneOf(&own.AnsibleStrategy, "mitogen", "linear")}
	return func(key, value *yaml.Node) {
		if !r.isMapping(key, value) {
			return
		}
		for k, v := range pairs(value) {
			if read, ok := known[k.Value]; ok {
				read(k, v)
			} else {
				r.unknown(`"ansible"`, "no key has that name", k, known)
			}
		}
	}
}

// knownStagesInto reads a list of stages that must be somewhere in the tree.
func (r *reader) knownStagesInto(dst *[]Stage, c *Config) field {
	return func(key, value *yaml.Node) {
		r.stagesInto(dst)(key, value)
		for _, s := range *dst {
			if slices.ContainsFunc(c.stages(), func(one Stage) bool { return one.matches(s) }) {
				continue
			}
			known := map[string]bool{}
			for _, one := range c.stages() {
				known[one.Raw] = true
			}
			r.addAt(s.Pos, Mistake{What: fmt.Sprintf("no master has the stage %q", s.Raw),
				Why: fmt.Sprintf("%q must name stages of this file", key.Value),
				Do:  suggestion(s.Raw, slices.Sorted(maps.Keys(known)), "remove it")})
		}
	}
}

// checkMaster accepts the name of a master of c.
func checkMaster(c *Config) check {
	return func(name string) error {
		var known []string
		for _, m := range c.Masters() {
			known = append(known, m.Name)
		}
		if slices.Contains(known, name) {
			return nil
		}
		return Mistake{What: fmt.Sprintf("%q is not a master", name), Why: "it must be one of this file",
			Do: suggestion(name, known, "remove it")}
	}
}

// sizeInto reads a number of bytes, or one with a unit of 1024.
func (r *reader) sizeInto(dst *int64) field {
	return func(key, value *yaml.Node) {
		size, err := int64(0), error(nil)
		if value.Kind == yaml.ScalarNode {
			size, err = units.RAMInBytes(value.Value)
		}
		if value.Kind != yaml.ScalarNode || err != nil || size <= 0 {
			r.wrongType(labelOf(key), value, "a size", "write it as 50MiB, 1GiB or a number of bytes")
			return
		}
		*dst = size
	}
}

// settingInto reads a setting. One that is a list may be a YAML list too.
func (r *reader) settingInto(dst map[string]string, s setting) field {
	return func(key, value *yaml.Node) {
		if s.list != nil && value.Kind == yaml.SequenceNode {
			var items []string
			r.listInto(&items, anyText)(key, value)
			dst[s.name] = strings.Join(items, " ")
			return
		}
		accept := check(func(text string) error { return naming(key.Value, s.check(text)) })
		if text, ok := parsed(r, labelOf(key), value, accept.parse); ok {
			dst[s.name] = text
		}
	}
}
