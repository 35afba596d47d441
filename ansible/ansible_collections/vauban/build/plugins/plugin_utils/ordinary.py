"""Lets tasks that were written for running machines work in a container.

Commands that act on a running machine have stand-ins inside, which come first
on the PATH (see layers/inside). Here is what no command sees: actions that run
on the controller or wait for what never comes, commands that are named by
their path, and facts about the container.

Tasks are changed where TaskExecutor has just chosen what carries them out, so
that every spelling of an action is meant, and a repository's own plugin that
takes an action's place stays in it.
"""

import functools
import re
import shlex
import subprocess
import urllib.parse

from ansible.executor.task_executor import TaskExecutor
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.vauban.build.plugins.plugin_utils import facts as builders, rsync, services, shell

COLLECTIONS = ('', 'ansible.builtin', 'ansible.legacy', 'ansible.posix', 'community.general')
FOLDERS = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
LOOPBACK = ('', '127.0.0.1', '0.0.0.0', '::', '::1', 'localhost', 'ip6-localhost')


def install(run):
    """Adapts each task. It is called once."""
    get_handler = TaskExecutor._get_action_handler_with_module_context

    def adapted(self, *args, **kwargs):
        handler, context = get_handler(self, *args, **kwargs)
        adapt(run, self._task, self._host, handler)
        return handler, context

    TaskExecutor._get_action_handler_with_module_context = adapted


def adapt(run, task, host, handler):
    """Puts one of ADAPTED around what carries out a task."""
    collection, _, action = (task.resolved_action or task.action).rpartition('.')
    around = ADAPTED.get(action) if collection in COLLECTIONS else None
    machine = Machine(run, task, host, handler)
    if around and (machine.inside or action == 'wait_for'):
        handler.run = functools.partial(around, machine, handler.run)
    if machine.inside:
        handler.run = functools.partial(noted, machine, handler.run)


class Machine:
    """Where a task runs, and for whom."""

    def __init__(self, run, task, host, handler):
        self.run = run
        self.task = task
        self.name = host.name
        self.handler = handler
        self.container = run.containers.get(task.delegate_to or host.name)
        variables = run.hosts.get(task.delegate_to or host.name, {})
        self.enter, self.profile = variables.get('vauban_enter'), variables.get('vauban_profile')
        self.inside = self.container is not None

    def passed(self, what, **result):
        """Gives the result of a task that is skipped."""
        container = self.container or self.run.containers.get(self.name)
        if container:
            self.run.note_passed(container, self.task._uuid, what)
        return dict(result, msg=f'skipped in a build: {what}')

    def busy(self):
        """Reports whether a process is left in the container that may do something."""
        status = self.handler._low_level_execute_command(self.container['busy'], sudoable=False)
        return status['rc'] == 0


