"""Joins Mitogen to the containers that are built.

Mitogen knows how to reach a host from a fixed list of connections, and leaves
others as they are. So while one of its strategies is active, the built hosts'
connection is exchanged for the one next to it that uses Mitogen.
"""

from ansible.errors import AnsibleError
from ansible.plugins.loader import strategy_loader

from ansible_collections.vauban.build.plugins.plugin_utils import run as vauban

# A task on the builder stays ansible's: Mitogen would call sudo to make root
# root, where there may be none.
EXCHANGED = {vauban.CONNECTION: vauban.MITOGEN, 'mitogen_local': 'local'}

# What Mitogen calls the function that finds connections, by its version.
FINDERS = ('connection_loader__get', 'connection_loader__get_with_context')


def install():
    """Prepares this process for Mitogen and returns its version. It is called once."""
    # the plugin puts Mitogen on the path of modules, wherever it is installed
    if strategy_loader.get('mitogen_linear', class_only=True) is None:
        raise AnsibleError('ansible finds no strategy mitogen_linear')
    import ansible_mitogen.loaders as loaders
    import mitogen

    for name in FINDERS:
        if hasattr(loaders, name):
            setattr(loaders, name, exchanging(getattr(loaders, name)))
    return '.'.join(str(part) for part in mitogen.__version__)


def exchanging(find):
    """Wraps the finder of connections."""
    def found(name, *args, **kwargs):
        return find(EXCHANGED.get(name, name), *args, **kwargs)

    return found
