package scan

import (
	"bytes"
	"slices"
	"strings"
)

// isValue reports whether a needle is the whole value of something that is named
// like a credential: `db_password = "TEXT"`, `"token": "TEXT"`, `SECRET=TEXT`.
// Where what is before it is not in data, another chunk has both.
func isValue(data []byte, at int, n Needle, first, last bool) bool {
	if at < lookbehind && !first {
		return false
	}
	rest := data[at+len(n.Text):]
	if len(rest) == 0 && !last || len(rest) > 0 && !bytes.ContainsRune([]byte(" \t\r\n\"'\\,;&}])<"), rune(rest[0])) {
		return false
	}
	const around = " \t\"'\\"
	before := bytes.TrimRight(data[max(0, at-lookbehind):at], around)
	before = bytes.TrimSuffix(before, []byte(">")) // Ruby's and PHP's =>
	name := bytes.TrimRight(bytes.TrimRight(before, "=:"), around)
	if len(before) == 0 || before[len(before)-1] != '=' && before[len(before)-1] != ':' {
		return false
	}
	start := len(name)
	for start > 0 && isWord(name[start-1]) {
		start--
	}
	own, _, _ := strings.Cut(n.Name, " ")
	return IsCredential(string(name[start:])) || strings.EqualFold(string(name[start:]), own)
}

// IsCredential reports whether a variable or a key of a file is named like one
// whose value is secret.
func IsCredential(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, "key") || slices.ContainsFunc([]string{"pass", "pwd", "secret", "token", "credential"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}
