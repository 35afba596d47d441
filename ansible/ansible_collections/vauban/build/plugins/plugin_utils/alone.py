"""Reports tasks that ask for their neighbours where each host is built as if it were alone.

They get an answer, of the host alone, which may be wrong without an error: a
cluster's configuration with one member, say.
"""

import jinja2.runtime

from ansible import constants as C
from ansible.vars.hostvars import HostVarsVars

PLAY_HOSTS = ('ansible_play_hosts_all', 'ansible_play_hosts', 'ansible_play_batch', 'play_hosts')

# What ansible_ begins that is not a fact, but says how to reach a host.
CONNECTION = tuple('ansible_' + name for name in (
    'host', 'port', 'user', 'password', 'pass', 'connection', 'ssh_', 'become', 'python_interpreter', 'network_os', 'shell_',
    'remote_tmp', 'private_key_file', 'async_dir', 'winrm_', 'sftp_', 'scp_', 'pipelining', 'common_'))
FACTS = ('ansible_hostname', 'ansible_hostnqn')


class Task:
    """The task that variables were last asked for; in a worker, its own."""

    run = host = task = None
    hosts = 0  # how many the play is for

    @classmethod
    def begins(cls, host, task, hosts):
        cls.host, cls.task, cls.hosts = host.name, task, hosts

    @classmethod
    def reads(cls, what):
        """Notes what of its neighbours the task reads."""
        if cls.task is not None:
            note(cls.run, cls.host, cls.task, cls.hosts, 'reads ' + what)


def install(run):
    """Watches the names that templates look up. It is called once."""
    if not run.independent:
        return
    Task.run = run
    resolve, get = jinja2.runtime.Context.resolve_or_missing, HostVarsVars.__getitem__

    def resolved(self, key):
        if key in PLAY_HOSTS and Task.hosts > 1:
            Task.reads(key)
        return resolve(self, key)

    def got(self, key):
        name = self._vars.get('inventory_hostname')
        if name != Task.host and name not in C.LOCALHOST and is_fact(key) and not self._vars.get(key):
            Task.reads(f'{key} of {name}')
        return get(self, key)

    jinja2.runtime.Context.resolve_or_missing = resolved
    HostVarsVars.__getitem__ = got


def is_fact(name):
    """Reports whether a variable of a host is what only the host itself finds out."""
    return isinstance(name, str) and name.startswith('ansible_') and (name in FACTS or not name.startswith(CONNECTION))


def note(run, host, task, hosts, what):
    """Writes down what a task asked for."""
    run.note('alone', host=host, task=task.get_name().strip(), path=task.get_path() or '', what=what, hosts=hosts)
