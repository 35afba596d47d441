package diff

import "testing"

func TestGlobs(t *testing.T) {
	cases := []struct {
		pattern, path string
		want          bool
	}{
		{"etc/issue", "etc/issue", true},
		{"/etc/issue/", "etc/issue", true},
		{"etc/issue", "etc/issue.net", false},
		{"etc/issue", "usr/etc/issue", false},
		{"etc/*.conf", "etc/a.conf", true},
		{"etc/*.conf", "etc/a/b.conf", false},
		{"etc/?[a-c]", "etc/xb", true},
		{"var/log/**", "var/log", false},
		{"var/log/**", "var/log/a", true},
		{"var/log/**", "var/log/a/b", true},
		{"**/*.pyc", "a.pyc", true},
		{"**/*.pyc", "usr/lib/a.pyc", true},
		{"usr/**/cache", "usr/cache", true},
		{"usr/**/cache", "usr/a/b/cache", true},
		{"usr/**/cache", "usr/a/b", false},
		{"**", "anything/at/all", true},
	}
	for _, c := range cases {
		g, err := ParseGlobs([]string{"no/such/path", c.pattern})
		must(t, err)
		if got := g.Match(c.path); got != c.want {
			t.Errorf("%q matches %q: %t, want %t", c.pattern, c.path, got, c.want)
		}
	}
}

func TestGlobsRefuse(t *testing.T) {
	for _, pattern := range []string{"", "/", "a//b", "../etc", "etc/[a", "./a"} {
		if _, err := ParseGlobs([]string{pattern}); err == nil {
			t.Errorf("%q is accepted", pattern)
		}
	}
}
