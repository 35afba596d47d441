package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/registry"
)

// stageTree is the configuration that the flags of `stage` stand for, and what
// is asked for of it.
type stageTree struct {
	text     string // as config.yml
	requests []plan.Request
	given    map[string]string // see build.Options
	notices  []string
}

// tree makes a base of the source, and below it the one master.
func (f *stageFlags) tree(exists func(path string) bool) (*stageTree, error) {
	if f.name == "" {
		return nil, errors.New("--name is empty: name the image to make")
	}
	t := &stageTree{given: map[string]string{}}
	set, err := parseSets(f.set)
	if err != nil {
		return nil, err
	}
	if f.conffs && f.hosts == "" {
		t.notices = append(t.notices, "no conffs: there is no --ansible-host")
	}
	if f.source != "" && f.iso != "" {
		t.notices = append(t.notices, "--iso is not used: --source-image has a base, and its kernel, already")
	}
	base, err := f.base(t, set["base"], exists)
	if err != nil {
		return nil, err
	}
	configuration := set["configuration"]
	if base.name != f.name {
		base.fields = append(base.fields, field{f.name, mapping(f.master(set["master"]))})
		if !f.upload {
			configuration = append(configuration, field{"never_upload", list([]string{f.name})})
		}
		if err := f.request(t); err != nil {
			return nil, err
		}
	}
	var document []field
	if len(configuration) > 0 {
		document = append(document, field{"configuration", mapping(configuration)})
	}
	text, err := yaml.Marshal(mapping(append(document, field{base.key, mapping(base.fields)})))
	t.text = string(text)
	return t, err
}

// stageBase is what the master is based on.
type stageBase struct {
	key, name string
	fields    []field
}

func (f *stageFlags) base(t *stageTree, set []field, exists func(string) bool) (stageBase, error) {
	switch {
	case f.source == "" && f.iso == "" && bool(f.rootfs):
		return stageBase{}, errors.New("no image to build a rootfs on: give --source-image IMAGE or --iso FILE, or --rootfs no")
	case f.source == "" && !bool(f.rootfs) && f.buildsConffs():
		return stageBase{}, errors.New("no image to build conffs on: give --source-image IMAGE, or --rootfs yes")
	case f.source == "" && bool(f.rootfs):
		return f.isoBase(t, set, exists)
	case len(set) > 0:
		return stageBase{}, fmt.Errorf("--set base.%s does nothing here: it is for bases that are made, with --iso and --rootfs yes", set[0].key)
	case f.source != "" && bool(f.rootfs):
		name, _ := registry.SplitReference(f.source)
		if name == f.name {
			return stageBase{}, fmt.Errorf("--source-image and --name are both %q: an image is not built on itself; rename one, or add --rootfs no", name)
		}
		t.given[config.ImageName(name)] = config.ImageName(name) + strings.TrimPrefix(f.source, name)
		return f.inheriting(stageBase{key: name, name: name, fields: []field{{"image", scalar(name)}}}), nil
	case f.source != "":
		name, _ := registry.SplitReference(f.source)
		t.given[config.ImageName(f.name)] = config.ImageName(name) + strings.TrimPrefix(f.source, name)
	}
	// The master is there already, and what it was built on is of no matter.
	name := f.name + "/source-image"
	return f.inheriting(stageBase{key: name, name: name, fields: []field{{"image", scalar(f.name)}}}), nil
}

// inheriting gives the base the stages of all ancestors, which only hosts get
// from it: it is not built.
func (f *stageFlags) inheriting(b stageBase) stageBase {
	if len(f.inherited) > 0 {
		b.fields = append(b.fields, field{"stages", stageList(f.inherited)})
	}
	return b
}

// isoBase is a base that is made.
func (f *stageFlags) isoBase(t *stageTree, set []field, exists func(string) bool) (stageBase, error) {
	if len(f.inherited) > 0 {
		return stageBase{}, errors.New("--inherited is for hosts of an image that has such stages: use --source-image, or leave it out")
	}
	b := stageBase{key: f.iso, fields: slices.Clone(set)}
	if !slices.ContainsFunc(set, func(s field) bool { return slices.Contains([]string{"file", "release", "url", "image"}, s.key) }) {
		kind := "file"
		switch {
		case exists(f.iso):
		case strings.ContainsAny(f.iso, "/."):
			return b, fmt.Errorf("--iso %q is not a file", f.iso)
		default:
			kind = "release"
		}
		b.fields = append(b.fields, field{kind, scalar(f.iso)})
	}
	if named := slices.IndexFunc(set, func(s field) bool { return s.key == "name" }); named >= 0 {
		b.name = set[named].value.Value
	} else {
		b.name = baseName(f.iso)
		b.fields = append(b.fields, field{"name", scalar(b.name)})
	}
	if b.name == f.name {
		return f.onlyBase(t, b)
	}
	t.requests = append(t.requests, plan.Request{Names: []string{b.name}, Stage: plan.Rootfs})
	return b, nil
}

