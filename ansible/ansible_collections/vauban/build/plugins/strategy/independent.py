"""host_pinned, where no host feels what its neighbours do."""

DOCUMENTATION = '''
name: independent
short_description: Each host as if it were alone
description:
  - The strategy C(host_pinned), less what in it still joins hosts; a play that
    fails on all of its hosts ends neither the run nor the other hosts' plays,
    C(meta) tasks act on the host that reached them, and actions that ansible
    runs once for all hosts (C(add_host), C(pause)) run for each.
author: vauban
'''

from ansible.plugins.loader import action_loader
from ansible.plugins.strategy.host_pinned import StrategyModule as HostPinned


class StrategyModule(HostPinned):
    """Plays have a single batch under this strategy: see the callback."""

    def __init__(self, tqm):
        super().__init__(tqm)
        for name in ('add_host', 'pause'):
            for spelling in (name, 'ansible.builtin.' + name, 'ansible.legacy.' + name):
                # the strategy refuses such actions, and ends the whole run
                action_loader.get(spelling, class_only=True).BYPASS_HOST_LOOP = False

    def run(self, iterator, play_context):
        result = super().run(iterator, play_context)
        stats = self._tqm._stats
        for name in iterator.get_failed_hosts():
            # a role that cannot be included is not counted by ansible
            if not stats.failures.get(name) and not stats.dark.get(name):
                stats.increment('failures', name)
        # ansible ends the run after a play in which every host failed: when
        # one play is for one host, that would stop all the others. Where the
        # play itself asked to be ended, it goes on with the next one.
        iterator.end_play = True
        return result

    def _execute_meta(self, task, play_context, iterator, target_host):
        # end_play, clear_facts and others go through all hosts of the
        # inventory that the present restriction lets them see
        batch = [self._inventory.get_host(name) for name in self._hosts_cache]
        self._inventory.restrict_to_hosts([target_host])
        try:
            return super()._execute_meta(task, play_context, iterator, target_host)
        finally:
            self._inventory.restrict_to_hosts(batch)
