"""Lets synchronize reach a container.

The action of ansible.posix knows a fixed list of connections. This one passes
for ssh, and what the action then asks rsync to do is corrected: rsync starts
its other half the way that every task enters.
"""

import os
import shlex
import stat
import tempfile


def synchronize(machine, run, tmp=None, task_vars=None):
    """Runs rsync on the controller, and its other half in the container."""
    handler = machine.handler
    script = way_in(machine)

    def execute(*args, **kwargs):
        module_args = kwargs.get('module_args')
        if module_args and '_local_rsync_path' in module_args and handler._connection.transport == 'local':
            through(script, machine, module_args)
            handler.__class__ = plain(type(handler))
        return type(handler)._execute_module(handler, *args, **kwargs)

    handler._execute_module = execute
    handler._connection.transport = 'ssh'
    machine.task.args.pop('use_ssh_args', None)
    try:
        result = run(tmp, task_vars)
    finally:
        os.unlink(script)
    if result.get('failed'):
        explain(result)
    return result


def plain(kind):
    """Gives the class of an action without what Mitogen mixes in, which knows only its own connections."""
    return kind.__bases__[1] if kind.__bases__[0].__module__ == 'ansible_mitogen.mixins' else kind


def through(script, machine, args):
    """Puts the way into the container in the arguments of the module."""
    options = args.get('rsync_opts') or []
    if isinstance(options, str):
        options = options.split(',')
    args['rsync_opts'] = [o for o in options if not o.startswith(('--rsh', '-e'))] + ['--rsh=' + shlex.quote(script)]
    args['_local_rsync_password'] = None  # of the real machine
    args['_substitute_controller'] = False
    if 'rsync_path' not in machine.task.args:
        user = machine.handler._play_context.become_user
        become = machine.task.become and user not in (None, 'root')
        args['rsync_path'] = f'runuser -u {shlex.quote(user)} -- rsync' if become else None


def way_in(machine):
    """Writes the program that rsync takes for ssh: it is called with a host and a command."""
    enter = machine.handler._connection.get_option('enter')
    descriptor, path = tempfile.mkstemp(prefix='rsh-', dir=os.path.dirname(machine.run.path))
    with os.fdopen(descriptor, 'w', encoding='utf-8') as file:
        file.write('#!/bin/sh\n[ "$1" != -l ] || shift 2\nshift\nexec '
                   + ' '.join(shlex.quote(word) for word in enter) + ' /bin/sh -c "$*"\n')
    os.chmod(path, stat.S_IRWXU)
    return path


def explain(result):
    """Says what rsync does not."""
    said = str(result.get('msg', ''))
    if 'rsync: not found' in said:
        result['msg'] = 'the image has no rsync: install the package before this task\n' + said
    elif 'required executable "rsync"' in said:
        result['msg'] = 'the builder has no rsync: install it\n' + said
