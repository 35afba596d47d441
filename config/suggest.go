package config

import (
	"slices"
	"strings"

	"vauban/internal/near"
)

// didYouMean asks whether the nearest of known was meant instead of word, or
// is empty when none is near.
func didYouMean(word string, known []string) string {
	words := near.Words(word, known)
	return near.Question(words[:min(1, len(words))])
}

// list writes words as `a, b or c`, sorted.
func list(words []string) string {
	words = slices.Sorted(slices.Values(words))
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
