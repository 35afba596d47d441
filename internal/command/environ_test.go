package command

import "testing"

func TestGetenv(t *testing.T) {
	environ := []string{"A=1", "AB=2", "A=3=4", "C="}
	for name, want := range map[string]string{"A": "3=4", "AB": "2", "C": "", "B": ""} {
		if got := Getenv(environ, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
