"""Reports to vauban, one JSON object a line, what ansible does."""

DOCUMENTATION = '''
name: events
type: aggregate
short_description: Events of a run for vauban
description:
  - Writes to the file descriptor that C(VAUBAN_EVENTS_FD) holds.
  - Installs the guard that keeps tasks from other machines and what helps
    ordinary tasks along, and makes plays independent of each other's hosts
    where vauban asks for it.
author: vauban
'''

import json
import os

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__
from ansible.vars.manager import VariableManager

from ansible_collections.vauban.build.plugins.plugin_utils import alone, facts, guard, mitogen, ordinary, passwords, run as vauban

MAX_NOTES = 1 << 20  # of a container, in bytes: anything in it can write some


class CallbackModule(CallbackBase):
    """Results come here after ansible has taken out what no_log hides."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'aggregate'
    CALLBACK_NAME = 'vauban.build.events'
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._run = vauban.load()
        self._variables = None
        descriptor = int(os.environ['VAUBAN_EVENTS_FD'])
        os.set_inheritable(descriptor, False)  # a daemon that a task starts must not hold it
        self._events = os.fdopen(descriptor, 'w', encoding='utf-8', closefd=False)
        self._tasks = {}  # by uuid
        self._held = {}  # facts of each host that nothing gathered replaces
        self._read = {}  # how much of each container's notes was read
        guard.install(self._run)
        self._attach('tasks that need a running machine, and synchronize, may fail', ordinary.install, self._run)
        self._attach('files that hold facts of the builder are not reported', facts.install)
        self._attach('passwords that are made up are not reported', passwords.install, self._run)
        self._attach('tasks that look at other hosts are not reported', alone.install, self._run)

    def _attach(self, without, install, *args):
        """Installs what reaches into ansible, and says so where there is nothing to take hold of."""
        try:
            install(*args)
        except (AttributeError, ImportError) as error:
            self._emit('unattached', version=__version__, what=without, message=str(error))

    # what runs

    def v2_playbook_on_start(self, playbook):
        for play in playbook.get_plays():
            if self._run.independent:
                # serial would end the play when the hosts of one batch fail
                play.strategy = C.DEFAULT_STRATEGY
                play.serial = []
                play.any_errors_fatal = False
                play.max_fail_percentage = None
        self._emit('start', version=__version__, mitogen=self._find_mitogen())

    def _find_mitogen(self):
        try:
            return mitogen.install() if self._run.mitogen else ''
        except (AnsibleError, ImportError) as error:
            # ansible only warns of what a callback raises, and stops when it
            # does not find the strategy
            self._emit('no mitogen', message=str(error))
            raise

    def v2_playbook_on_play_start(self, play):
        if self._variables is None:
            self._variables = play.get_variable_manager()
            self._run.inventory = self._variables._inventory
            for host, lent in self._run.lent_facts():
                self._variables.set_host_facts(host, lent)
        for host in self._run.hosts:
            self._set_facts(host)
        hosts = self._variables.get_vars(play=play).get('ansible_play_hosts_all', [])
        self._emit('play', name=play.get_name(), pattern=','.join(play.hosts) if isinstance(play.hosts, list) else str(play.hosts),
                   hosts=list(hosts))

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._tasks[task._uuid] = task
        self._emit('task', task=task.get_name().strip(), uuid=task._uuid)

    def v2_playbook_on_handler_task_start(self, task):
        self._tasks[task._uuid] = task
        self._emit('task', task=task.get_name().strip(), uuid=task._uuid)

    # what came of it

    def v2_runner_on_ok(self, result):
        if 'ansible_facts' in result._result:
            self._set_facts(result._host.get_name(), result._result['ansible_facts'])
        self._result('changed' if result._result.get('changed') else 'ok', result)
        self._shares(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result('ignored' if ignore_errors else 'failed', result)

    def v2_runner_on_unreachable(self, result):
        self._result('unreachable', result)

    def v2_runner_on_skipped(self, result):
        self._result('skipped', result)

    def v2_runner_item_on_ok(self, result):
        self._result('changed' if result._result.get('changed') else 'ok', result, item=True)

    def v2_runner_item_on_failed(self, result):
        self._result('failed', result, item=True)

    def v2_runner_item_on_skipped(self, result):
        self._result('skipped', result, item=True)

    def v2_runner_retry(self, result):
        self._result('retry', result, item=True)

    def v2_playbook_on_stats(self, stats):
        for host in self._run.containers:
            self._passed(host)
        self._emit('stats', stats={
            host: stats.summarize(host) for host in stats.processed})

    def _shares(self, result):
        """Reports what was made once, to be shared, and is now each host's own."""
        task = result._task
        if self._run.independent and task.run_once and task.register and result._result.get('changed') and alone.Task.hosts > 1:
            names = [task.register] if isinstance(task.register, str) else task.register  # newer versions take several
            alone.note(self._run, result._host.get_name(), task, alone.Task.hosts, f"registers {', '.join(names)}, with run_once")

    def _set_facts(self, host, found=()):
        """Holds facts that the master or the inventory gives, whatever was found."""
        if host not in self._run.hosts:
            return
        facts = self._held.setdefault(host, dict(self._run.facts))
        if any(name.startswith('ansible_') for name in found):
            facts.update(self._given(host, found))
            self._run.given[host] = {name.removeprefix('ansible_') for name in facts}
        if facts:
            self._variables.set_host_facts(host, dict(facts))

    def _given(self, host, found):
        """Yields those of the facts found that the inventory has variables for."""
        inventory = VariableManager(loader=self._variables._loader, inventory=self._run.inventory)  # no facts
        variables = inventory.get_vars(host=self._run.inventory.get_host(host), include_hostvars=False)
        for name in found:
            # facts are never templates
            if name.startswith('ansible_') and name in variables and '{{' not in str(variables[name]):
                yield name, variables[name]

    def _passed(self, host, task=None):
        """Reports what was left out in a container since the last call."""
        container = self._run.containers.get(host)
        if not container:
            return
        with open(container['passed'], 'rb') as file:
            read = self._read.get(host, 0)
            file.seek(read)
            notes = file.read(MAX_NOTES - read)
            notes = notes[:notes.rfind(b'\n') + 1]
            self._read[host] = read + len(notes)
        for note in notes.decode(errors='replace').splitlines():
            uuid, _, what = note.partition('\t')
            culprit = self._tasks.get(uuid, task)
            self._emit('passed', host=host, what=what, task=culprit.get_name().strip() if culprit else '',
                       path=(culprit.get_path() if culprit else '') or '')

    def _result(self, status, result, item=False):
        body, task = result._result, result._task
        delegated = body.get('_ansible_delegated_vars') or {}
        there = task.delegate_to or result._host.get_name()
        for host in {result._host.get_name(), there}:
            self._passed(host, task)
        if task.action.endswith('async_status'):
            if body.get('finished'):
                self._emit('joined', host=there, job=str(body.get('ansible_job_id')))
        elif body.get('results_file') and body.get('started') and not body.get('finished'):
            self._emit('async', host=there, task=task.get_name().strip(), path=task.get_path() or '',
                       job=body['results_file'], limit=task.async_val)
        self._clean_results(body, task.action)
        self._emit(
            'item' if item else 'result',
            host=result._host.get_name(),
            status=status,
            task=task.get_name().strip(),
            path=task.get_path() or '',
            action=task.action,
            delegated=str(delegated.get('ansible_delegated_host') or delegated.get('ansible_host') or ''),
            message=reason(body),
            label=str(self._get_item_label(body) or '') if item else '',
            body=self._dump_results(body) if self._speaks(result, item) else '',
            diff=self._diff(body))

    def _speaks(self, result, item):
        """Facts would fill the log; what is in a loop's result its items have shown."""
        return self._run_is_verbose(result) and (item or 'results' not in result._result)

    def _diff(self, body):
        diffs = body.get('diff') or []
        if 'results' in body:  # each item has shown its own
            return ''
        return ''.join(self._get_diff(diff) for diff in (diffs if isinstance(diffs, list) else [diffs]))

    def _emit(self, event, **fields):
        json.dump(dict(event=event, **fields), self._events, default=str)
        self._events.write('\n')
        self._events.flush()


def reason(body):
    """Says in a few words why a task failed."""
    words = str(body.get('msg') or body.get('reason') or body.get('censored') or '')
    for module in (body.get('failed_modules') or {}).values():  # those that gather facts
        words += '\n' + reason(module)
    for stream in ('module_stderr', 'stderr', 'module_stdout', 'stdout', 'exception'):
        text = str(body.get(stream) or '').strip()
        if text and text not in words:
            return (words + '\n' + '\n'.join(text.splitlines()[-10:])).strip()
    return words.strip()
