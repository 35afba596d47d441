package ansible

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// didYouMean ends an error about an unknown name with those it resembles.
func didYouMean(name string, known []string) string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	for _, k := range known {
		// A third of the letters may differ; a path in another folder counts.
		d := distance(name, k)
		if fileName(k) == fileName(name) {
			d = 0
		}
		if d <= (len(name)+2)/3 {
			near = append(near, candidate{k, d})
		}
	}
	if len(near) == 0 {
		return ""
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	var quoted []string
	for _, c := range near[:min(3, len(near))] {
		quoted = append(quoted, fmt.Sprintf("%q", c.name))
	}
	return ": did you mean " + strings.Join(quoted, " or ") + "?"
}

func fileName(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// distance counts the letters to change, add or drop (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
