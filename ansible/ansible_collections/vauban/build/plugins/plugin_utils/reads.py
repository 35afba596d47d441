"""Notes which files of the repository this process reads.

Its workers are forks, so they inherit what is installed here. Noted are paths
below the working copy that were opened, looked at or listed, whether they were
there or not: a file that is added later may be one that was looked for.
"""

import functools
import os
import sys

from ansible.plugins.loader import get_all_plugin_loaders

OPENED, LISTED, EVERYTHING = b'f', b'd', b'x'

# The same, by the plugin that gives each host its own variables.
VARIABLES = {OPENED: b'v', LISTED: b'w'}
HOST_GROUP_VARS = os.path.join('plugins', 'vars', 'host_group_vars.py')

PROGRAMS = {'subprocess.Popen', 'os.exec', 'os.posix_spawn', 'os.spawn', 'os.system', 'pty.spawn'}

# What ansible itself runs, to find out about it or to reach other machines.
HARMLESS = {'ssh', 'ldconfig', 'uname', 'locale'}


def install(run):
    """Starts to note. A second call does nothing."""
    if install.done or not run.tree:
        return
    install.done = True
    noted = Noted(run)
    for name in ('stat', 'lstat', 'access', 'readlink'):
        call = getattr(os, name)
        watched = watch(call, noted.path)
        for supporting in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if call in supporting:
                supporting.add(watched)
        setattr(os, name, watched)
    sys.addaudithook(noted.event)
    # what was looked for before this plugin was loaded
    for folder in run.playbook_folders:
        for _, loader in get_all_plugin_loaders():
            if loader.subdir:
                noted.path(os.path.join(folder, loader.subdir))


install.done = False


def watch(call, note):
    """Wraps a function, to note the path that it is called with."""
    @functools.wraps(call)
    def watched(*args, **kwargs):
        note(args[0] if args else kwargs.get('path'))
        return call(*args, **kwargs)
    return watched


def loads_variables():
    """Reports whether the caller is looking for the variables of a host."""
    frame = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.endswith(HOST_GROUP_VARS):
        frame = frame.f_back
    return frame is not None


class Noted:
    """Writes each path once, from whichever process, to a file that all append to."""

    def __init__(self, run):
        self._roots = tuple({os.path.join(root, b'') for root in (
            os.fsencode(run.tree), os.path.realpath(os.fsencode(run.tree)))})
        self._enter = {tuple(variables['vauban_enter']) for variables in run.hosts.values()}
        self._seen = set()
        self._file = os.open(run.reads, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def event(self, event, args):
        """Is called for each event that Python audits."""
        if event == 'open':
            self.path(args[0])
        elif event in ('os.listdir', 'os.scandir'):
            self.path('.' if args[0] is None else args[0], LISTED)
        elif event in PROGRAMS:
            self.program(event, args)

    def path(self, path, kind=OPENED):
        """Notes a path, if it is one of the repository."""
        if isinstance(path, os.PathLike):
            path = os.fspath(path)
        if isinstance(path, str):
            path = os.fsencode(path)
        elif not isinstance(path, bytes):
            return  # a descriptor: it was opened before
        if not path.startswith(b'/'):
            path = os.path.join(os.getcwdb(), path)
        path = os.path.normpath(path)
        for root in self._roots:
            if path + b'/' == root:
                self._note(kind, b'.')
            elif path.startswith(root):
                name = path[len(root):]
                if b'host_vars/' in name and loads_variables():
                    kind = VARIABLES[kind]
                self._note(kind, name)

    def program(self, event, args):
        """Notes that a program ran on this machine, which may read anything."""
        words = args[1] if event != 'os.system' and len(args) > 1 else args[0]
        if isinstance(words, (str, bytes)):
            words = [words]
        words = [os.fsdecode(word) for word in words or ()]
        if any(tuple(words[:len(enter)]) == enter for enter in self._enter):
            return  # a container's
        program = os.path.basename(words[0]) if words else event
        if program in HARMLESS and not any(os.fsdecode(root) in word for root in self._roots for word in words):
            return
        self._note(EVERYTHING, os.fsencode(program))

    def _note(self, kind, path):
        if (kind, path) not in self._seen:
            self._seen.add((kind, path))
            os.write(self._file, kind + path + b'\0')
