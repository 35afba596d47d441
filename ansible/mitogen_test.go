package ansible

import (
	"strings"
	"testing"
)

func TestMitogenTrouble(t *testing.T) {
	for _, test := range []struct {
		core, mitogen string
		broken        bool
	}{
		{"2.14.18", "0.3.3", true},
		{"2.14", "0.3.3", true},
		{"2.15.0rc1", "0.2.10", true},
		{"2.13.9", "0.3.3", false},
		{"2.14.18", "0.3.24", false},
		{"2.14.18", "0.3.51", false},
		{"2.9.27", "0.3.3", false},
		{"2.18.0", "0.4", false},
	} {
		trouble := MitogenTrouble(test.core, test.mitogen)
		if (trouble != "") != test.broken {
			t.Errorf("ansible-core %s with Mitogen %s: got %q, want broken: %t", test.core, test.mitogen, trouble, test.broken)
		}
		if test.broken && (!strings.Contains(trouble, goodMitogen) || !strings.Contains(trouble, test.mitogen+" ")) {
			t.Errorf("%q does not name the versions", trouble)
		}
	}
}

func TestMitogenHint(t *testing.T) {
	for _, test := range []struct {
		action, mitogen string
		want            bool
	}{
		{"service", "0.3.3", true},
		{"ansible.builtin.package", "0.3.3", true},
		{"ansible.builtin.service_facts", "0.3.3", false},
		{"copy", "0.3.3", false},
		{"service", "", false},
		{"service", "0.3.24", false},
		{"", "0.3.3", false},
	} {
		if got := mitogenHint(&event{Action: test.action}, "2.14.18", test.mitogen); (got != "") != test.want {
			t.Errorf("%q under %q: got %q, want a hint: %t", test.action, test.mitogen, got, test.want)
		}
	}
}

func TestStrategy(t *testing.T) {
	for _, test := range []struct {
		cfg, configured, mode string
		conffs                bool
		want                  string
	}{
		{"linear", "", Independent, false, "linear"},
		{"free", "", Independent, false, "linear"},
		{"mitogen_free", "", Independent, false, "mitogen_linear"},
		{"mitogen", "", Together, true, "mitogen_linear"},
		{"mitogen_linear", "", Independent, true, "vauban.build.mitogen_independent"},
		{"mitogen_linear", Linear, Independent, true, "vauban.build.independent"},
		{"mitogen_linear", Linear, Independent, false, "linear"},
		{"linear", Mitogen, Alone, true, "vauban.build.mitogen_independent"},
		{"linear", Mitogen, Independent, false, "mitogen_linear"},
	} {
		p := &Playbook{controller: &Controller{options: Options{Strategy: test.configured}},
			options: PlaybookOptions{Conffs: test.conffs, Mode: test.mode}}
		got := p.strategy(settings{"DEFAULT_STRATEGY": {Value: test.cfg}}).name()
		if got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}
