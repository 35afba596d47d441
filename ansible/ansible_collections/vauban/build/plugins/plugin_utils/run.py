"""The description of one run, which vauban writes before it starts ansible."""

import fnmatch
import json
import os

from ansible import constants as C
from ansible.errors import AnsibleError

CONNECTION = 'vauban.build.enter'
MITOGEN = 'vauban.build.mitogen'


class Run:
    """What vauban asked for.

    hosts: variables of each host that is built, by name
    containers: of each host, the file for notes of what a stage leaves out, the
        folder inside (bin) of the commands that have stand_ins, the programs
        that tell whether it is busy and which units it has, and the places of
        mounts of ours
    groups: groups of a built host that the inventory does not know
    independent: each host is to come out as if it were built alone
    mitogen: hosts are reached by way of Mitogen
    delegate_hosts: patterns of other machines that tasks may reach
    facts: facts that hold whatever was gathered, by name with ansible_
    given: names of facts, without ansible_, of each host that the master or the inventory gives
    facts_from: a folder of facts of hosts that are not built
    tree: the working copy of the repository
    playbook_folders: where playbooks are, whose plugins ansible looks for
    reads: the file to note in what is read of the tree
    """

    def __init__(self, path, description):
        self.path = path
        self._neighbours = path + '.neighbours'
        self._noted = set()
        self.hosts = description['hosts']
        self.containers = description['containers'] or {}
        self.groups = description['groups'] or []
        self.independent = description['independent']
        self.mitogen = description['mitogen']
        self.delegate_hosts = description['delegate_hosts'] or []
        self.facts = {'ansible_' + name.removeprefix('ansible_'): value
                      for name, value in (description['facts'] or {}).items()}
        self.given = {host: {name.removeprefix('ansible_') for name in self.facts} for host in self.hosts}
        self.facts_from = description['facts_from']
        self.tree = description['tree']
        self.playbook_folders = description['playbook_folders']
        self.reads = path + '.reads'

    def may_reach(self, host):
        """Reports whether tasks may connect to host, which is not built here."""
        return host in C.LOCALHOST or any(
            fnmatch.fnmatchcase(host, pattern) for pattern in self.delegate_hosts)

    def lent_facts(self):
        """Yields hosts that are not built and their facts, as setup or a cache of facts wrote them."""
        for name in sorted(os.listdir(self.facts_from)) if self.facts_from else ():
            host = name.removesuffix('.json')
            if host not in self.hosts:
                with open(os.path.join(self.facts_from, name), encoding='utf-8') as file:
                    facts = json.load(file)
                yield host, facts.get('ansible_facts', facts)

    def note_neighbour(self, host, neighbour):
        """Writes down that a task of host read variables of neighbour.

        It may run in any worker, so it goes to a file that all append to.
        """
        if (host, neighbour) in self._noted:
            return
        self._noted.add((host, neighbour))
        with open(self._neighbours, 'a', encoding='utf-8') as file:
            file.write(f'{host} {neighbour}\n')

    def note_passed(self, container, task, what):
        """Writes down what a task left out, as the stand-ins inside do."""
        with open(container['passed'], 'a', encoding='utf-8') as file:
            file.write(f'{task}\t{what}\n')

    def note(self, kind, **fields):
        """Writes down what a task did. Any worker may, so it goes to a file that all append to."""
        with open(f'{self.path}.{kind}', 'a', encoding='utf-8') as file:
            json.dump(fields, file)
            file.write('\n')

    def note_job(self, **event):
        """Writes down what no_log hides from callbacks about a job of `async`."""
        self.note('jobs', **event)


def load():
    """Reads the description that the environment names."""
    path = os.environ.get('VAUBAN_RUN')
    if not path:
        raise AnsibleError('VAUBAN_RUN is not set: this plugin belongs to vauban')
    with open(path, encoding='utf-8') as file:
        return Run(path, json.load(file))
