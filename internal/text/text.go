// Package text writes lists for people to read.
package text

import (
	"fmt"
	"strings"
)

// Few names the first three and counts the rest: "a, b, c and 2 more".
func Few(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}
