package inside

import (
	"path"
	"strings"
)

// matches says whether text matches a pattern of a shell's case.
func matches(pattern, text string) bool {
	// To path.Match a slash is special, to a shell it is not.
	slashes := strings.NewReplacer("/", "\x00", "[!", "[^")
	ok, err := path.Match(slashes.Replace(pattern), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil || pattern == text
}

// matchesAny says whether text matches one of the patterns.
func matchesAny(text string, patterns ...string) bool {
	for _, pattern := range patterns {
		if matches(pattern, text) {
			return true
		}
	}
	return false
}

// compareVersions orders names of kernels: digits as numbers, ~ before
// everything, letters before the rest. Source: deb-version(7), which sort -V
// follows.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		textA, restA := cutDigits(a, false)
		textB, restB := cutDigits(b, false)
		if order := compareTexts(textA, textB); order != 0 {
			return order
		}
		numberA, nextA := cutDigits(restA, true)
		numberB, nextB := cutDigits(restB, true)
		numberA, numberB = strings.TrimLeft(numberA, "0"), strings.TrimLeft(numberB, "0")
		if order := len(numberA) - len(numberB); order != 0 {
			return order
		}
		if order := strings.Compare(numberA, numberB); order != 0 {
			return order
		}
		a, b = nextA, nextB
	}
	return 0
}

// cutDigits divides s behind what begins it: digits, or what are none.
func cutDigits(s string, digits bool) (first, rest string) {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9') == digits {
		n++
	}
	return s[:n], s[n:]
}

func compareTexts(a, b string) int {
	for i := range max(len(a), len(b)) {
		if order := rank(a, i) - rank(b, i); order != 0 {
			return order
		}
	}
	return 0
}

func rank(s string, i int) int {
	switch {
	case i >= len(s):
		return 0
	case s[i] == '~':
		return -1
	case s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z':
		return int(s[i])
	}
	return int(s[i]) + 256
}
