package repository

import (
	"slices"
	"strings"

	"vauban/internal/near"
)

// didYouMean ends an error about an unknown name with those it resembles; a
// path in another folder does.
func didYouMean(name string, known []string) string {
	meant := slices.DeleteFunc(slices.Clone(known), func(k string) bool { return fileName(k) != fileName(name) })
	for _, word := range near.Words(name, known) {
		if !slices.Contains(meant, word) {
			meant = append(meant, word)
		}
	}
	if len(meant) == 0 {
		return ""
	}
	return ": " + near.Question(meant)
}

func fileName(path string) string { return path[strings.LastIndex(path, "/")+1:] }
