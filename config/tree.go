package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

func (r *reader) baseFields(b *Base) fields {
	sourceOf := func(kind SourceKind, accept check) field {
		return parsedInto(r, &b.Source, func(value string) (Source, error) {
			return Source{kind, value}, accept(value)
		})
	}
	return fields{
		"name":       r.textInto(&b.Name, checkName("the base's name")),
		"release":    sourceOf(Release, pattern(`^[a-z][a-z0-9.-]*$`, "a suite", "bookworm or noble")),
		"file":       sourceOf(File, checkOption),
		"url":        sourceOf(URL, checkURL),
		"image":      sourceOf(Image, checkImage),
		"sha256":     r.textInto(&b.SHA256, pattern(`^[0-9a-f]{64}$`, "64 hexadecimal digits in lower case", "what sha256sum prints")),
		"sha512sums": r.textInto(&b.SHA512Sums, checkOption),
		"mirror":     r.textInto(&b.Mirror, checkOption),
		"components": r.listInto(&b.Components, pattern(`^[a-z][a-z0-9/-]*$`, "a component", "main or non-free-firmware")),
		"variant": r.oneOf(&b.Variant, "-", "apt", "buildd", "custom", "debootstrap", "essential", "extract",
			"important", "minbase", "required", "standard"),
		"include":  r.listInto(&b.Include, checkPackage),
		"keyring":  r.textInto(&b.Keyring, checkOption),
		"snapshot": r.textInto(&b.Snapshot, checkMoment),
		"max_age":  parsedInto(r, &b.MaxAge, ParseAge),
		"arch":     r.textInto(&b.Arch, pattern(`^[a-z0-9][a-z0-9-]*$`, "an architecture of Debian", "amd64 or arm64")),
		"kernel":   r.textInto(&b.Kernel, checkPackage),
		"stages":   r.stagesInto(&b.Stages),
		"branch":   r.textInto(&b.Branch, CheckBranch),
	}
}

