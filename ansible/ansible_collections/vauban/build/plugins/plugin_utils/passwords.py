"""Reports passwords that lookup('password') makes up and that are not kept.

The lookup writes them to files of the repository, whose working copy ends with the run.
"""

import functools
import os

from ansible.plugins.lookup import password


def install(run):
    """Watches what the lookup writes. It is called once."""
    write = password._write_password_file

    @functools.wraps(write)
    def noted(path, *args, **kwargs):
        name = os.path.relpath(os.fsdecode(path), run.tree)
        if run.tree and not name.startswith('..') and not os.path.exists(path):
            run.note('passwords', file=name)
        return write(path, *args, **kwargs)

    password._write_password_file = noted
