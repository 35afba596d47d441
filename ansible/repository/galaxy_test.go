package repository

import "testing"

func TestParseRequirement(t *testing.T) {
	for _, test := range []struct {
		name, kind, content string
		roles, collections  bool
	}{
		{"empty", "roles", "", false, false},
		{"comment", "roles", "# nothing\n", false, false},
		{"old list", "roles", "- src: https://git.example.com/role.git\n", true, false},
		{"list of collections", "collections", "- ansible.posix\n", false, true},
		{"both", "roles", "roles: [a.b]\ncollections: [{name: c.d}]\n", true, true},
		{"none", "roles", "roles: []\ncollections: []\n", false, false},
		{"null", "roles", "roles:\ncollections:\n", false, false},
	} {
		f, err := parseRequirement("requirements.yml", test.kind, []byte(test.content))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if f.roles != test.roles || f.collections != test.collections {
			t.Errorf("%s: got roles %v, collections %v", test.name, f.roles, f.collections)
		}
	}
	for _, bad := range []string{"roles: [", "just words\n", "roles: 3\n"} {
		if _, err := parseRequirement("requirements.yml", "roles", []byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParseRequirement(f *testing.F) {
	f.Add([]byte("roles: [a.b]\n"))
	f.Add([]byte("&a [*a]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = parseRequirement("requirements.yml", "roles", content) // an error or an answer, never a panic
	})
}

func TestRequirementsKey(t *testing.T) {
	key := func(commit, content string) string {
		return requirementsKey(&Copy{Commit: commit}, []requirement{{path: "requirements.yml", content: []byte(content)}})
	}
	const remote, local = "- src: https://git.example.com/r.git\n", "collections:\n- name: ./mine\n  type: dir\n"
	if key("1", remote) != key("2", remote) {
		t.Error("the cache is not shared by commits that ask for the same")
	}
	if key("1", remote) == key("1", remote+"  version: v2\n") {
		t.Error("another version has the same key")
	}
	if key("1", local) == key("2", local) {
		t.Error("what lies in the repository has the same key at another commit")
	}
}
