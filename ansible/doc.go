// Package ansible applies playbooks of a git repository to running containers.
//
// A [Controller] is ansible on the builder, with the user's arguments, hooks and
// configuration, for one [repository.Repository]. It expands patterns of hosts,
// and a [Playbook] of it is one playbook at one revision, and a [layers.Step]:
// one ansible-playbook process on the builder works on all of the step's
// containers.
//
// The repository's own ansible.cfg, inventories, variables and plugins hold.
// What vauban adds comes in environment variables, in one inventory after theirs,
// and in the collection vauban.build, which is embedded here (folder
// ansible_collections). Its README lists what it patches of ansible:
//
//   - connection/enter runs commands in a container;
//   - vars/hosts gives it, as host variables, to the hosts that are built;
//   - inventory/hosts adds a master that the inventory lacks;
//   - strategy/independent keeps hosts independent of their neighbours;
//   - callback/events reports every result as JSON on a file descriptor of its
//     own, so that nothing is read off ansible's screen, and guards the run:
//     no task reaches a machine that is not built here.
package ansible
