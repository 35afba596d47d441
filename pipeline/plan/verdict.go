package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict tells why something is stale.
type Verdict struct {
	// Why names what has changed. Empty: nothing.
	Why []string `json:"why,omitempty"`
	// Follows says that what it is made of is stale itself: whether that
	// changes anything here shows once that is built.
	Follows string `json:"follows,omitempty"`
}

// Fresh reports whether nothing has changed, here or above.
func (v Verdict) Fresh() bool { return len(v.Why) == 0 && v.Follows == "" }

// String is the reasons in one line, "" for what is fresh.
func (v Verdict) String() string {
	return strings.Join(slices.DeleteFunc(append(slices.Clone(v.Why), v.Follows), func(s string) bool { return s == "" }), "; ")
}

// Sentence is "fresh", or "stale: " and why.
func (v Verdict) Sentence() string {
	if v.Fresh() {
		return "fresh"
	}
	return "stale: " + v.String()
}

// Follow adds that what something is made of is stale.
func (v *Verdict) Follow(above Verdict, format string, args ...any) {
	if !above.Fresh() {
		v.Follows = fmt.Sprintf(format, args...)
	}
}
