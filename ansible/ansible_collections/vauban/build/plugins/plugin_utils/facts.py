"""Notes which files hold facts of the builder.

A file that a task wrote with the number of the builder's processors in it is
wrong on the machine that it is for, and looks right.
"""

import collections
import functools
import os
import re

import jinja2.runtime

from ansible.playbook.task import Task
from ansible.template import Templar

# What setup finds out about the machine that runs it. Names of interfaces are
# left to the inventory of addresses that a layer is searched for.
BUILDERS = frozenset((
    'all_ipv4_addresses', 'all_ipv6_addresses', 'bios_date', 'bios_version', 'board_name', 'board_serial', 'default_ipv4',
    'default_ipv6', 'device_links', 'devices', 'kernel', 'kernel_version', 'memfree_mb', 'memory_mb', 'memtotal_mb', 'mounts',
    'processor', 'processor_cores', 'processor_count', 'processor_nproc', 'processor_threads_per_core', 'processor_vcpus',
    'product_name', 'product_serial', 'product_uuid', 'product_version', 'swapfree_mb', 'swaptotal_mb', 'system_vendor',
))

ALONE = re.compile(r'\{\{\s*ansible_(\w+)\s*\}\}')

used = set()  # by the task of this process


def install():
    """Watches the names that templates look up. It is called once."""
    resolve, post_validate = jinja2.runtime.Context.resolve_or_missing, Task.post_validate
    template = Templar.template

    def resolved(self, key):
        value = resolve(self, key)
        if key == 'ansible_facts':
            return watched(value)
        if isinstance(key, str) and key.startswith('ansible_'):
            name = key[len('ansible_'):]
            # what was not gathered is a variable, or a default
            if of_builder(name, value) and name in (resolve(self, 'ansible_facts') or ()):
                used.add(name)
        return value

    def validated(self, *args, **kwargs):
        used.clear()  # of conditions
        return post_validate(self, *args, **kwargs)

    def templated(self, variable, *args, **kwargs):
        # ansible itself takes a number that is the whole text, without asking jinja
        alone = ALONE.fullmatch(variable) if isinstance(variable, str) else None
        if alone:
            note(self.available_variables.get('ansible_facts') or {}, alone[1])
        return template(self, variable, *args, **kwargs)

    Templar.template = templated
    jinja2.runtime.Context.resolve_or_missing = resolved
    Task.post_validate = validated


def watched(facts):
    """Has ansible_facts note what is taken out."""
    if type(facts) is dict:  # noqa: E721 (others know what they hold)
        return Facts(facts)
    # newer versions have a class of their own for it, which may have no other in its place
    kind = type(facts)
    if isinstance(facts, dict) and kind is not Facts:
        seen.append(facts)
        if kind not in WATCHED:
            WATCHED.add(kind)
            kind.__getitem__, kind.get = noting(kind.__getitem__), noting(kind.get)
    return facts


seen = collections.deque(maxlen=16)  # dictionaries of facts that templates hold now
WATCHED = set()  # classes


def noting(take):
    """Wraps a method that takes something out of a dictionary, which may be one of facts."""
    @functools.wraps(take)
    def taken(self, name, *default):
        if any(facts is self for facts in seen):
            note(self, name)
        return take(self, name, *default)

    return taken


def note(facts, name):
    if name in facts and of_builder(name, dict.get(facts, name)):
        used.add(name)


def of_builder(name, value):
    """Reports whether a fact is one of the builder. Of the image's kernel it is not."""
    return name in BUILDERS and (name != 'kernel' or value == os.uname().release)


class Facts(dict):
    """ansible_facts, which notes what is taken out."""

    def __getitem__(self, name):
        note(self, name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        note(self, name)
        return super().get(name, default)


def file_of(result):
    """Gives the file that a module wrote. Not all that edit one return which."""
    args = (result.get('invocation') or {}).get('module_args') or {}
    paths = [result.get(name) for name in ('dest', 'path', 'fstab')] + [args.get(name) for name in ('path', 'dest', 'sysctl_file')]
    return next((path for path in paths if path and isinstance(path, str)), None)


def written(machine, result):
    """Notes the file that a task wrote, if facts of the builder went into it."""
    path = file_of(result)
    names = used - machine.run.given.get(machine.name, set())
    if machine.inside and names and result.get('changed') and path:
        machine.run.note('facts', host=machine.name, file=path, facts=sorted('ansible_' + name for name in names))
