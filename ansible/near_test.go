package ansible

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

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