def noted(machine, run, tmp=None, task_vars=None):
    """Notes facts of the builder that are written, and jobs that are begun."""
    result = run(tmp, task_vars)
    if machine.task.no_log:
        hidden(machine, result)
    if machine.run.mitogen and machine.profile and result.get('changed'):
        # no shell reads it before the next task, and /run may have to be filled
        subprocess.run([*machine.enter, '/bin/sh', '-c', '. ' + shlex.quote(machine.profile)], check=False,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    builders.written(machine, result)
    return result


def hidden(machine, result):
    """Notes a job of `async` that no_log hides from the callback, begun or waited for."""
    host = machine.task.delegate_to or machine.name
    if machine.task.action.endswith('async_status'):
        if result.get('finished'):
            machine.run.note_job(event='joined', host=host, job=str(result.get('ansible_job_id')))
    elif not machine.task.poll and result.get('results_file'):
        machine.run.note_job(event='async', host=host, task=machine.task.get_name().strip(), path=machine.task.get_path() or '',
                             job=result['results_file'], limit=machine.task.async_val)


def commands(machine, run, tmp=None, task_vars=None):
    """Replaces commands that are named by their path by their stand-ins."""
    args = machine.task.args
    for name in ('_raw_params', 'cmd'):
        if isinstance(args.get(name), str):
            args[name] = by_path(machine.container, args[name])
    if isinstance(args.get('argv'), list) and args['argv']:
        first = str(args['argv'][0])
        led = by_path(machine.container, first)
        args['argv'] = [*([first] if led == first else led.split()), *args['argv'][1:]]
    result = run(tmp, task_vars)
    if result.get('rc') and shell.only_sets_sys(str(args.get('_raw_params') or args.get('cmd') or ''), str(result.get('stderr'))):
        said = dict.fromkeys(('stdout', 'stderr'), '') | dict.fromkeys(('stdout_lines', 'stderr_lines'), [])
        action = machine.task.action.rpartition('.')[2]
        return machine.passed(f'{action}: a stage sets nothing below /sys', changed=True, rc=0, **said)
    return real_paths(machine, result)


def real_paths(machine, result):
    """Has who asks where a command is hear of the one that the machine has."""
    said = result.get('stdout')
    stand_in = re.compile(re.escape(machine.container['bin']) + r'/([\w.-]+)')
    if not isinstance(said, str) or not stand_in.search(said):
        return result
    names = ' '.join(sorted(set(stand_in.findall(said))))
    found = machine.handler._low_level_execute_command(
        f'PATH={FOLDERS}; for name in {names}; do command -v $name; done', sudoable=False)['stdout_lines']
    paths = {path.rpartition('/')[2]: path for path in found}
    result['stdout'] = stand_in.sub(lambda called: paths.get(called[1], called[0]), said)
    result['stdout_lines'] = result['stdout'].splitlines()
    return result


def by_path(container, line):
    """Replaces the paths of commands that have a stand-in by that of the stand-in."""
    return shell.lead(line, container['stand_ins'], container['bin'])


def facts(machine, run, tmp=None, task_vars=None):
    """Takes out of the facts what is about the container.

    Of what virtualizes it, a machine to be knows nothing: it says what one of
    metal says. Roles leave out half of their work in a container.
    """
    result = run(tmp, task_vars)
    found = result.get('ansible_facts') or {}
    for name, value in (('type', 'NA'), ('role', 'NA'), ('tech_guest', []), ('tech_host', [])):
        if 'ansible_virtualization_' + name in found:
            found['ansible_virtualization_' + name] = value
    if 'ansible_kernel' in found:
        kernel = machine.handler._low_level_execute_command(f"{machine.container['bin']}/uname -r", sudoable=False)
        found['ansible_kernel'] = kernel['stdout'].strip() or found['ansible_kernel']
    environment = found.get('ansible_env')
    if environment:
        environment.pop('VAUBAN_TASK', None)
        path = environment.get('PATH', '').split(':')
        environment['PATH'] = ':'.join(folder for folder in path if folder != machine.container['bin'])
    if 'ansible_apparmor' in found:
        found['ansible_apparmor'] = {'status': 'enabled'}  # in kernels of Debian and Ubuntu
    ours = tuple(folder + '/' for folder in machine.container['mounts'])
    if 'ansible_mounts' in found:
        found['ansible_mounts'] = [one for one in found['ansible_mounts'] if not (one['mount'] + '/').startswith(ours)]
    return result


def reboot(machine, run, tmp=None, task_vars=None):
    return machine.passed('reboot: a stage does not reboot', changed=True, rebooted=True, elapsed=0)


def shutdown(machine, run, tmp=None, task_vars=None):
    return machine.passed('shutdown: a stage does not reboot', changed=True, shutdown=True)


def modprobe(machine, run, tmp=None, task_vars=None):
    """Does the part that is a file where the module needs files of the kernel that runs.

    It looks for them, before all else, below the builder's release in the
    image's /lib/modules.
    """
    result = run(tmp, task_vars)
    said = str(result.get('msg', ''))
    if not result.get('failed') or not ('modules.builtin' in said or '/proc/modules' in said):
        return result
    args = machine.task.args
    changed = [args.get('state', 'present') == 'present']
    if args.get('persistent', 'disabled') != 'disabled':
        name, state = args['name'], args['persistent']
        lines = {f'/etc/modules-load.d/{name}.conf': [name],
                 f'/etc/modprobe.d/{name}.conf': [f'options {name} {word}' for word in shlex.split(str(args.get('params') or ''))]}
        for path, wanted in lines.items():
            for line in wanted:
                done = machine.handler._execute_module(
                    'ansible.legacy.lineinfile', dict(path=path, line=line, state=state, create=state == 'present'), task_vars=task_vars)
                if done.get('failed'):
                    return done
                changed.append(done.get('changed', False))
    return machine.passed('modprobe: a stage loads no module', changed=any(changed), **{
        key: args[key] for key in ('name', 'params', 'state') if key in args})


def firewalld(machine, run, tmp=None, task_vars=None):
    """Writes what is permanent, where the task also asks for it to hold now."""
    result = run(tmp, task_vars)
    if not result.get('failed') or 'firewall is not currently running' not in str(result.get('msg', '')):
        return result
    args, what = machine.task.args, 'firewalld: no firewall runs in a stage'
    if not boolean(args.get('permanent') or False):
        return machine.passed(f'{what}, and this is not permanent', changed=False)
    args['immediate'] = False
    result = run(tmp, task_vars)
    if not result.get('failed'):
        machine.passed(f'{what}: it holds from the next boot on')
    return result


def wait_for_connection(machine, run, tmp=None, task_vars=None):
    """Returns immediately: there is a connection."""
    machine.task.args['delay'] = 0
    return run(tmp, task_vars)


def wait_for(machine, run, tmp=None, task_vars=None):
    """Waits only as long as a process is there that may bring it about."""
    args = machine.task.args
    if args.get('state', 'started') not in ('started', 'present') or not (args.get('port') or at_runtime(args.get('path'))):
        return run(tmp, task_vars)
    where = str(args.get('host', '127.0.0.1'))
    own = not args.get('port') or where in LOOPBACK or where in names(task_vars)
    if not own and where not in names_of_others(machine, task_vars):
        return run(tmp, task_vars)
    timeout, args['delay'] = int(args.get('timeout', 300)), 0
    for start in range(0, max(timeout, 1), 5):
        args['timeout'] = 1 if start == 0 else min(5, timeout - start)
        busy = own and machine.inside and machine.busy()
        result = run(tmp, task_vars)
        if 'elapsed' not in result or not result.get('failed'):
            return result
        if not busy:
            break
    else:
        return result
    what = f"port {args['port']} of {where}" if args.get('port') else args['path']
    return machine.passed(f'wait_for: nothing in a stage brings about {what}', changed=False, elapsed=0)


def uri(machine, run, tmp=None, task_vars=None):
    """Asks once, where a task asks this machine until a service of it answers."""
    result = run(tmp, task_vars)
    args = machine.task.args
    where = urllib.parse.urlsplit(str(args.get('url'))).hostname or ''
    only_asks = str(args.get('method', 'GET')).upper() in ('GET', 'HEAD') and not args.get('dest')
    refused = result.get('failed') and result.get('status') == -1
    if not (machine.task.until and only_asks and refused and (where in LOOPBACK or where in names(task_vars))) or machine.busy():
        return result
    wanted = args.get('status_code', 200)
    return machine.passed(f'uri: nothing in a stage answers at {where}', changed=False, elapsed=0,
                          status=int(wanted[0] if isinstance(wanted, list) else str(wanted).split(',')[0]))


def at_runtime(path):
    """Reports whether only a running service makes a file."""
    return bool(path) and (path.startswith(('/run/', '/var/run/', '/var/log/')) or path.endswith(('.sock', '.socket', '.pid')))


def names(variables):
    """Gives what a host is called."""
    return {str(variables.get(name)) for name in (
        'inventory_hostname', 'inventory_hostname_short', 'ansible_host', 'ansible_ssh_host', 'ansible_hostname',
        'ansible_fqdn', 'ansible_nodename')}.union(
            variables.get('ansible_all_ipv4_addresses') or (), variables.get('ansible_all_ipv6_addresses') or ())


def names_of_others(machine, task_vars):
    """Gives what the other hosts of the inventory are called."""
    others = set(task_vars.get('groups', {}).get('all', ())) - {machine.name}
    addresses = (machine.run.inventory.get_host(name).vars.get('ansible_host') for name in others)
    return others.union(str(address) for address in addresses if address)


ADAPTED = {
    'command': commands,
    'shell': commands,
    'raw': commands,
    'setup': facts,
    'gather_facts': facts,
    'service_facts': services.facts,
    'sysvinit': services.changed,
    'reboot': reboot,
    'shutdown': shutdown,
    'modprobe': modprobe,
    'firewalld': firewalld,
    'wait_for': wait_for,
    'uri': uri,
    'wait_for_connection': wait_for_connection,
    'synchronize': rsync.synchronize,
}
