package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"gopkg.in/yaml.v3"
)

// reader makes a [Config] of a tree of YAML nodes, recording every mistake.
type reader struct {
	*problems
	names    map[string]claim
	reserved map[string]string // see reservedWords
}

func newReader(file string) *reader {
	r := &reader{problems: &problems{file: file}, names: map[string]claim{}}
	r.reserved = r.reservedWords()
	return r
}

// A claim is who has a name that the command line can mean.
type claim struct {
	by   any // the *Base or *Master
	what string
	line int
}

// claim records that by has name; false is a name that another has.
func (r *reader) claim(n *yaml.Node, name string, by any, what string) bool {
	first, taken := r.names[name]
	if !taken {
		r.names[name] = claim{by, what, n.Line}
		return true
	}
	if first.by == by {
		return true
	}
	r.add(n, Mistake{What: fmt.Sprintf("the %s %q is declared twice", what, name),
		Why: fmt.Sprintf("line %d declares a %s of that name", first.line, first.what), Do: "rename one of the two"})
	return false
}

func (r *reader) readRoot(c *Config, root *yaml.Node) {
	if root.Kind != yaml.MappingNode {
		r.wrongType("the file", root, "a mapping of bases", `begin with a base, as "bookworm:"`)
		return
	}
	var configuration [2]*yaml.Node
	for key, value := range pairs(root) {
		if key.Value == "configuration" {
			configuration = [2]*yaml.Node{key, value}
		} else if b := r.readBase(key, value); b != nil {
			c.Bases = append(c.Bases, b)
		}
	}
	if len(c.Bases) == 0 && len(r.list) == 0 {
		r.addAt(Position{1, 1}, Mistake{What: "no base is declared", Why: "masters are built on one",
			Do: `write for instance "bookworm:" at the top of the file`})
	}
	r.checkImages(c)
	// Last: it names masters and stages of the tree.
	if configuration[0] != nil {
		r.readConfiguration(c, configuration[0], configuration[1])
	}
}

// readBelow reads the keys of a base or a master: its own, and its children.
func (r *reader) readBelow(label string, n *yaml.Node, own fields, child func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for key, value := range pairs(n) {
		read, isOwn := own[key.Value]
		belongsTo, isReserved := r.reserved[key.Value]
		takesMapping := key.Value == "facts" || key.Value == "export"
		isMapping := value.Kind == yaml.MappingNode
		switch {
		case isReserved && isMapping && !takesMapping:
			r.add(key, Mistake{What: fmt.Sprintf("%q is given a mapping", key.Value),
				Why: "it is a reserved word, which cannot name a master", Do: "rename the master, or give the key its value"})
		case isOwn:
			read(key, value)
		case isReserved:
			r.add(key, Mistake{What: fmt.Sprintf("%q is a key of a %s", key.Value, belongsTo),
				Why: fmt.Sprintf("%s cannot have it", label), Do: "move or remove it"})
		case isMapping || isNull(value):
			child(key, value)
		case value.Kind != broken:
			r.unknown(label, "no key has that name, and a master has a mapping or nothing below it", key, own)
		}
	}
}

// reservedWords returns the words that cannot name a master, and what each is for.
func (r *reader) reservedWords() map[string]string {
	words := map[string]string{"configuration": "file"}
	for key := range r.baseFields(&Base{}) {
		words[key] = "base"
	}
	for key := range r.masterFields(&Master{}) {
		words[key] = "master"
	}
	return words
}

// unknown records a key that the mapping called label cannot have.
func (r *reader) unknown(label, why string, key *yaml.Node, known fields) {
	keys := slices.Sorted(maps.Keys(known))
	r.add(key, Mistake{What: fmt.Sprintf("unknown key %q in %s", key.Value, label), Why: why,
		Do: suggestion(key.Value, keys, "write "+list(keys))})
}

// suggestion asks whether the nearest of known was meant, or else says do.
func suggestion(word string, known []string, do string) string {
	return cmp.Or(didYouMean(word, known), do)
}
