package ansible

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dump = `[
	{"name": "CALLBACKS_ENABLED", "origin": "/r/ansible.cfg", "type": null, "value": ["profile_tasks"]},
	{"name": "DEFAULT_HOST_LIST", "origin": "default", "type": null, "value": ["/etc/ansible/hosts"]},
	{"name": "DEFAULT_FORKS", "origin": "/r/ansible.cfg", "type": null, "value": 12},
	{"name": "DEFAULT_STRATEGY", "origin": "default", "type": null, "value": "linear"},
	{"name": "DEFAULT_VAULT_PASSWORD_FILE", "origin": "default", "type": null, "value": null},
	{"GALAXY_SERVERS": [{"name": 1}]}
]`

func TestSettings(t *testing.T) {
	s, err := parseSettings([]byte(dump))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.with("CALLBACKS_ENABLED", ",", "ours", "", "profile_tasks"); got != "profile_tasks,ours" {
		t.Errorf("got %q", got)
	}
	if !s.isSet("CALLBACKS_ENABLED") || s.isSet("DEFAULT_HOST_LIST") || s.isSet("NOTHING") {
		t.Error("what is set and what is a default are mixed up")
	}
	if s.number("DEFAULT_FORKS") != 12 || s.text("DEFAULT_STRATEGY") != "linear" || s.text("DEFAULT_VAULT_PASSWORD_FILE") != "" {
		t.Errorf("got %v", s)
	}
	if diff := cmp.Diff([]string{"linear"}, s.list("DEFAULT_STRATEGY")); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(dump))
	f.Add([]byte(`[1, null, {"name": "X", "value": {"a": []}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSettings(data)
		if err != nil {
			return
		}
		for name := range s {
			if name == "" {
				t.Error("a setting without a name")
			}
			_, _, _ = s.list(name), s.number(name), s.text(name)
		}
	})
}
