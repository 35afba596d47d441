"""Adds what the inventory lacks: a master is rarely in it."""

DOCUMENTATION = '''
name: hosts
short_description: Hosts that vauban builds and the inventory lacks
description:
  - Comes after every other inventory, so it sees which hosts they have.
  - Is the first plugin that ansible loads, before it reads any inventory, and
    so starts to note what is read.
author: vauban
'''

import os

from ansible.plugins.inventory import BaseInventoryPlugin

from ansible_collections.vauban.build.plugins.plugin_utils import reads, run as vauban


class InventoryModule(BaseInventoryPlugin):
    """Reads the description of the run, and no other file."""

    NAME = 'vauban.build.hosts'

    def __init__(self):
        super().__init__()
        reads.install(vauban.load())

    def verify_file(self, path):
        return path == os.environ.get('VAUBAN_RUN')

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache=cache)
        run = vauban.load()
        for name in run.hosts:
            if name in inventory.hosts:
                continue
            inventory.add_host(name)
            for group in run.groups:
                inventory.add_host(name, group=inventory.add_group(group))
        inventory.set_variable('all', 'vauban', True)
