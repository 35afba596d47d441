package ansible

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"

	"vauban/ansible/repository"
)

// session is ansible in one working copy, with what the user's configuration
// and arguments come to there.
type session struct {
	copy      *repository.Copy
	settings  settings
	arguments []string
	programs  *programs
	files     locator
	plugins   string // the folder of the collection vauban.build
}

// inventories returns -i for each inventory that ansible would read by itself:
// naming one of ours would make it forget them.
func (s *session) inventories() []string {
	if hasOption(s.arguments, inventoryOptions) {
		return nil
	}
	var own []string
	for _, path := range s.settings.list("DEFAULT_HOST_LIST") {
		path = s.files.find(s.copy, path)
		if s.settings.isSet("DEFAULT_HOST_LIST") || exists(path) {
			own = append(own, "-i", path)
		}
	}
	return own
}

// forks is how many hosts one ansible process works on at the same time.
func (s *session) forks(wanted int) int {
	const ansiblesOwn = 5
	if n := s.settings.number("DEFAULT_FORKS"); wanted == 0 && n != 0 && n != ansiblesOwn {
		return n
	}
	return cmp.Or(wanted, 2*runtime.NumCPU())
}

// listHosts has ansible-playbook list the hosts of the plays of a playbook: the
// same program, configuration and arguments as a run.
func (s *session) listHosts(ctx context.Context, playbook string, more ...string) ([][]string, error) {
	args := slices.Concat(s.arguments, s.inventories(), []string{"--list-hosts"}, more, []string{playbook})
	out, err := s.programs.ask(ctx, s.copy, s.listEnviron(), "ansible-playbook", args...)
	if err != nil {
		return nil, err
	}
	return parseHostLists(out)
}

// playbookEnviron adds vauban's plugins and what a run inside needs.
func (s *session) playbookEnviron(installed repository.Installed, description string) []string {
	env := append(s.programs.environIn(s.copy),
		"VAUBAN_RUN="+description,
		"VAUBAN_EVENTS_FD=3",
		"ANSIBLE_CALLBACKS_ENABLED="+s.settings.with("CALLBACKS_ENABLED", ",", "vauban.build.events"),
		"ANSIBLE_VARS_ENABLED="+s.settings.with("VARIABLE_PLUGINS_ENABLED", ",", "vauban.build.hosts"),
		// first, for ini would try to read our file
		inventoryPlugins(s.settings, "vauban.build.hosts"),
		"ANSIBLE_COLLECTIONS_PATH="+s.settings.with("COLLECTIONS_PATHS", ":", installed.Collections, s.plugins),
		"ANSIBLE_CACHE_PLUGIN=memory", // facts of another run are not this one's
		"ANSIBLE_BECOME_ALLOW_SAME_USER=false",
		"ANSIBLE_KEEP_REMOTE_FILES=false",
		"ANSIBLE_SYSTEM_TMPDIRS=/tmp",
	)
	if installed.Roles != "" {
		env = append(env, "ANSIBLE_ROLES_PATH="+s.settings.with("DEFAULT_ROLES_PATH", ":", installed.Roles))
	}
	return append(env, s.vaultEnviron()...)
}

// listEnviron is what listing the hosts of an inventory takes besides the
// environment of every program.
func (s *session) listEnviron() []string {
	return append(s.vaultEnviron(), inventoryPlugins(s.settings),
		"ANSIBLE_COLLECTIONS_PATH="+s.settings.with("COLLECTIONS_PATHS", ":", s.plugins))
}

// inventoryPlugins are those that the user enabled, after the first ones given.
// Ours takes the place of ansible's for programs, whose failure it reports.
func inventoryPlugins(s settings, first ...string) string {
	plugins := append(first, s.list("INVENTORY_ENABLED")...)
	for i, name := range plugins {
		if name == "script" || name == "ansible.builtin.script" {
			plugins[i] = "vauban.build.script"
		}
	}
	return "ANSIBLE_INVENTORY_ENABLED=" + strings.Join(plugins, ",")
}

// vaultEnviron finds the password files that ansible.cfg names and git rightly
// does not hold.
func (s *session) vaultEnviron() []string {
	var env []string
	if file := s.settings.text("DEFAULT_VAULT_PASSWORD_FILE"); file != "" {
		env = append(env, "ANSIBLE_VAULT_PASSWORD_FILE="+s.files.find(s.copy, file))
	}
	if ids := s.settings.list("DEFAULT_VAULT_IDENTITY_LIST"); len(ids) > 0 {
		for i, id := range ids {
			ids[i] = s.files.vaultID(s.copy, id)
		}
		env = append(env, "ANSIBLE_VAULT_IDENTITY_LIST="+strings.Join(ids, ","))
	}
	return env
}
