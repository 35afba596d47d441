"""Watches over the tasks of this process.

TaskExecutor runs every task, in workers that are forks of this process and so
inherit what is changed here. It is the one place that all ways of naming a
host and a connection go through: variables, keywords, delegate_to, loops,
add_host.
"""

from ansible.errors import AnsibleError
from ansible.executor.task_executor import TaskExecutor

from ansible_collections.vauban.build.plugins.plugin_utils import run as vauban


def install(run):
    """Guards each task. It is called once."""
    get_connection = TaskExecutor._get_connection

    def guarded_connection(self, *args, **kwargs):
        connection = get_connection(self, *args, **kwargs)
        refusal = refuse(run, self._task.delegate_to or self._host.name, connection)
        if refusal:
            disable(connection, refusal)
        connection.vauban_task = self._task._uuid  # for notes of what it leaves out
        return connection

    TaskExecutor._get_connection = guarded_connection


def refuse(run, host, connection):
    """Says why connection must not be used for host, if so."""
    if host in run.hosts:
        if connection.transport in (vauban.CONNECTION, vauban.MITOGEN):
            return None
        return (f'{host} is built in a container here, and this task would reach it by '
                f'{connection.transport}: take ansible_connection out of the variables '
                f'of the play, the role or the task')
    if run.may_reach(host):
        return None
    return (f'this task would reach {host}, which this build does not make: list it in '
            f'`delegate_hosts:` of config.yml if a build may change it, else skip the task '
            f'with `when: not (in_vauban | default(false))`')


def disable(connection, refusal):
    """Fails the task when it uses its connection.

    A task that only sets a fact of another host never does.
    """
    def fail(*_args, **_kwargs):
        raise AnsibleError(refusal)

    for method in ('_connect', 'exec_command', 'put_file', 'fetch_file'):
        setattr(connection, method, fail)
