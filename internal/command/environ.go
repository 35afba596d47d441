package command

import "strings"

// Getenv is the value of a variable in an environment, whose later entries win;
// "" where it is not set.
func Getenv(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}
