package ansible

import (
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"vauban/ansible/repository"
	"vauban/internal/command"
)

// environ is what every program of ansible's gets in a working copy.
func (r *Controller) environ(c *repository.Copy) []string {
	env := append(withLogin(r.options.Repository.Environ),
		"LC_ALL=C.UTF-8", // ansible refuses others
		"ANSIBLE_NOCOLOR=true", "ANSIBLE_FORCE_COLOR=false",
		"ANSIBLE_LOCAL_TEMP="+filepath.Join(c.Dir, "tmp"),
		"ANSIBLE_RETRY_FILES_ENABLED=false",
		// A source that fails is not a source without hosts. (Without any
		// source, ANSIBLE_INVENTORY_UNPARSED_FAILED would refuse that too.)
		"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true",
	)
	config := command.Getenv(env, "ANSIBLE_CONFIG")
	switch {
	case config != "" && !filepath.IsAbs(config):
		env = append(env, "ANSIBLE_CONFIG="+filepath.Join(r.options.Repository.Dir, config))
	case config == "" && isFile(configFile(c)):
		// Named outright, because ansible passes over an ansible.cfg
		// that it finds in a folder others may write to.
		env = append(env, "ANSIBLE_CONFIG="+configFile(c))
	}
	return env
}

// withLogin adds the name of the user where a CI job's container does not say
// it: defaults of roles look it up on the builder.
func withLogin(environ []string) []string {
	env := slices.Clone(environ)
	who, err := user.Current()
	if err != nil {
		return env
	}
	for _, name := range []string{"USER", "LOGNAME"} {
		if command.Getenv(env, name) == "" {
			env = append(env, name+"="+who.Username)
		}
	}
	return env
}

// playbookEnviron adds vauban's plugins and what a run inside needs.
func (r *Controller) playbookEnviron(c *repository.Copy, s settings, g repository.Installed, description string) []string {
	env := append(r.environ(c),
		"VAUBAN_RUN="+description,
		"VAUBAN_EVENTS_FD=3",
		"ANSIBLE_CALLBACKS_ENABLED="+s.with("CALLBACKS_ENABLED", ",", "vauban.build.events"),
		"ANSIBLE_VARS_ENABLED="+s.with("VARIABLE_PLUGINS_ENABLED", ",", "vauban.build.hosts"),
		// first, for ini would try to read our file
		inventoryPlugins(s, "vauban.build.hosts"),
		"ANSIBLE_COLLECTIONS_PATH="+s.with("COLLECTIONS_PATHS", ":", g.Collections, r.Repository.Dir()),
		"ANSIBLE_CACHE_PLUGIN=memory", // facts of another run are not this one's
		"ANSIBLE_BECOME_ALLOW_SAME_USER=false",
		"ANSIBLE_KEEP_REMOTE_FILES=false",
		"ANSIBLE_SYSTEM_TMPDIRS=/tmp",
	)
	if g.Roles != "" {
		env = append(env, "ANSIBLE_ROLES_PATH="+s.with("DEFAULT_ROLES_PATH", ":", g.Roles))
	}
	return append(env, r.vaultEnviron(c, s)...)
}

// listEnviron is what listing the hosts of an inventory takes besides environ.
func (r *Controller) listEnviron(c *repository.Copy, s settings) []string {
	return append(r.vaultEnviron(c, s), inventoryPlugins(s),
		"ANSIBLE_COLLECTIONS_PATH="+s.with("COLLECTIONS_PATHS", ":", r.Repository.Dir()))
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
func (r *Controller) vaultEnviron(c *repository.Copy, s settings) []string {
	var env []string
	if file := s.text("DEFAULT_VAULT_PASSWORD_FILE"); file != "" {
		env = append(env, "ANSIBLE_VAULT_PASSWORD_FILE="+r.files.find(c, file))
	}
	if ids := s.list("DEFAULT_VAULT_IDENTITY_LIST"); len(ids) > 0 {
		for i, id := range ids {
			ids[i] = r.files.vaultID(c, id)
		}
		env = append(env, "ANSIBLE_VAULT_IDENTITY_LIST="+strings.Join(ids, ","))
	}
	return env
}
