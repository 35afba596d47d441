"""Says of services what a running systemd would.

Roles ask whether `ansible_facts.services['sshd.service']` is defined, or what
its state is, and leave out their work where it is not.
"""

import shlex

VERBS = {'started': 'start', 'restarted': 'restart', 'stopped': 'stop'}


def changed(machine, run, tmp=None, task_vars=None):
    """Has it remembered which services a task started or stopped whose module runs init scripts."""
    result = run(tmp, task_vars)
    args = machine.task.args
    verb, name = VERBS.get(args.get('state')), args.get('name') or args.get('service') or args.get('unit')
    if verb and name and args.get('scope', 'system') == 'system' and not (result.get('failed') or machine.task.check_mode):
        machine.handler._low_level_execute_command(
            f"[ -d /run/systemd/system ] || {machine.container['bin']}/systemctl {verb} {shlex.quote(str(name))}", sudoable=False)
    return result


def facts(machine, run, tmp=None, task_vars=None):
    """Gathers the services of /etc/init.d as ever, and those of systemd from their units."""
    result = run(tmp, task_vars)
    found = (result.get('ansible_facts') or {}).get('services') or {}
    if result.get('failed') or any(service.get('source') == 'systemd' for service in found.values()):
        return result
    listed = machine.handler._low_level_execute_command(machine.container['units'], sudoable=False)['stdout']
    units = dict(unit(*line.split()[:4]) for line in listed.splitlines() if len(line.split()) > 4)
    for name, script in found.items():
        if units.get(name + '.service', {}).get('state') == 'running':
            script['state'] = 'running'
    if units:
        for key in ('skipped', 'msg'):  # it found none itself
            result.pop(key, None)
        result['ansible_facts'] = {'services': {**found, **units}}
    return result


def unit(name, active, how, status):
    """Gives a service as the module does where systemd runs."""
    state = {'running': 'running', 'exited': 'stopped'}.get(how, active)
    if status == 'alias':
        state = active
    elif name.endswith('@.service'):
        state = 'unknown'
    return name, {'name': name, 'state': state, 'status': status, 'source': 'systemd'}
