"""Mitogen, where no host feels what its neighbours do."""

DOCUMENTATION = '''
name: mitogen_independent
short_description: Each host as if it were alone, with Mitogen
description:
  - The strategy C(mitogen_host_pinned), with what C(vauban.build.independent)
    is to C(host_pinned).
author: vauban
'''

from ansible_collections.vauban.build.plugins.strategy.independent import StrategyModule as Independent

# on the path of modules since the callback has found Mitogen
import ansible_mitogen.strategy


class StrategyModule(ansible_mitogen.strategy.StrategyMixin, Independent):
    """Mitogen's own strategies are made in the same way."""
