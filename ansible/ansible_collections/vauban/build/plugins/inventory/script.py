"""Runs inventory programs, and takes the failure of one for a failure."""

DOCUMENTATION = '''
name: script
short_description: Inventory programs whose failure ends the run
description:
  - The plugin C(script) of ansible, with one difference. Where a program fails,
    ansible goes on to the next plugin, and C(ini) reads many a program's text
    as names of hosts.
author: vauban
options:
  always_show_stderr:
    description: Show the program's standard error even when it succeeds.
    version_added: "1.0.0"
    type: boolean
    default: true
    ini:
      - section: inventory_plugin_script
        key: always_show_stderr
    env:
      - name: ANSIBLE_INVENTORY_PLUGIN_SCRIPT_STDERR
'''

import os
import subprocess
import sys

from ansible.errors import AnsibleError
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.inventory import script


class InventoryModule(script.InventoryModule):
    """Ends ansible where a program fails."""

    NAME = 'vauban.build.script'

    def parse(self, inventory, loader, path, cache=None):
        try:
            super().parse(inventory, loader, path, cache)
        except Exception as e:
            if not is_program(path):
                raise  # a list of hosts that is marked executable
            # No exception that ansible catches: it would try other plugins.
            sys.stderr.write('ERROR! The inventory program %s failed: %s\n' % (path, e))
            sys.exit(1)

    def get_host_variables(self, path, host):
        """Looks at how the program ends, which ansible does not."""
        done = subprocess.run([path, '--host', host], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise AnsibleError('--host %s ended with %d: %s' % (host, done.returncode, to_text(done.stderr).strip()))
        text = to_text(done.stdout).strip()
        return self.loader.load(text, file_name=path) if text else {}


def is_program(path):
    """Reports whether the kernel would run a file."""
    try:
        with open(path, 'rb') as f:
            return os.access(path, os.X_OK) and f.read(2) == b'#!'
    except OSError:
        return False
