package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWritten writes every good configuration of testdata again, of what it
// kept as written, and reads the same tree.
func TestWritten(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/config.yml")
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for _, file := range cases {
		c, err := Load(file)
		if err != nil {
			continue
		}
		again++
		text := rewritten(c)
		got, err := read(file, text)
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, text)
			continue
		}
		c.unplace()
		got.unplace()
		if diff := cmp.Diff(dump(c), dump(got)); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s\n%s", file, diff, text)
		}
	}
	if again < 2 {
		t.Errorf("%d configurations were read", again)
	}
}

func rewritten(c *Config) string {
	var b strings.Builder
	lines := func(indent string, w Written) {
		for _, key := range slices.Sorted(maps.Keys(w)) {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, key, w[key])
		}
	}
	if len(c.Configuration.Written) > 0 {
		fmt.Fprintln(&b, "configuration:")
		lines("  ", c.Configuration.Written)
	}
	var masters func(indent string, all []*Master)
	masters = func(indent string, all []*Master) {
		for _, m := range all {
			fmt.Fprintf(&b, "%s%s:\n", indent, m.Name)
			lines(indent+"  ", m.Written)
			masters(indent+"  ", m.Masters)
		}
	}
	for _, base := range c.Bases {
		fmt.Fprintf(&b, "%s:\n", base.Key)
		lines("  ", base.Written)
		masters("  ", base.Masters)
	}
	return b.String()
}

func TestOneLine(t *testing.T) {
	for value, want := range map[string]string{
		"plain":               "plain",
		"'4'":                 `"4"`,
		"4":                   "4",
		"true":                "true",
		"'true'":              `"true"`,
		"'a: b'":              `"a: b"`,
		"'a #b'":              `"a #b"`,
		"web*,!web9":          "web*,!web9",
		"'*web'":              `"*web"`,
		"[a, 'b c']":          `["a","b c"]`,
		"{a: [1, 'x<y']}":     `{"a":[1,"x<y"]}`,
		"|\n    one\n    two": `"one\ntwo\n"`,
		"''":                  `""`,
		"null":                "null",
	} {
		c, _ := read("config.yml", "bookworm:\n  web:\n    conffs: "+value+"\n")
		if c != nil {
			if got := c.Masters()[0].Written["conffs"]; got != want {
				t.Errorf("%s is written %s, want %s", value, got, want)
			}
			continue
		}
		c, err := read("config.yml", "bookworm:\n  web:\n    facts: {a: "+value+"}\n")
		if err != nil {
			continue
		}
		again, err := read("config.yml", "bookworm:\n  web:\n    facts: "+c.Masters()[0].Written["facts"]+"\n")
		if err != nil {
			t.Errorf("%s: %v", value, err)
		} else if diff := cmp.Diff(c.Masters()[0].Facts, again.Masters()[0].Facts); diff != "" {
			t.Errorf("%s: %s", value, diff)
		}
	}
}

func TestParse(t *testing.T) {
	_, err := Parse("the command line", "/srv", "bookworm:\n  web: {stages: [x]}\n")
	if err == nil || !strings.HasPrefix(err.Error(), `the command line: "x" is not a stage`) {
		t.Errorf("error %v", err)
	}
	c, err := Parse("the command line", "/srv", "bookworm:\n  web: {stages: [x.yml]}\n")
	if err != nil {
		t.Fatal(err)
	}
	m := c.Masters()[0]
	if c.Resolve("f") != "/srv/f" || m.Pos != (Position{}) || m.Stages[0].Pos != (Position{}) {
		t.Errorf("%q, %v, %v", c.Resolve("f"), m.Pos, m.Stages[0].Pos)
	}
}
