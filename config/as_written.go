package config

import (
	"bytes"
	"encoding/json"
	"strings"

	"gopkg.in/yaml.v3"
)

// Written is what a base, a master or `configuration:` says, less its masters:
// each key with its value as one line of YAML, which reads as the same again.
type Written map[string]string

// written keeps the own keys of a mapping.
func (r *reader) written(n *yaml.Node, own fields) Written {
	w := Written{}
	if n.Kind != yaml.MappingNode {
		return w
	}
	for key, value := range pairs(n) {
		if _, ok := own[key.Value]; ok && value.Kind != broken {
			w[key.Value] = oneLine(value)
		}
	}
	return w
}

// oneLine writes a value as JSON, which is YAML too, or without quotes where
// plain text reads the same.
func oneLine(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && isPlain(n.Value) {
		return n.Value
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	// What JSON cannot say is a mistake that the reader tells.
	if encoder.Encode(newReader("").any(n)) != nil {
		return ""
	}
	return strings.TrimSpace(line.String())
}

// isPlain reports whether text without quotes is the same text in YAML.
func isPlain(text string) bool {
	var doc yaml.Node
	if text == "" || strings.ContainsAny(text, "\n\r") || yaml.Unmarshal([]byte(text), &doc) != nil || len(doc.Content) != 1 {
		return false
	}
	n := doc.Content[0]
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value == text && n.LineComment == ""
}
