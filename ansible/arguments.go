package ansible

import (
	"slices"
	"strings"

	"vauban/ansible/repository"
)

// inventoryOptions name the inventories on the command line; ansible.cfg's are
// then not read.
var inventoryOptions = []string{"-i", "--inventory", "--inventory-file"}

// fileOptions are those of ansible-playbook whose values may be files of the
// user's folder. The function finds the file in such a value.
func (r *Controller) fileOptions(c *repository.Copy) map[string]func(string) string {
	file := func(value string) string { return r.files.find(c, value) }
	// an @ stands before a file, otherwise it is text
	text := func(value string) string {
		if name, ok := strings.CutPrefix(value, "@"); ok {
			return "@" + r.files.find(c, name)
		}
		return value
	}
	vault := func(value string) string { return r.files.vaultID(c, value) }
	inventory := func(value string) string {
		if strings.Contains(value, ",") {
			return value // a list of hosts
		}
		return r.files.find(c, value)
	}
	options := map[string]func(string) string{
		"--vault-password-file": file, "--vault-pass-file": file, "--vault-id": vault,
		"--private-key": file, "--key-file": file, "-e": text, "--extra-vars": text,
	}
	for _, name := range inventoryOptions {
		options[name] = inventory
	}
	return options
}

// arguments are ANSIBLE_EXTRA_ARGS with the files of the user's folder found.
func (r *Controller) arguments(c *repository.Copy) []string {
	options := r.fileOptions(c)
	args := slices.Clone(r.extraArgs)
	for i, arg := range args {
		if find, ok := options[arg]; ok && i+1 < len(args) {
			args[i+1] = find(args[i+1])
			continue
		}
		for name, find := range options {
			prefix := name
			if strings.HasPrefix(name, "--") {
				prefix += "="
			}
			if value, ok := strings.CutPrefix(arg, prefix); ok && value != "" {
				args[i] = prefix + find(value)
			}
		}
	}
	return args
}

// hasOption tells whether the arguments hold one of the options, in any of the
// ways to write it.
func hasOption(args, names []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			if strings.HasPrefix(name, "--") {
				return arg == name || strings.HasPrefix(arg, name+"=")
			}
			return strings.HasPrefix(arg, name) && !strings.HasPrefix(arg, "--")
		})
	})
}

// inventories returns -i for each inventory that ansible would read by itself:
// naming one of ours would make it forget them.
func (r *Controller) inventories(c *repository.Copy, args []string, s settings) []string {
	if hasOption(args, inventoryOptions) {
		return nil
	}
	var own []string
	for _, path := range s.list("DEFAULT_HOST_LIST") {
		path = r.files.find(c, path)
		if s.isSet("DEFAULT_HOST_LIST") || exists(path) {
			own = append(own, "-i", path)
		}
	}
	return own
}
