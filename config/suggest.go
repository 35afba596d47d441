package config

import (
	"slices"

	"vauban/internal/near"
	"vauban/internal/text"
)

// didYouMean asks whether the nearest of known was meant instead of word, or
// is empty when none is near.
func didYouMean(word string, known []string) string {
	words := near.Words(word, known)
	return near.Question(words[:min(1, len(words))])
}

// list writes words as `a, b or c`, sorted.
func list(words []string) string { return text.Or(slices.Sorted(slices.Values(words))) }
