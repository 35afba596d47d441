package ansible

import "vauban/ansible/repository"

// Options say how ansible is run, and on which repository.
type Options struct {
	// Repository is where the playbooks are. Its environment is also that
	// of ansible and the hooks.
	Repository repository.Options
	// ExtraArgs are added to ansible-playbook's, split as a shell would.
	ExtraArgs string
	// Program is the ansible-playbook to run. Empty: the one on the PATH.
	// Its siblings, ansible-galaxy and ansible-config, are taken from the
	// same folder.
	Program string
	// HookPre and HookPost are bash scripts, run on the builder before and
	// after ansible.
	HookPre, HookPost string
	// Strategy is Mitogen or Linear. Empty: what ansible's configuration says.
	Strategy string
	// Forks is how many hosts are worked on at the same time. 0: what ansible's
	// configuration says, else twice the cores.
	Forks int
	// DelegateHosts are patterns (shell style) of machines outside the build
	// that tasks may be delegated to.
	DelegateHosts []string
	// FactsFrom is a folder of facts of hosts that are not built: a JSON file
	// for each, named after it, as the module setup or a cache of facts
	// writes them. Empty: none.
	FactsFrom string
}
