"""Runs commands in a container that vauban has started."""

DOCUMENTATION = '''
name: enter
short_description: Run commands in a container that vauban has started
description:
  - Puts the command that enters the container in front of a shell.
author: vauban
options:
  remote_user:
    description:
      - Whom commands run as. It takes no variable, so that C(ansible_user),
        which is about the real machine, changes nothing, and C(become) to
        root finds that it is root already.
    type: str
    default: root
  pipelining:
    description: Modules travel on standard input, not as files.
    type: bool
    default: true
  enter:
    description: The arguments that come before the command.
    type: list
    elements: str
    default: []
    vars:
      - name: vauban_enter
  profile:
    description: A file inside that a shell reads before the command.
    type: str
    vars:
      - name: vauban_profile
  path:
    description: A folder inside that comes first on the PATH.
    type: str
    vars:
      - name: vauban_path
  environment:
    description:
      - NAME=value words that hold in the container and that C(become) methods
        would drop. The values need no quoting in a shell.
    type: list
    elements: str
    default: []
    vars:
      - name: vauban_environment
'''

import contextlib
import os
import shlex
import shutil
import subprocess
import threading

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_native
from ansible.plugins.connection import ConnectionBase


@contextlib.contextmanager
def _pump(source, target):
    """Copies what one file holds to another, meanwhile, and closes both.

    What runs in the container gets a pipe: a file of the builder it could open
    again, by /proc/self/fd, to write to it.
    """
    failed = []

    def copy():
        try:
            with source, target:
                shutil.copyfileobj(source, target)
        except BrokenPipeError:
            pass  # the command's exit status says why
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=copy)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise AnsibleConnectionFailure(f'copying a file: {failed[0]}')


class Connection(ConnectionBase):
    """One process per command; nothing stays open between them."""

    transport = 'vauban.build.enter'
    has_pipelining = True
    vauban_task = ''  # which task it is for

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        env_prefix = self._shell.env_prefix

        def keep_path(**environment):
            """Keeps our folder on a PATH that `environment:` sets."""
            path = self.get_option('path')
            if path and 'PATH' in environment:
                environment['PATH'] = f"{path}:{environment['PATH']}"
            return env_prefix(**environment)

        self._shell.env_prefix = keep_path

    def _connect(self):
        self._connected = True
        return self

    def close(self):
        self._connected = False

    def reset(self):
        """There is no session to renew."""

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._enter(self._prepare(self._keep_environment(cmd)), stdin_data=in_data)

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        try:
            source = open(to_bytes(in_path), 'rb')
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(f'copying {in_path} into the container: {error}')
        with source:
            inside, outside = os.pipe()
            with _pump(source, open(outside, 'wb')):
                self._transfer('cat > ' + shlex.quote(out_path), inside, stdin=inside)

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        with open(to_bytes(out_path), 'wb') as target:
            outside, inside = os.pipe()
            with _pump(open(outside, 'rb'), target):
                self._transfer('exec cat < ' + shlex.quote(in_path), inside, stdout=inside)

    def _transfer(self, cmd, inside, **streams):
        status, _, stderr = self._enter(cmd, inside=inside, **streams)
        if status:
            raise AnsibleConnectionFailure(f'running {cmd!r} in the container: {to_native(stderr)}')

    def _enter(self, cmd, stdin_data=None, stdin=subprocess.PIPE, stdout=subprocess.PIPE, inside=None):
        """Runs a command; inside is an end of a pipe that it alone is to have."""
        try:
            enter = self.get_option('enter')
            if not enter:  # a variable may name this connection for any host
                raise AnsibleConnectionFailure('this host has no container: vauban_enter is not set')
            argv = [*enter, '/bin/sh', '-c', cmd]
            process = subprocess.Popen([to_bytes(a, errors='surrogate_or_strict') for a in argv],
                                       stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
        finally:
            if inside is not None:
                os.close(inside)
        with process:
            try:
                out, err = process.communicate(to_bytes(stdin_data, nonstring='passthru'))
            except BaseException:
                process.kill()  # else leaving the block would wait for a command that timed out
                raise
        return process.returncode, out or b'', err

    def _prepare(self, cmd):
        """Has the shell read the profile, where there is one."""
        profile = self.get_option('profile')
        if not profile:
            return cmd
        return f'export VAUBAN_TASK={shlex.quote(self.vauban_task)}; . {shlex.quote(profile)}; {cmd}'

    def _keep_environment(self, cmd):
        """Sets the container's environment again inside of become.

        sudo empties the environment, su -l too. Every method runs, as the
        other user, `echo MARKER ; COMMAND`: the marker is where that begins.
        """
        words = list(self.get_option('environment'))
        if self.get_option('path'):
            words += [f"PATH={self.get_option('path')}:$PATH", f'VAUBAN_TASK={self.vauban_task}']
        if not words or not self.become or not getattr(self.become, 'success', None):
            return cmd
        echo = f'{self._shell.ECHO} {self.become.success}'
        return cmd.replace(echo, f"export {' '.join(words)} ; {echo}", 1)
