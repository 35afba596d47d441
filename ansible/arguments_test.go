package ansible

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/ansible/repository"
)

func TestSplitArguments(t *testing.T) {
	got, err := splitArguments(`--tags "a b" -e 'x={"k": "$HOME"}' -e y=$WHO --skip-tags=c\ d`, []string{"WHO=me"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--tags", "a b", "-e", `x={"k": "$HOME"}`, "-e", "y=me", "--skip-tags=c d"}
	if diff := cmp.Diff(want, []string(got)); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`-e 'open`, "-e x=$(id)", "-e x=`id`"} {
		if _, err := splitArguments("-e password=hunter2 "+bad+"hunter2", nil); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error repeats the value: %v", bad, err)
		}
		if got, err := splitArguments(bad, nil); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

func FuzzSplitArguments(f *testing.F) {
	f.Add(`-e "a=$B" 'c d'`)
	f.Fuzz(func(t *testing.T, line string) {
		_, _ = splitArguments(line, []string{"B=1"}) // an error or words, never a panic
	})
}

// Files that ansible would look for in the working copy are found where the
// user keeps them.
func TestArguments(t *testing.T) {
	user, tree := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(user, "password"), filepath.Join(user, "both"), filepath.Join(tree, "both")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &repository.Copy{Tree: tree, Root: tree}
	for _, test := range []struct{ args, want []string }{
		{[]string{"--vault-password-file", "password"}, []string{"--vault-password-file", user + "/password"}},
		{[]string{"--vault-password-file=password"}, []string{"--vault-password-file=" + user + "/password"}},
		{[]string{"--vault-id", "prod@password"}, []string{"--vault-id", "prod@" + user + "/password"}},
		{[]string{"--vault-id=prod@prompt"}, []string{"--vault-id=prod@prompt"}},
		{[]string{"-e", "@password"}, []string{"-e", "@" + user + "/password"}},
		{[]string{"-e@password"}, []string{"-e@" + user + "/password"}},
		{[]string{"-e", "password"}, []string{"-e", "password"}},
		{[]string{"-i", "password", "-i", "web1,web2", "-iboth"}, []string{"-i", user + "/password", "-i", "web1,web2", "-iboth"}},
		{[]string{"--vault-password-file"}, []string{"--vault-password-file"}},
		{[]string{"--vault-password-file", "/abs", "--key-file", "~/k"}, []string{"--vault-password-file", "/abs", "--key-file", "~/k"}},
	} {
		if diff := cmp.Diff(test.want, arguments(test.args).in(c, locator{[]string{user}})); diff != "" {
			t.Errorf("%q:\n%s", test.args, diff)
		}
	}
}

func TestInventories(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	configured := settings{"DEFAULT_HOST_LIST": {Origin: "ansible.cfg", Value: []any{"/r/a", "/r/b"}}}
	standard := settings{"DEFAULT_HOST_LIST": {Origin: "default", Value: []any{hosts}}}
	for _, test := range []struct {
		args     []string
		settings settings
		want     []string
	}{
		{nil, configured, []string{"-i", "/r/a", "-i", "/r/b"}},
		{[]string{"-i", "mine"}, configured, nil},
		{[]string{"-imine"}, configured, nil},
		{[]string{"--inventory=mine"}, configured, nil},
		{[]string{"-e", "x=1", "--tags", "i"}, configured, []string{"-i", "/r/a", "-i", "/r/b"}},
		{nil, standard, nil}, // ansible would warn that it is not there
	} {
		s := &session{copy: &repository.Copy{Tree: "/w", Root: "/w"}, arguments: test.args, settings: test.settings}
		if diff := cmp.Diff(test.want, s.inventories()); diff != "" {
			t.Errorf("%q:\n%s", test.args, diff)
		}
	}
}
