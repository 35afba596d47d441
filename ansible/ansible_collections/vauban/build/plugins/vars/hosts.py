"""Gives the hosts that are built, and only them, their connection."""

DOCUMENTATION = '''
name: hosts
short_description: Variables of the hosts that vauban builds
description:
  - A plugin of variables, because it comes after host_vars files, which a
    later inventory does not.
author: vauban
'''

from ansible.plugins.vars import BaseVarsPlugin

from ansible_collections.vauban.build.plugins.plugin_utils import run as vauban


class VarsModule(BaseVarsPlugin):
    """Looks names up in the description of the run."""

    def __init__(self):
        super().__init__()
        self._run = vauban.load()

    def get_vars(self, loader, path, entities, cache=True):
        super().get_vars(loader, path, entities)
        entities = entities if isinstance(entities, list) else [entities]
        found = {}
        for entity in entities:
            found.update(self._run.hosts.get(entity.name, {}))
        return found
