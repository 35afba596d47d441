package config

import (
	"fmt"
	"slices"
	"strings"

	"vauban/internal/near"
)

// didYouMean asks whether the nearest of known was meant instead of word, or
// is empty when none is near.
func didYouMean(word string, known []string) string {
	if words := near.Words(word, known); len(words) > 0 {
		return fmt.Sprintf("did you mean %q?", words[0])
	}
	return ""
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
