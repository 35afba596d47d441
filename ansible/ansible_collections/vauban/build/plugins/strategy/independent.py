"""host_pinned, where no host feels what its neighbours do."""

DOCUMENTATION = '''
name: independent
short_description: Each host as if it were alone
description:
  - The strategy C(host_pinned), less what in it still joins hosts. A play that
    fails on all of its hosts ends neither the run nor other hosts' plays.
    C(meta) tasks act on the host that reached them. Actions that ansible runs
    once for all hosts (C(add_host), C(pause), C(run_once)) run for each. A host sees itself
    as the only one of the play, and of its neighbours what the inventory says,
    not what they found out or set.
author: vauban
'''

from ansible.plugins.loader import action_loader
from ansible.plugins.strategy.host_pinned import StrategyModule as HostPinned
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.vauban.build.plugins.plugin_utils import alone, run as vauban


class StrategyModule(HostPinned):
    """Plays have a single batch under this strategy: see the callback."""

    def __init__(self, tqm):
        super().__init__(tqm)
        self._variable_manager = Variables(self._variable_manager, self._inventory, self._loader)
        for name in ('add_host', 'pause'):
            for spelling in (name, 'ansible.builtin.' + name, 'ansible.legacy.' + name):
                # host_pinned refuses such actions, and ends the whole run
                action_loader.get(spelling, class_only=True).BYPASS_HOST_LOOP = False

    def run(self, iterator, play_context):
        result = super().run(iterator, play_context)
        stats = self._tqm._stats
        for name in iterator.get_failed_hosts():
            # a role that cannot be included is not counted by ansible
            if not stats.failures.get(name) and not stats.dark.get(name):
                stats.increment('failures', name)
        # Ansible ends the run after a play in which every host failed: when
        # one play is for one host, that would stop all the others. Where the
        # play itself asked to be ended, it goes on with the next one.
        iterator.end_play = True
        return result

    def get_task_hosts(self, iterator, task_host, task):
        """What a task registers or sets with run_once is not its neighbours': it runs for each host."""
        return [task_host.name]

    def _execute_meta(self, task, play_context, iterator, target_host):
        if task.args.get('_raw_params') == 'refresh_inventory':
            # it is for all, and what it does not see leaves the play
            return super()._execute_meta(task, play_context, iterator, target_host)
        # end_play, clear_facts and others go through all hosts of the
        # inventory that the present restriction lets them see
        batch = [self._inventory.get_host(name) for name in self._hosts_cache]
        self._inventory.restrict_to_hosts([target_host])
        try:
            return super()._execute_meta(task, play_context, iterator, target_host)
        finally:
            self._inventory.restrict_to_hosts(batch)


class Variables:
    """ansible's variable manager, which answers each host as if it were alone."""

    def __init__(self, manager, inventory, loader):
        self._manager = manager
        self._inventory = inventory
        self._loader = loader
        self._run = vauban.load()
        self._unbuilt = VariableManager(loader=loader, inventory=inventory)  # no facts
        self._hosts = {}  # how many each play is for, by uuid

    def __getattr__(self, name):
        return getattr(self._manager, name)

    def get_vars(self, host=None, **options):
        if host is not None and options.get('task'):
            alone.Task.begins(host, options['task'], self._hosts_of(options.get('play')))
        variables = self._manager.get_vars(host=host, **options)
        if host is None:
            return variables
        for name in alone.PLAY_HOSTS:
            if name in variables:
                variables[name] = [host.name]
        if 'hostvars' in variables:
            variables['hostvars'] = HostVars(self._inventory, Neighbours(host, self), self._loader)
        return variables

    def _hosts_of(self, play):
        """Counts the hosts that a play is for, whichever are built."""
        if play is None:
            return 0
        if play._uuid not in self._hosts:
            self._hosts[play._uuid] = len(self._inventory.get_hosts(play.hosts, ignore_limits=True, ignore_restrictions=True))
        return self._hosts[play._uuid]


class Neighbours:
    """What one host may know of the others."""

    def __init__(self, host, variables):
        self._host = host
        self._variables = variables

    def __getattr__(self, name):
        return getattr(self._variables, name)

    def get_vars(self, host=None, **options):
        variables = self._variables
        if host.name == self._host.name or host.name not in variables._run.hosts:
            return variables._manager.get_vars(host=host, **options)
        variables._run.note_neighbour(self._host.name, host.name)
        return variables._unbuilt.get_vars(host=host, **options)
