package config

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A field reads the value of one key into its place.
type field func(key, value *yaml.Node)

// fields are the keys that a mapping may have.
type fields map[string]field

// pairs yields the keys and values of a mapping in their order.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// describe says what kind of value n is.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return fmt.Sprintf("a value with the YAML tag %q", n.ShortTag())
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// wrongType records that n, which label names, is not the value that is wanted.
func (r *reader) wrongType(label string, n *yaml.Node, want, do string) {
	if n.Kind == broken {
		return
	}
	r.add(n, Mistake{What: label + " is " + describe(n), Why: "it must be " + want, Do: do})
}

// labelOf names the value of key in a message.
func labelOf(key *yaml.Node) string { return strconv.Quote(key.Value) }

// text returns the text of n, which must not be empty; ok is false after a
// mistake was recorded.
func (r *reader) text(label string, n *yaml.Node) (text string, ok bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		r.wrongType(label, n, "a single text", "write one value")
	case n.Value == "" && strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		r.add(n, Mistake{What: fmt.Sprintf("%s is %s, which YAML takes for a tag", label, n.Tag),
			Why: `a value that begins with "!" needs quotes`, Do: fmt.Sprintf("write %q", n.Tag)})
	case isNull(n) || strings.TrimSpace(n.Value) == "":
		r.add(n, Mistake{What: label + " is empty", Why: "it must be text", Do: "set it or remove it"})
	case n.ShortTag() != "!!str":
		r.wrongType(label, n, "text", fmt.Sprintf("write it as %q, in quotes", n.Value))
	default:
		return n.Value, true
	}
	return "", false
}

// parsed returns what parse makes of the text of n.
func parsed[T any](r *reader, label string, n *yaml.Node, parse func(string) (T, error)) (v T, ok bool) {
	text, ok := r.text(label, n)
	if !ok {
		return v, false
	}
	v, err := parse(text)
	if err != nil {
		r.add(n, err)
	}
	return v, err == nil
}

// parsedInto stores what parse makes of the text of a key.
func parsedInto[T any](r *reader, dst *T, parse func(string) (T, error)) field {
	return func(key, value *yaml.Node) {
		if v, ok := parsed(r, labelOf(key), value, parse); ok {
			*dst = v
		}
	}
}

// A check says why a text cannot stand.
type check func(string) error

func (c check) parse(text string) (string, error) { return text, c(text) }

// textInto reads text that check accepts.
func (r *reader) textInto(dst *string, accept check) field {
	return parsedInto(r, dst, accept.parse)
}

// oneOf reads one of a few words.
func (r *reader) oneOf(dst *string, allowed ...string) field {
	return func(key, value *yaml.Node) {
		r.textInto(dst, checkWord(key.Value, allowed...))(key, value)
	}
}

// checkWord accepts the allowed values of name.
func checkWord(name string, allowed ...string) check {
	return func(word string) error {
		if slices.Contains(allowed, word) {
			return nil
		}
		return Mistake{What: fmt.Sprintf("%q is not a value of %q", word, name),
			Why: "it must be " + list(allowed), Do: didYouMean(word, allowed)}
	}
}

// boolInto reads true or false.
func (r *reader) boolInto(dst *bool) field {
	return func(key, value *yaml.Node) {
		if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!bool" {
			r.wrongType(labelOf(key), value, "true or false", "write one of these without quotes")
			return
		}
		*dst = strings.EqualFold(value.Value, "true")
	}
}

// items returns the items of a list; a key with nothing behind it has none.
func (r *reader) items(key, n *yaml.Node) []*yaml.Node {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		item := "ITEM"
		if n.Kind == yaml.ScalarNode {
			item = n.Value
		}
		r.wrongType(labelOf(key), n, "a list", fmt.Sprintf("write it as [%s]", item))
		return nil
	}
	return n.Content
}

// listInto reads a list of texts, each accepted by check.
func (r *reader) listInto(dst *[]string, accept check) field {
	return func(key, value *yaml.Node) {
		for _, item := range r.items(key, value) {
			if text, ok := parsed(r, "an item of "+labelOf(key), item, accept.parse); ok {
				*dst = append(*dst, text)
			}
		}
	}
}

// factsInto reads a mapping of anything, as ansible variables are.
func (r *reader) factsInto(dst *map[string]any) field {
	return func(key, value *yaml.Node) {
		if r.isMapping(key, value) {
			*dst = r.anyMap(value)
		}
	}
}

func (r *reader) isMapping(key, n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode && !isNull(n) {
		r.wrongType(labelOf(key), n, "a mapping", "write one NAME: VALUE per line below it")
	}
	return n.Kind == yaml.MappingNode
}

// any returns n as JSON would have it, since that is how ansible gets it: a
// date stays the text that was written.
func (r *reader) any(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		return r.anyMap(n)
	case yaml.SequenceNode:
		s := []any{}
		for _, item := range n.Content {
			s = append(s, r.any(item))
		}
		return s
	}
	switch n.ShortTag() {
	case "!!null", "!!bool", "!!int", "!!float":
		var v any
		err := n.Decode(&v)
		if f, isFloat := v.(float64); err == nil && (!isFloat || !math.IsInf(f, 0) && !math.IsNaN(f)) {
			return v
		}
		r.add(n, Mistake{What: fmt.Sprintf("%q is not a number in JSON", n.Value), Do: "put it in quotes"})
	}
	return n.Value
}

func (r *reader) anyMap(n *yaml.Node) map[string]any {
	m := map[string]any{}
	for key, value := range pairs(n) {
		m[key.Value] = r.any(value)
	}
	return m
}
