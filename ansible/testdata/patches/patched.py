"""Looks at the end of a run which of the names in a table are patched: see TestPatches."""

import importlib
import inspect
import json
import os

from ansible.plugins.callback import CallbackBase

PLUGINS = os.path.join('ansible_collections', 'vauban', 'build', 'plugins', '')


class CallbackModule(CallbackBase):
    """Reads names, one a line, and writes what became of each, as JSON."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'notification'
    CALLBACK_NAME = 'patched'
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_stats(self, stats):
        with open(os.environ['PATCHES'], encoding='utf-8') as file:
            names = file.read().split()
        with open(os.environ['PATCHED'], 'w', encoding='utf-8') as file:
            json.dump({name: look(name) for name in names}, file)


def look(name):
    """Gives "missing", "theirs" or "ours", by whose function it is; the value of a switch."""
    owner, attribute = owner_of(name.split('.'))
    try:
        value = inspect.getattr_static(owner, attribute)  # fields of plays say nothing without a play
    except AttributeError:
        return 'theirs' if set_by_init(owner, attribute) else 'missing'
    if isinstance(value, bool):
        return value
    code = getattr(value, '__code__', None)
    return 'ours' if code is not None and PLUGINS in code.co_filename else 'theirs'


def owner_of(words):
    """Imports as much of a dotted name as there is, and gives what has its last word."""
    for end in range(len(words) - 1, 0, -1):
        try:
            owner = importlib.import_module('.'.join(words[:end]))
        except ImportError:
            continue
        for word in words[end:-1]:
            owner = getattr(owner, word, None)
        return owner, words[-1]
    return None, words[-1]


def set_by_init(kind, attribute):
    """Reports whether objects of a class get an attribute when they are made."""
    makers = (vars(parent).get('__init__') for parent in getattr(kind, '__mro__', ()))
    return any(attribute in maker.__code__.co_names for maker in makers if hasattr(maker, '__code__'))
