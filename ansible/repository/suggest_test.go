package repository

import "testing"

func TestDidYouMean(t *testing.T) {
	for _, test := range []struct {
		name  string
		known []string
		want  string
	}{
		{"mian", []string{"main", "feature/x"}, `: did you mean "main"?`},
		{"web.yml", []string{"playbooks/web.yml", "web.yaml"}, `: did you mean "playbooks/web.yml" or "web.yaml"?`},
		{"quite-different", []string{"main"}, ""},
		{"", []string{"main"}, ""},
		{"x", nil, ""},
	} {
		if got := didYouMean(test.name, test.known); got != test.want {
			t.Errorf("%q: got %q, want %q", test.name, got, test.want)
		}
	}
}