func (r *reader) masterFields(m *Master) fields {
	return fields{
		"stages":            r.stagesInto(&m.Stages),
		"conffs":            r.textInto(&m.Conffs, checkOption),
		"branch":            r.textInto(&m.Branch, CheckBranch),
		"groups":            r.listInto(&m.Groups, pattern(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`, "a group of the inventory", "webservers")),
		"kernel":            r.textInto(&m.Kernel, pattern(`^[A-Za-z0-9][A-Za-z0-9.+~_-]*$`, "a kernel's version", "6.1.0-40-amd64")),
		"network":           r.oneOf(&m.Network, "private", "host"),
		"ansible_run":       r.oneOf(&m.AnsibleRun, "independent", "together", "alone"),
		"facts":             r.factsInto(&m.Facts),
		"init":              r.oneOf(&m.Init, "systemd"),
		"export":            r.exportInto(&m.Export),
		"keep_ansible":      r.boolInto(&m.KeepAnsible),
		"kernel_parameters": r.listInto(&m.KernelParameters, checkKernelParameter),
	}
}

// readBase reads the base that key declares, or returns nil where it declares
// none.
func (r *reader) readBase(key, value *yaml.Node) *Base {
	if value.Kind != yaml.MappingNode && !isNull(value) {
		r.notBase(key, value)
		return nil
	}
	b := &Base{Key: key.Value, Pos: Position{key.Line, key.Column}}
	r.claimBase(b, key, value)
	own := r.baseFields(b)
	b.Written = r.written(value, own)
	r.readBelow(fmt.Sprintf("the base %q", b.Key), value, own, func(k, v *yaml.Node) {
		b.Masters = r.appendMaster(b.Masters, k, v, b, nil)
	})
	r.checkSource(b, key, value)
	b.complete()
	return b
}

// claimBase claims the base's key and its name.
func (r *reader) claimBase(b *Base, key, value *yaml.Node) {
	r.claim(key, b.Key, b, "base")
	if name := valueOf(value, "name"); name == nil {
		if err := checkName("the base's key, without a \"name\",")(b.Key); err != nil {
			r.add(key, err)
		}
	} else if name.Kind == yaml.ScalarNode {
		r.claim(name, name.Value, b, "base")
	}
}

// notBase records that the value of a key at the top cannot be a base.
func (r *reader) notBase(key, value *yaml.Node) {
	if value.Kind == broken {
		return
	}
	mistake := Mistake{What: fmt.Sprintf("%q is %s", key.Value, describe(value)),
		Why: "the top of the file has bases and \"configuration\"", Do: "write a base's keys and its masters below it"}
	if _, isSetting := r.configurationFields(&Config{})[key.Value]; isSetting {
		mistake.Do = `move it below "configuration"`
	}
	r.add(key, mistake)
}

// valueOf returns the value of a mapping's key, nil when it has none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for k, v := range pairs(n) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

// appendMaster reads the master that key declares.
func (r *reader) appendMaster(to []*Master, key, value *yaml.Node, base *Base, parent *Master) []*Master {
	m := &Master{Name: key.Value, Base: base, Parent: parent, Network: "private", AnsibleRun: "independent",
		Pos: Position{key.Line, key.Column}}
	err := checkMasterName(m.Name)
	if err != nil {
		r.add(key, err)
	}
	isNew := err == nil && r.claim(key, m.Name, m, "master")
	own := r.masterFields(m)
	m.Written = r.written(value, own)
	r.readBelow(fmt.Sprintf("the master %q", m.Name), value, own, func(k, v *yaml.Node) {
		m.Masters = r.appendMaster(m.Masters, k, v, base, m)
	})
	declare(m.Stages, m.Branch, m.Init)
	if !isNew {
		return to
	}
	return append(to, m)
}

// stagesInto reads a list of stages.
func (r *reader) stagesInto(dst *[]Stage) field {
	return func(key, value *yaml.Node) {
		for _, item := range r.items(key, value) {
			if stage, ok := r.stage(labelOf(key), item); ok {
				stage.Pos = Position{item.Line, item.Column}
				*dst = append(*dst, stage)
			}
		}
	}
}

// stage reads a stage: its text, or the mapping that YAML makes of
// `- init: systemd@[BRANCH@]PATH.yml`.
func (r *reader) stage(key string, n *yaml.Node) (Stage, bool) {
	init := valueOf(n, "init")
	if n.Kind != yaml.MappingNode || init == nil || len(n.Content) != 2 {
		return parsed(r, "a stage of "+key, n, ParseStage)
	}
	return parsed(r, "the stage below \"init\"", init, func(text string) (Stage, error) {
		playbook, isSystemd := strings.CutPrefix(text, "systemd@")
		stage, err := ParseStage(playbook)
		if !isSystemd || stage.Dockerfile != "" {
			return stage, Mistake{What: fmt.Sprintf("%q cannot follow \"init:\"", text),
				Why: "systemd is the only init that a playbook can ask for", Do: "write init: systemd@[BRANCH@]PATH.yml"}
		}
		stage.Raw, stage.Init = "init: "+text, "systemd"
		return stage, err
	})
}

// checkSource sees to it that a base has exactly one source, and no key that
// would do nothing with that source.
func (r *reader) checkSource(b *Base, key, value *yaml.Node) {
	var sources []*yaml.Node
	for k := range pairs(value) {
		if slices.Contains([]SourceKind{Release, File, URL, Image}, SourceKind(k.Value)) {
			sources = append(sources, k)
		}
	}
	if len(sources) > 1 {
		r.add(sources[1], Mistake{What: fmt.Sprintf("%q is a second source of the base %q", sources[1].Value, b.Key),
			Why: fmt.Sprintf("line %d gives %q, and a base has one source", sources[0].Line, sources[0].Value), Do: "keep one of the two"})
		return
	}
	if len(sources) == 0 {
		if b.Source = bareSource(b.Key); b.Source == (Source{}) {
			r.add(key, noSource(b.Key))
			return
		}
	} else {
		b.Source.Kind = SourceKind(sources[0].Value)
	}
	r.checkDigest(b, sources, value)
	r.checkSnapshot(b, value)
	for k := range pairs(value) {
		if kinds := onlyFor(k.Value); kinds != nil && !slices.Contains(kinds, string(b.Source.Kind)) {
			r.add(k, Mistake{What: fmt.Sprintf("%q does nothing here", k.Value),
				Why: fmt.Sprintf("it is for bases from a %s, and this one is from a %s", list(kinds), b.Source.Kind), Do: "remove it"})
		}
	}
}

// checkDigest sees to it that what comes from elsewhere can be verified.
func (r *reader) checkDigest(b *Base, sources []*yaml.Node, value *yaml.Node) {
	if b.Source.Kind == URL && valueOf(value, "sha256") == nil && valueOf(value, "sha512sums") == nil {
		r.add(sources[0], Mistake{What: fmt.Sprintf("the base %q has no digest", b.Key),
			Why: "a download is used only if its digest is right",
			Do:  `add "sha256", or "sha512sums" with the list that is published next to the file`})
	}
}

// checkSnapshot sees to it that it is known where a snapshot is.
func (r *reader) checkSnapshot(b *Base, value *yaml.Node) {
	snapshot, mirror := valueOf(value, "snapshot"), valueOf(value, "mirror")
	switch {
	case snapshot == nil || b.Source.Kind != Release:
	case mirror == nil && b.Distribution() == "":
		r.add(snapshot, Mistake{What: fmt.Sprintf("the location of snapshots of %q is unknown", b.Source.Value),
			Why: "it is not a known suite of Debian or Ubuntu",
			Do:  `add "mirror": its URL, without the timestamp`})
	case mirror != nil && checkURL(mirror.Value) != nil:
		r.add(mirror, Mistake{What: "the mirror of a snapshot is not a URL",
			Why: "the timestamp is appended to it", Do: "write for example http://snapshot.debian.org/archive/debian"})
	}
}

// bareSource is what the key of a base without a source says.
func bareSource(key string) Source {
	for _, ext := range []string{".raw", ".qcow2", ".img"} {
		if strings.HasSuffix(key, ext) {
			return Source{File, key}
		}
	}
	if _, isSuite := suites()[key]; isSuite {
		return Source{Release, key}
	}
	return Source{}
}

func noSource(key string) error {
	return Mistake{What: fmt.Sprintf("the base %q has no source", key),
		Why: "its key is neither a known suite nor a file ending in .raw, .qcow2 or .img",
		Do: cmp.Or(didYouMean(key, []string{"configuration"}),
			`add one of "release", "file", "url" and "image" below it`)}
}

// onlyFor returns the kinds of source that a base's key is of use with, nil
// for all.
func onlyFor(key string) []string {
	switch key {
	case "sha256", "sha512sums":
		return []string{string(File), string(URL)}
	case "mirror", "components", "variant", "include", "keyring", "snapshot":
		return []string{string(Release)}
	}
	return nil
}
