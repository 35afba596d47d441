package config

import (
	"cmp"
	"fmt"
	"strconv"

	"vauban/internal/squashfs"

	"gopkg.in/yaml.v3"
)

// exportInto reads how a squashfs is packed, kept as its text.
func (r *reader) exportInto(dst *map[string]string) field {
	return func(key, value *yaml.Node) {
		if !r.isMapping(key, value) {
			return
		}
		var compression, level, exclude string
		known := fields{
			"compression": r.oneOf(&compression, squashfs.Compressions()...),
			"level":       r.numberInto(&level),
			"exclude":     r.textInto(&exclude, anyText),
		}
		*dst = map[string]string{}
		for k, v := range pairs(value) {
			read, ok := known[k.Value]
			if !ok {
				r.unknown(`"export"`, "no key has that name", k, known)
				continue
			}
			read(k, v)
			(*dst)[k.Value] = v.Value
		}
		if level != "" {
			r.checkLevel(valueOf(value, "level"), cmp.Or(compression, squashfs.Default), level)
		}
	}
}

// numberInto reads a number, kept as its text.
func (r *reader) numberInto(dst *string) field {
	return func(key, value *yaml.Node) {
		if _, err := strconv.Atoi(value.Value); value.Kind != yaml.ScalarNode || err != nil {
			r.wrongType(labelOf(key), value, "a number", "write for example 9")
			return
		}
		*dst = value.Value
	}
}

// checkLevel accepts the levels that a compression has in squashfs.
func (r *reader) checkLevel(n *yaml.Node, compression, level string) {
	mistake := Mistake{What: fmt.Sprintf("%s is not a level of %s", level, compression)}
	highest := squashfs.Levels(compression)
	if number, err := strconv.Atoi(level); err == nil && number >= 1 && number <= highest {
		return
	}
	mistake.Why, mistake.Do = fmt.Sprintf("it takes 1 to %d", highest), "correct it"
	if highest == 0 {
		mistake.Why, mistake.Do = "it has no levels in squashfs", "remove it"
	}
	r.add(n, mistake)
}