// onlyBase makes the base alone, with the stages.
func (f *stageFlags) onlyBase(t *stageTree, b stageBase) (stageBase, error) {
	if f.buildsConffs() || bool(f.initramfs) && !f.initramfsIsDefault {
		return b, fmt.Errorf("--name %q is the base itself, which has no conffs and no initramfs: leave these out, or give another --name", f.name)
	}
	if len(f.stages) > 0 {
		b.fields = append(b.fields, field{"stages", stageList(f.stages)})
	}
	t.requests = []plan.Request{{Names: []string{b.name}, Stage: plan.Rootfs}}
	return b, nil
}

// baseName is the image's name of a base that has none: debian-12/iso of
// debian-12.raw.
func baseName(iso string) string {
	stem := filepath.Base(iso)
	for again := true; again; {
		again = false
		for _, ext := range []string{".raw", ".qcow2", ".img", ".tar", ".tgz", ".txz", ".gz", ".xz", ".zst"} {
			if cut, ok := strings.CutSuffix(stem, ext); ok && cut != "" {
				stem, again = cut, true
			}
		}
	}
	return config.ImageName(stem, "iso")
}

func (f *stageFlags) buildsConffs() bool { return bool(f.conffs) && f.hosts != "" }

// master are the keys of the one master.
func (f *stageFlags) master(set []field) []field {
	fields := slices.Clone(set)
	if len(f.stages) > 0 {
		fields = append(fields, field{"stages", stageList(f.stages)})
	}
	if f.buildsConffs() {
		fields = append(fields, field{"conffs", scalar(f.hosts)})
	}
	return fields
}

// request asks for each part of the master.
func (f *stageFlags) request(t *stageTree) error {
	for _, part := range []struct {
		wanted bool
		stage  plan.Stage
	}{{bool(f.rootfs), plan.Rootfs}, {bool(f.initramfs), plan.Initramfs}, {f.buildsConffs(), plan.Conffs}} {
		if part.wanted {
			t.requests = append(t.requests, plan.Request{Names: []string{f.name}, Stage: part.stage})
		}
	}
	if len(t.requests) == 0 {
		return errors.New("nothing is to be built: say yes to one of --rootfs, --initramfs and --conffs (with --ansible-host)")
	}
	return nil
}

// parseSets reads SCOPE.KEY=VALUE.
func parseSets(sets []string) (map[string][]field, error) {
	all := map[string][]field{}
	for _, one := range sets {
		name, value, isSet := strings.Cut(one, "=")
		scope, key, hasScope := strings.Cut(name, ".")
		if !isSet || !hasScope || key == "" || !slices.Contains([]string{"base", "master", "configuration"}, scope) {
			return nil, fmt.Errorf("--set %q cannot be read: write base.KEY=VALUE, master.KEY=VALUE or configuration.KEY=VALUE", name)
		}
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(value), &document); err != nil {
			return nil, fmt.Errorf("--set %s: its value is not YAML: %w", name, err)
		}
		node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		if len(document.Content) == 1 {
			node = document.Content[0]
		}
		all[scope] = append(all[scope], field{key, node})
	}
	return all, nil
}

// field is a key of a YAML mapping.
type field struct {
	key   string
	value *yaml.Node
}

func mapping(fields []field) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fields {
		n.Content = append(n.Content, scalar(f.key), f.value)
	}
	return n
}

func scalar(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle}
}

func list(values []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for _, v := range values {
		n.Content = append(n.Content, scalar(v))
	}
	return n
}

// stageList is a list of stages; `init: systemd@PLAYBOOK` is a mapping there.
func stageList(stages []string) *yaml.Node {
	n := list(stages)
	for i, stage := range stages {
		if playbook, ok := strings.CutPrefix(stage, "init: "); ok {
			n.Content[i] = mapping([]field{{"init", scalar(playbook)}})
		}
	}
	return n
}
