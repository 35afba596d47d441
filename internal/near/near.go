// Package near finds what somebody meant who mistyped a word.
package near

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"vauban/internal/text"
)

// Words are those of known that a slip of the hand would make of word: at most
// a third of its letters differ, whatever their case. The nearest come first,
// of two as near the one that known has first.
func Words(word string, known []string) []string {
	type candidate struct {
		word     string
		distance int
	}
	limit := max(1, utf8.RuneCountInString(word)/3)
	var near []candidate
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= limit {
			near = append(near, candidate{k, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	words := make([]string, len(near))
	for i, c := range near {
		words[i] = c.word
	}
	return words
}

// Question asks whether one of words was meant, the first three at most, or is
// empty when there are none.
func Question(words []string) string {
	var quoted []string
	for _, word := range words[:min(3, len(words))] {
		quoted = append(quoted, fmt.Sprintf("%q", word))
	}
	if len(quoted) == 0 {
		return ""
	}
	return "did you mean " + text.Or(quoted) + "?"
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour that make b out of a (optimal string alignment).
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	var beforeLast, last []int
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i := range from {
		beforeLast, last, row = last, row, make([]int, len(to)+1)
		row[0] = i + 1
		for j := range to {
			replaced := last[j]
			if from[i] != to[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && from[i] == to[j-1] && from[i-1] == to[j] {
				row[j+1] = min(row[j+1], beforeLast[j-1]+1)
			}
		}
	}
	return row[len(to)]
}
