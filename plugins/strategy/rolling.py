# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: rolling
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.1.0
short_description: Takes a pool's members through a play in a window that never goes under a floor
description:
  - Each host runs the whole play on its own, as with P(ansible.builtin.free#strategy). How many hosts are in flight at the same time is decided
    anew whenever one is done, by limits on unavailable members, on failure domains and on live capacity. There are slots, no batches.
  - The roll stops at the first failed or lost (unreachable) host, or when the budget O(max_failures) is spent. Hosts in flight are finished,
    nobody new starts, and the playbook ends.
  - A host that repaired its own failure in a C(rescue) counts as failed when it sets the fact C(rolling_failed) to V(true). While a host is in its rescue
    nobody new starts.
  - The first Ctrl-C starts nobody new and lets the hosts in flight finish. The second one ends the run at once.
  - ansible-core announces that strategies outside C(ansible.builtin) may go away in a future release. The decisions are made by a scheduler
    that does not depend on this plugin; the filter P(alwayson.upgrade.waves#filter) hands them to builtin C(serial).
extends_documentation_fragment:
  - alwayson.upgrade.rolling_variables
notes:
  - The options are variables of the play and of its hosts. Those of a pool must be the same for all its hosts, those of the run for all hosts of the play.
  - The variable C(rolling) tells tasks the roll's state (C(direction), C(window), C(floor), C(in_flight), C(failed), C(pending), the number to go).
  - C(any_errors_fatal) means a budget of 0, C(max_fail_percentage) a budget for the whole run. C(throttle), C(--step), C(--start-at-task), tags, check mode
    and handlers work as with P(ansible.builtin.free#strategy). C(serial), C(order), C(run_once), modules that run once for all hosts (such as
    M(ansible.builtin.add_host)) and the C(end_batch) of M(ansible.builtin.meta) are refused.
"""

EXAMPLES = r"""
- name: An existing play becomes a capacity-aware rolling one by one line
  hosts: web
  strategy: alwayson.upgrade.rolling
  vars:
    rolling_max_unavailable: 25%
    rolling_domain: "{{ zone }}"
  tasks:
    - name: Upgrade the application
      ansible.builtin.package:
        name: shop
        state: latest

- name: Return to the release before when one host fails
  hosts: web
  strategy: alwayson.upgrade.rolling
  vars:
    rolling_on_failure: rollback
    release: "{{ '1.0.0' if rolling.direction == 'back' else '2.0.0' }}"
  tasks:
    - name: Install the release
      ansible.builtin.package:
        name: "shop-{{ release }}"
        allow_downgrade: true
"""

import difflib
import signal
import threading
import time

from ansible.errors import AnsibleError
from ansible.executor.play_iterator import HostState, IteratingStates
from ansible.plugins.loader import action_loader
from ansible.plugins.strategy.free import StrategyModule as FreeStrategy
from ansible.template import Templar
from ansible.utils.display import Display

from ansible_collections.alwayson.upgrade.plugins.module_utils._control import ABORT, PAUSE, read_control
from ansible_collections.alwayson.upgrade.plugins.module_utils._live import LiveView
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.limits import ScheduleError
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.policy import OF_A_POOL, OF_THE_RUN, PREFIX, agreed, known_variables, schedule_from
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.schedule import BACK

display = Display()

# How often the operator, the deadlines and the load balancers are looked at. The strategy's loop itself turns every few milliseconds.
INTERVAL_S = 0.5
# Why the operator ended this run; a later rolling play of the same run does not start either.
_ended_by_operator = []


class _Slots(list):
    """The hosts that free may look at; remembers which one it looks at, so that an error can be told to be that host's."""

    at = None

    def __getitem__(self, index):
        self.at = super().__getitem__(index)
        return self.at


class StrategyModule(FreeStrategy):
    """Adapter: asks the scheduler who may start. C(free) does the work for the hosts it is shown."""

    def run(self, iterator, play_context):
        self._iterator = iterator
        self._slots = _Slots()
        self._suspects = []
        self._told = None
        self._paused = False
        self._waiting_since = None
        self._changed = True
        self._looked_at = 0.0
        self._overdue = {}
        # The default callback shows free-running tasks with their hosts when it knows the strategy by this name.
        iterator._play.strategy = "ansible.builtin.free"
        self._set_hosts_cache(iterator._play)
        self._refuse_what_cannot_be_honoured(iterator._play)
        try:
            self._read_policy(iterator._play)
        except ScheduleError as error:
            raise AnsibleError(str(error)) from error
        self._drop_hosts_lost_before()
        self._announce()
        with _FirstInterrupt(self._interrupted):
            result = self._run_contained(iterator, play_context)
        self._reap()
        return self._end_of_play(iterator, result)

    # -- before the start

    def _refuse_what_cannot_be_honoured(self, play) -> None:
        for keyword in ("serial", "order"):
            if getattr(play, keyword):
                raise AnsibleError(f"alwayson.upgrade.rolling replaces {keyword}: remove {keyword} from the play; "
                                   "rolling_max_unavailable, rolling_domain and rolling_expected_s decide who goes when")
        for task in _static_tasks(play.compile()):
            if task.run_once is True or getattr(action_loader.get(task.action, class_only=True), "BYPASS_HOST_LOOP", False):
                raise _run_once_refused(task)
            if task.action in ("meta", "ansible.builtin.meta", "ansible.legacy.meta") and task.args.get("_raw_params") == "end_batch":
                raise AnsibleError("meta: end_batch cannot be honoured in a rolling play, which has no batches: use end_host or end_play", obj=task._ds)

    def _read_policy(self, play) -> None:
        """The scheduler for this play's hosts, with the policy as the hosts' variables give it."""
        by_host = {name: self._rolling_variables(play, name) for name in self._hosts_cache}
        self._policy = agreed(by_host, OF_THE_RUN, "the hosts of the play")
        pool_hosts = self._policy.get("rolling_pool_hosts") or [host.name for host in self._inventory.get_hosts(play.hosts, ignore_limits=True)]
        others = {name: self._rolling_variables(play, name) for name in pool_hosts if name not in by_host}
        self._schedule = schedule_from(by_host, others, play_budget=_budget_of(play), max_in_flight=len(self._workers))
        self._view = _view_of(self._schedule, {**others, **by_host})
        # Both are honoured by the budget; free would warn that it cannot.
        play.max_fail_percentage = None
        play.any_errors_fatal = False

    def _rolling_variables(self, play, host_name: str) -> dict:
        """The host's ``rolling_*`` variables, templated; nothing else of its variables is touched."""
        host = self._inventory.get_host(host_name)
        if host is None:
            raise AnsibleError(f"rolling_pool_hosts names {host_name}, which is not in the inventory")
        variables = self._variable_manager.get_vars(play=play, host=host, include_hostvars=True, _hosts=self._hosts_cache, _hosts_all=self._hosts_cache_all)
        templar = Templar(loader=self._loader, variables=variables)
        return {name: templar.template(value) for name, value in variables.items() if name.startswith(PREFIX)}

    def _drop_hosts_lost_before(self) -> None:
        """Hosts that an earlier play of this run failed or lost never start, and spend the budget."""
        for name in self._hosts_cache:
            if name in self._tqm._unreachable_hosts:
                self._schedule.finished(name, "lost")
            elif name in self._tqm._failed_hosts or self._iterator.is_failed(self._inventory.get_host(name)):
                self._schedule.finished(name, "failed")
        for reason in _ended_by_operator:
            self._schedule.stop(reason)

    def _announce(self) -> None:
        schedule = self._schedule
        wanted = min(sum(pool.window for pool in schedule.pools.values()), len(schedule.pending))
        if len(self._workers) < wanted:
            display.warning(f"forks allows {len(self._workers)} members in flight, fewer than rolling_max_unavailable ({wanted})")
        pending = set(schedule.pending)
        self._emit("roll_begins", play=self._iterator._play.get_name(), pools={
            name: {"size": pool.size, "window": pool.window, "floor": pool.floor, "steps": pool.step_sizes()} for name, pool in schedule.pools.items()
        }, members=[
            {"name": member.name, "pool": member.pool, "domain": member.domain, "step": schedule.pools[member.pool].step_of.get(member.name),
             "pending": member.name in pending, "in_traffic": member.in_traffic, "expected_s": member.expected_s} for member in schedule.members
        ])

    # -- the seams of free

    def get_hosts_left(self, iterator):
        """The hosts in flight. free keeps an index into this list: its length may grow, never shrink."""
        self._suspects = []
        self._reap()
        self._admit()
        while not (self._schedule.in_flight or self._schedule.done or self._tqm._terminated):
            self._wait_a_little()
            self._admit()
        return self._slots

    def add_tqm_variables(self, vars, play):
        super().add_tqm_variables(vars, play)
        schedule = self._schedule
        pool = schedule.pool_of(vars["inventory_hostname"]) if vars.get("inventory_hostname") in self._hosts_cache else next(iter(schedule.pools.values()))
        vars["rolling"] = {"direction": schedule.direction, "window": pool.window, "floor": pool.floor, "in_flight": list(schedule.in_flight),
                           "failed": schedule.unsuccessful, "pending": schedule.pending_count}

    def _queue_task(self, host, task, task_vars, play_context):
        if Templar(loader=self._loader, variables=task_vars).template(task.run_once):
            raise _run_once_refused(task)
        self._bury_dead_workers()
        super()._queue_task(host, task, task_vars, play_context)

    def _take_step(self, task, host=None):
        """free forgets to release a host whose task was answered with "no" (ansible#86656)."""
        wanted = super()._take_step(task, host)
        if not wanted:
            self._blocked_hosts[host] = False
        return wanted

    def _process_pending_results(self, iterator, one_pass=False, max_passes=None):
        results = super()._process_pending_results(iterator, one_pass=one_pass, max_passes=max_passes)
        if results:
            self._suspects = [_host_of(result).name for result in results]
        else:
            self._bury_dead_workers()
        return results

    # -- who goes, who is done

    def _admit(self) -> None:
        now = time.monotonic()
        if not self._changed and now - self._looked_at < INTERVAL_S:
            return
        if self._changed:
            self._view.forget()  # each admission is decided by a fresh look
        self._changed, self._looked_at = False, now
        self._obey_the_operator()
        self._end_what_is_overdue(now)
        if self._view.look():
            self._emit("live", pools={pool: sorted(names) for pool, names in self._view.live.items()})
        self._emit("tick")
        if not self._somebody_is_in_rescue():
            self._start(self._schedule.decide(self._view.live, blind=self._view.blind, now=now), now)

    def _start(self, decision, now: float) -> None:
        self._tell(decision)
        for name in decision.start:
            host = self._inventory.get_host(name)
            if decision.direction == BACK:
                self._iterator.set_state_for_host(name, HostState(blocks=self._iterator._blocks))
            self._schedule.started(name, now)
            self._put_into_slot(host)
            self._emit("started", member=name, pool=self._schedule.pool_of(name).name, direction=decision.direction)
            self._changed, self._waiting_since = True, None

    def _somebody_is_in_rescue(self) -> bool:
        """A member that repairs its failure has not failed yet: nobody starts beside it until its outcome is known."""
        return any(_is_in_rescue(self._iterator.get_state_for_host(name)) for name in self._schedule.in_flight)

    def _put_into_slot(self, host) -> None:
        """Into a finished host's place, so that free's index stays valid."""
        for index, occupant in enumerate(self._slots):
            if occupant.name not in self._schedule.in_flight:
                self._slots[index] = host
                return
        self._slots.append(host)

    def _reap(self) -> None:
        for name, since in list(self._schedule.in_flight.items()):
            if self._blocked_hosts.get(name) or not self._has_left(name):
                continue
            now = time.monotonic()
            outcome = self._outcome_of(name)
            self._schedule.finished(name, outcome, now)
            self._changed = True
            self._emit("finished", member=name, pool=self._schedule.pool_of(name).name, outcome=self._schedule.outcome[name], seconds=round(now - since, 3),
                       why=self._overdue.get(name, ""))

    def _has_left(self, name: str) -> bool:
        if name in self._tqm._unreachable_hosts:
            return True
        _state, task = self._iterator.get_next_task_for_host(self._inventory.get_host(name), peek=True)
        return task is None

    def _outcome_of(self, name: str) -> str:
        host = self._inventory.get_host(name)
        if name in self._tqm._unreachable_hosts:
            return "lost"
        if name in self._tqm._failed_hosts or self._iterator.is_failed(host):
            return "failed"
        return "failed" if self._variable_manager._nonpersistent_fact_cache.get(name, {}).get("rolling_failed") is True else "ok"

    # -- waiting, deadlines, the operator

    def _wait_a_little(self) -> None:
        """With nobody in flight only the fleet or the operator can change the answer; when neither does in time, the roll stops."""
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        patience = float(self._policy.get("rolling_capacity_timeout") or 300)
        if self._paused:
            self._waiting_since = None
        elif not self._view or now - self._waiting_since >= patience:
            decision = self._schedule.decide(self._view.live, blind=self._view.blind)
            if not decision.start:
                self._schedule.stop(decision.reason)
                self._tell(self._schedule.decide())
            return
        time.sleep(INTERVAL_S)

    def _obey_the_operator(self) -> None:
        path = self._policy.get("rolling_control")
        word = read_control(path)
        if word == ABORT:
            self._end_for_the_operator(f"the operator wrote abort into {path}")
        elif word == PAUSE and not self._paused:
            self._paused = True
            reason = f"paused by {path}: write go into it to go on, abort to stop"
            self._schedule.hold(reason)
            display.warning(reason)
            self._emit("paused", reason=reason)
        elif word != PAUSE and self._paused:
            self._paused = False
            self._schedule.go_on()
            self._emit("goes_on")

    def _interrupted(self) -> None:
        self._changed = True
        self._end_for_the_operator("interrupted by Ctrl-C; members in flight are finished, a second Ctrl-C ends at once")

    def _end_for_the_operator(self, reason: str) -> None:
        if reason not in _ended_by_operator:
            _ended_by_operator.append(reason)
        self._schedule.stop(reason)

    def _end_what_is_overdue(self, now: float) -> None:
        for name in self._schedule.overdue(now):
            limit = self._schedule.policy.member_timeout
            self._overdue[name] = f"{name} was in flight for more than {limit:g} s (rolling_member_timeout)"
            self._schedule.extended(name, now)  # for its rescue
            worker = next((worker for worker in self._workers if worker is not None and worker._host.name == name and worker.is_alive()), None)
            if worker is not None and self._blocked_hosts.get(name):
                worker.terminate()  # the worker ends its process group: whatever it waits for on this side
            else:
                self._fail_host(self._inventory.get_host(name), None, self._overdue[name])

    # -- hosts that fail in other ways than by a task's result

    def _run_contained(self, iterator, play_context):
        """An error of the engine (a missing include, say) fails the hosts it belongs to; the others finish, and nobody new starts."""
        while True:
            try:
                return super().run(iterator, play_context)
            except AnsibleError as error:
                guilty = [name for name in (self._suspects or [getattr(self._slots.at, "name", None)]) if name in self._schedule.in_flight]
                if not guilty:
                    raise
                self._schedule.stop(f"{', '.join(guilty)}: {error}")
                for name in guilty:
                    self._blocked_hosts[name] = False
                    self._fail_host(self._inventory.get_host(name), None, str(error))

    def _bury_dead_workers(self) -> None:
        """A worker that was killed never answers, and free would wait for its host for ever: fail the host."""
        for worker in self._workers:
            exitcode = getattr(worker, "exitcode", None)
            if worker is None or exitcode in (None, 0):
                continue
            name, key = worker._host.name, (worker._host.name, worker._task._uuid)
            if not self._blocked_hosts.get(name) or key not in self._queued_task_cache:
                continue
            self._queued_task_cache.pop(key)
            self._blocked_hosts.pop(name)
            self._pending_results -= 1
            why = self._overdue.get(name) or f"the worker process of {name} ended with {exitcode}"
            self._fail_host(worker._host, worker._task, f"{why} in task {worker._task.get_name()!r}")

    def _fail_host(self, host, task, why: str) -> None:
        """What the engine does for a failed result: the host goes into its rescue, or is failed."""
        display.error(f"{why}: {host.name} counts as failed")
        self._overdue.setdefault(host.name, why)
        had_failed = self._iterator.is_failed(host)
        self._iterator.mark_host_failed(host)
        self._variable_manager.set_nonpersistent_facts(host.name, {
            "ansible_failed_task": {"name": task.get_name() if task else "the play itself"}, "ansible_failed_result": {"failed": True, "msg": why}})
        if self._iterator.is_failed(host) and not had_failed:
            self._tqm._failed_hosts[host.name] = True
            self._tqm._stats.increment("failures", host.name)
        else:
            self._tqm._stats.increment("rescued", host.name)

    # -- what the user is told

    def _tell(self, decision) -> None:
        turns_back = self._schedule.goes_back and not decision.stopped
        said = (decision.reason, decision.stopped, turns_back)
        if decision.start or not decision.reason or said == self._told:
            return
        self._told = said
        if decision.stopped or turns_back:
            end = "The upgraded members return" if turns_back else f"Not started: {', '.join(self._schedule.pending) or 'nobody'}"
            display.warning(f"the roll stops: {decision.reason}. {end}")
        elif self._view.blind:
            display.warning(decision.reason)
        self._emit("turns_back" if turns_back else "stopped" if decision.stopped else "waiting", reason=decision.reason)

    def _emit(self, event: str, **facts) -> None:
        """Tell the callback plugins that want to know; a screen that breaks never breaks the roll."""
        for plugin in self._tqm._callback_plugins:
            listener = getattr(plugin, "rollout_event", None)
            if listener is not None:
                try:
                    listener({"event": event, **facts})
                except Exception as error:
                    display.warning(f"callback {plugin._load_name} failed on {event}: {error}")

    # -- the end

    def _end_of_play(self, iterator, result):
        schedule = self._schedule
        self._tell(schedule.decide())
        self._emit("roll_ends", not_started=schedule.pending)
        ended_on_purpose = iterator.end_play and not schedule.stop_reason
        if ended_on_purpose or not (schedule.stop_reason or schedule.pending_count):
            return result
        reason = schedule.stop_reason or "the play ended before every member had started"
        for name in self._hosts_cache:
            self._variable_manager.set_nonpersistent_facts(name, {"rolling_stopped": reason})
        if not self._policy.get("rolling_break_play", True):
            return result
        iterator.end_play = False  # otherwise the executor goes on with the next play
        return self._tqm.RUN_FAILED_BREAK_PLAY


class _FirstInterrupt:
    """The first Ctrl-C is told to the roll, the second one does what it always did."""

    def __init__(self, tell) -> None:
        self._tell = tell
        self._usual = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._usual = signal.signal(signal.SIGINT, self._first)
        return self

    def _first(self, _number, _frame) -> None:
        self.__exit__()
        self._tell()

    def __exit__(self, *_error) -> None:
        if self._usual is not None:
            signal.signal(signal.SIGINT, self._usual)
            self._usual = None


def _budget_of(play) -> int | str | None:
    """What the play's own keywords say about failures."""
    if play.any_errors_fatal or any(task.any_errors_fatal for task in _static_tasks(play.compile())):
        return 0
    return None if play.max_fail_percentage is None else f"{int(play.max_fail_percentage)}%"


def _view_of(schedule, by_host) -> LiveView:
    """Where each pool's live members are read, and by which names."""
    sources, names = {}, {}
    for name, variables in by_host.items():
        pool = schedule.pool_of(name).name
        names.setdefault(pool, {})[name] = str(variables.get("rolling_member") or name)
        if variables.get("rolling_live"):
            sources[pool] = variables["rolling_live"]
    return LiveView(sources, names, INTERVAL_S)


def _is_in_rescue(state) -> bool:
    return state is not None and (state.run_state == IteratingStates.RESCUE or _is_in_rescue(state.tasks_child_state))


def _host_of(result):
    """The result's host; ansible-core renamed it."""
    return getattr(result, "host", None) or result._host


def _run_once_refused(task) -> AnsibleError:
    return AnsibleError(f"task {task.get_name()!r} is run_once, which a rolling play cannot honour: put it into a play of its own", obj=task._ds)


def _static_tasks(blocks):
    """Every task that is known before the start, in blocks, rescues and always sections."""
    for block in blocks:
        for section in (block.block, block.rescue, block.always):
            for entry in section:
                if hasattr(entry, "block"):
                    yield from _static_tasks([entry])
                else:
                    yield entry
