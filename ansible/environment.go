package ansible

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
)

// environ is what every program of ansible's gets in a working copy.
func (r *Repository) environ(c *workingCopy) []string {
	env := append(withLogin(r.options.Environ),
		"LC_ALL=C.UTF-8", // ansible refuses others
		"ANSIBLE_NOCOLOR=true", "ANSIBLE_FORCE_COLOR=false",
		"ANSIBLE_LOCAL_TEMP="+filepath.Join(c.dir, "tmp"),
		"ANSIBLE_RETRY_FILES_ENABLED=false",
		// A source that fails is not a source without hosts. (Without any
		// source, ANSIBLE_INVENTORY_UNPARSED_FAILED would refuse that too.)
		"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true",
	)
	config := getenv(env, "ANSIBLE_CONFIG")
	switch {
	case config != "" && !filepath.IsAbs(config):
		env = append(env, "ANSIBLE_CONFIG="+filepath.Join(r.options.Dir, config))
	case config == "" && isFile(c.config()):
		// Named outright, because ansible passes over an ansible.cfg
		// that it finds in a folder others may write to.
		env = append(env, "ANSIBLE_CONFIG="+c.config())
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
		if getenv(env, name) == "" {
			env = append(env, name+"="+who.Username)
		}
	}
	return env
}

// playbookEnviron adds vauban's plugins and what a run inside needs.
func (r *Repository) playbookEnviron(c *workingCopy, s settings, g galaxy, description string) []string {
	env := append(r.environ(c),
		"VAUBAN_RUN="+description,
		"VAUBAN_EVENTS_FD=3",
		"ANSIBLE_CALLBACKS_ENABLED="+s.with("CALLBACKS_ENABLED", ",", "vauban.build.events"),
		"ANSIBLE_VARS_ENABLED="+s.with("VARIABLE_PLUGINS_ENABLED", ",", "vauban.build.hosts"),
		// first, for ini would try to read our file
		inventoryPlugins(s, "vauban.build.hosts"),
		"ANSIBLE_COLLECTIONS_PATH="+s.with("COLLECTIONS_PATHS", ":", g.collections, r.dir),
		"ANSIBLE_CACHE_PLUGIN=memory", // facts of another run are not this one's
		"ANSIBLE_BECOME_ALLOW_SAME_USER=false",
		"ANSIBLE_KEEP_REMOTE_FILES=false",
		"ANSIBLE_SYSTEM_TMPDIRS=/tmp",
	)
	if g.roles != "" {
		env = append(env, "ANSIBLE_ROLES_PATH="+s.with("DEFAULT_ROLES_PATH", ":", g.roles))
	}
	return append(env, r.vaultEnviron(c, s)...)
}

// listEnviron is what listing the hosts of an inventory takes besides environ.
func (r *Repository) listEnviron(c *workingCopy, s settings) []string {
	return append(r.vaultEnviron(c, s), inventoryPlugins(s),
		"ANSIBLE_COLLECTIONS_PATH="+s.with("COLLECTIONS_PATHS", ":", r.dir))
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
func (r *Repository) vaultEnviron(c *workingCopy, s settings) []string {
	var env []string
	if file := s.text("DEFAULT_VAULT_PASSWORD_FILE"); file != "" {
		env = append(env, "ANSIBLE_VAULT_PASSWORD_FILE="+r.locate(c, file))
	}
	if ids := s.list("DEFAULT_VAULT_IDENTITY_LIST"); len(ids) > 0 {
		for i, id := range ids {
			ids[i] = r.locateVaultID(c, id)
		}
		env = append(env, "ANSIBLE_VAULT_IDENTITY_LIST="+strings.Join(ids, ","))
	}
	return env
}

func (r *Repository) locateVaultID(c *workingCopy, id string) string {
	label, file, ok := strings.Cut(id, "@")
	if !ok {
		return r.locate(c, id)
	}
	return label + "@" + r.locate(c, file)
}

// locate finds a file that was named relative to the working copy: there, or
// else in the user's folder or the user's own copy of the repository.
func (r *Repository) locate(c *workingCopy, path string) string {
	relative := strings.TrimPrefix(strings.TrimPrefix(path, c.root+"/"), c.tree+"/")
	if filepath.IsAbs(relative) || strings.HasPrefix(relative, "~") {
		return path
	}
	if exists(filepath.Join(c.root, relative)) {
		return path
	}
	for _, folder := range r.userFolders() {
		if found := filepath.Join(folder, relative); exists(found) {
			return found
		}
	}
	return path
}

// userFolders are those that hold what git does not.
func (r *Repository) userFolders() []string {
	folders := []string{r.options.Dir, filepath.Join(r.options.Dir, r.options.RootDir)}
	if r.remote.path != "" {
		folders = append(folders, filepath.Join(r.remote.path, r.options.RootDir), r.remote.path)
	}
	return folders
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
