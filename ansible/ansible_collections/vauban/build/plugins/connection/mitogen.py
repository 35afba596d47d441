"""Runs modules in a container that vauban has started, by way of Mitogen."""

DOCUMENTATION = '''
name: mitogen
short_description: Run modules in a container that vauban has started, with Mitogen
description:
  - Takes the place of C(vauban.build.enter) while a strategy of Mitogen's is
    active. One interpreter stays in the container instead of one process per
    command. It is started by the same command line, so that it has the same
    capabilities, environment, limits and control groups.
author: vauban
options:
  remote_user:
    description: Whom modules run as, whatever C(ansible_user) says.
    type: str
    default: root
  enter:
    description: The arguments that come before the interpreter.
    type: list
    elements: str
    default: []
    vars:
      - name: vauban_enter
  environment:
    description: NAME=value words that hold in the container and that C(become) methods would drop.
    type: list
    elements: str
    default: []
    vars:
      - name: vauban_environment
  path:
    description: A folder inside that comes first on the PATH.
    type: str
    vars:
      - name: vauban_path
  async_dir:
    description: Where job files of C(async) are.
    type: str
    default: /tmp
    vars:
      - name: ansible_async_dir
'''

from ansible.errors import AnsibleConnectionFailure

import ansible_mitogen.connection

PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


class Connection(ansible_mitogen.connection.Connection):
    """A stack of at most two interpreters: root's, and another user's that it starts."""

    transport = 'vauban.build.mitogen'

    def _stack_from_spec(self, spec, stack=(), seen_names=()):
        enter = self.get_option('enter')
        if not enter:
            raise AnsibleConnectionFailure('this host has no container: vauban_enter is not set')
        python = spec.python_path()
        # Mitogen passes the folder of async jobs to ansible but not to itself.
        environment = ['ANSIBLE_ASYNC_DIR=' + self.get_option('async_dir')]
        if self.get_option('path'):
            environment.append(f"PATH={self.get_option('path')}:{PATH}")
        # As for a program of this machine, with a command line that leads
        # inside; mitogen_via and the like are about the real machine. Nothing
        # of the image runs before the interpreter.
        options = [word for setting in environment for word in ('-e', setting)]
        stack = ({'method': 'local', 'kwargs': {'python_path': [*enter, *options, *python]}},)
        if spec.become() and spec.become_user() != self.get_option('remote_user'):
            user = ansible_mitogen.connection.CONNECTION_METHOD[spec.become_method()](spec)
            user['kwargs']['python_path'] = ['env', *environment, *self.get_option('environment'), *python]
            stack += (user,)
        return stack

    def _connect_stack(self, stack):
        super()._connect_stack(stack)
        if len(stack) == 1:
            self.login_context = self.context  # become, to who it is already
