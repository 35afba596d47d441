// Package squashfs tells how a squashfs can be compressed here.
package squashfs

import (
	"maps"
	"slices"
)

// Default is the compression of a squashfs for which none is named.
const Default = "zstd"

// levels are numbered from 1. xz has none in squashfs.
var levels = map[string]int{"gzip": 9, "xz": 0, "zstd": 22}

// Compressions are the names of those there are, sorted.
func Compressions() []string { return slices.Sorted(maps.Keys(levels)) }

// Levels counts the levels of a compression, which begin at 1: 0 for one that
// has none.
func Levels(compression string) int { return levels[compression] }
