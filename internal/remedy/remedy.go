// Package remedy words errors so that all of them say in one way what to do.
package remedy

import "fmt"

// Text is "WHAT (WHY): DO", as in `"web" is declared twice (line 3 declares it
// too): rename one of the two`. Why and do may be empty.
func Text(what, why, do string) string {
	if why != "" {
		what = fmt.Sprintf("%s (%s)", what, why)
	}
	if do != "" {
		what += ": " + do
	}
	return what
}
