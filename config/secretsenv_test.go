package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

func TestParseSecretsEnv(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"plain", "VAULT_PATH=a", "a"},
		{"no value", "VAULT_PATH=", ""},
		{"export", " export\tVAULT_PATH=a\n", "a"},
		{"single quotes", `VAULT_PATH='a b $c \d "e" #f'`, `a b $c \d "e" #f`},
		{"double quotes", `VAULT_PATH="a b \$c \"d\" \\ \e 'f' #g"`, `a b $c "d" \ \e 'f' #g`},
		{"pieces", `VAULT_PATH=a'b'"c"\ d`, "abc d"},
		{"a quote in single quotes", `VAULT_PATH='it'\''s'`, "it's"},
		{"comment", "# c\n\n  # d\nVAULT_PATH=a # e\n", "a"},
		{"no comment", "VAULT_PATH=a#b", "a#b"},
		{"equals signs", "VAULT_PATH=a=b==", "a=b=="},
		{"the last wins", "VAULT_PATH=a\nVAULT_PATH=b", "b"},
		{"another tool's", "AWS_KEY=x\nVAULT_PATH=a", "a"},
		{"lines in quotes", "VAULT_PATH='a\nb=\nc'", "a\nb=\nc"},
		{"line continued", "VAULT_PATH=a\\\nb", "ab"},
		{"line continued in quotes", "VAULT_PATH=\"a\\\nb\"", "ab"},
		{"windows", "\ufeffVAULT_PATH=a\r\n", "a"},
		{"tilde", `VAULT_PATH='~'a~b`, "~a~b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSecretsEnv(".secrets.env", tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"VAULT_PATH": tt.want}, got.settings); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestParseSecretsEnvRefuses(t *testing.T) {
	tests := []struct {
		name, data string
		want       []string // how each line of the error begins
	}{
		{"a forgotten quote", "export REGISTRY_HOSTNAME='hunter2.example.com\nexport REGISTRY_USERNAME='hunter2$'\nVAULT_ADDR='hunter2'\n",
			[]string{".secrets.env:1:26: this quote is never closed", `.secrets.env:3:12: "VAULT_ADDR" is not a URL`}},
		{"at the end", "VAULT_PATH=a\n\nVAULT_TOKEN=\"hunter2", []string{".secrets.env:3:13: this quote is never closed"}},
		{"before a setting without export", "VAULT_TOKEN=\"hunter2\nVAULT_PATH=\"a\"", []string{".secrets.env:1:13: this quote is never closed"}},
		{"command", "VAULT_TOKEN=$(cat hunter2)", []string{".secrets.env:1:13: the value contains a command"}},
		{"command in quotes", `VAULT_TOKEN="a$(cat hunter2)"`, []string{".secrets.env:1:15: the value contains a command"}},
		{"backquote", "VAULT_TOKEN=`cat hunter2`", []string{".secrets.env:1:13: the value contains a command"}},
		{"variable", "VAULT_TOKEN=\"$hunter2\"", []string{`.secrets.env:1:14: "$" would be expanded`}},
		{"two words", "VAULT_TOKEN=a hunter2", []string{".secrets.env:1:15: something follows the value"}},
		{"a list of commands", "VAULT_TOKEN=hunter2;id", []string{`.secrets.env:1:20: ';' is special`}},
		{"home", "VAULT_PATH=~/hunter2", []string{".secrets.env:1:12: a shell would expand this ~"}},
		{"a command", "echo hunter2", []string{".secrets.env:1:1: this is not an assignment"}},
		{"spaces", "VAULT_TOKEN = hunter2", []string{".secrets.env:1:1: this is not an assignment"}},
		{"not a name", "1A=hunter2", []string{".secrets.env:1:1: this is not an assignment"}},
		{"a slip", "VAULT_TOKN=hunter2", []string{`.secrets.env:1:1: unknown setting "VAULT_TOKN": did you mean "VAULT_TOKEN"?`}},
		{"a bad value", "# é\nVAULT_ENGINE='hunter2'", []string{`.secrets.env:2:14: "VAULT_ENGINE" has an unknown value`}},
		{"backslash", "VAULT_TOKEN=hunter2\\", []string{".secrets.env:1:20: nothing follows the backslash"}},
		{"nul", "VAULT_TOKEN='hunter2\x00'", []string{".secrets.env:1:21: the value contains a NUL byte"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSecretsEnv(".secrets.env", tt.data)
			if err == nil {
				t.Fatalf("accepted as %v", got.settings)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("%d mistakes, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("mistake %q, want %q…", lines[i], want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

// FuzzParseSecretsEnv compares what is accepted with what a shell's parser
// makes of it: every assignment must be the same.
func FuzzParseSecretsEnv(f *testing.F) {
	for _, seed := range []string{
		"VAULT_PATH=a", "export VAULT_PATH='a b'\n# c\nVAULT_TOKEN=\"\\$x\"", "VAULT_PATH=a'b'\"c\"\\ d#e",
		"VAULT_PATH='a\nb'\\\nc # d", "VAULT_PATH=a:b=c{d,e}*?[f]!%^@+-,./", "VAULT_PATH=$(x)", "VAULT_PATH='", "VAULT_PATH=~",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		got, err := parseSecretsEnv(".secrets.env", data)
		if err != nil || strings.ContainsAny(data, "\r\ufeff{") || !utf8.ValidString(data) {
			return // a shell keeps the first two; its parser here expands {a,b} and wants UTF-8
		}
		want, err := assignments(data)
		if err != nil {
			t.Fatalf("a shell refuses %q: %v", data, err)
		}
		all := maps.Clone(got.settings)
		maps.Copy(all, got.others)
		for name := range got.others {
			if slices.Contains(settingNames(), name) {
				t.Errorf("%q: the setting %s is taken for another tool's", data, name)
			}
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("%q: a shell (-), ours (+):\n%s", data, diff)
		}
	})
}

// assignments runs nothing: it expands the values of a shell program that is
// nothing but assignments.
func assignments(data string) (map[string]string, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(data), "")
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, statement := range file.Stmts {
		var assigns []*syntax.Assign
		switch command := statement.Cmd.(type) {
		case *syntax.CallExpr:
			assigns = command.Assigns
		case *syntax.DeclClause:
			assigns = command.Args
		}
		for _, one := range assigns {
			if one.Value == nil {
				values[one.Name.Value] = ""
				continue
			}
			fields, err := expand.Fields(nil, one.Value)
			if err != nil {
				return nil, err
			}
			values[one.Name.Value] = strings.Join(fields, "")
		}
	}
	return values, nil
}
