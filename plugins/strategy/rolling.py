# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: rolling
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.1.0
short_description: Run a play on a pool's members in a window that keeps a minimum of live capacity
description:
  - Each host runs the whole play independently, as with P(ansible.builtin.free#strategy). Whenever a host is done, the strategy decides which hosts start next,
    by limits on unavailable members, on failure domains and on live capacity. There are slots, not batches.
  - The roll stops at the first failed or lost (unreachable) host, or when the budget O(max_failures) is spent. Hosts in flight are finished,
    no further host starts, and the playbook ends.
  - A host that repaired its own failure in a C(rescue) counts as failed when it sets the fact C(rolling_failed) to V(true). While a failed host
    is in its C(rescue) or C(always), no further host starts.
  - An error of the engine (an included file that cannot be read, a worker process that could not be started) fails its host and
    stops the roll. A C(rescue) still runs, and the host counts as failed nevertheless.
  - At the first Ctrl-C, no further host starts, and the hosts in flight are finished. The second one ends the run at once.
  - ansible-core warns that strategies outside C(ansible.builtin) may be removed in a future release. The scheduler does not depend on this plugin. The
    filter P(alwayson.upgrade.waves#filter) returns its decisions for use with builtin C(serial).
extends_documentation_fragment:
  - alwayson.upgrade.rolling_variables
notes:
  - The options are variables of the play and of its hosts. A variable of a pool must be the same for all its hosts, and a variable of the run for all hosts
    of the play. A variable whose name is similar to one of these is refused as misspelt.
  - The variable C(rolling) gives tasks the state of the roll (C(direction), C(window), C(floor), C(in_flight), C(failed), and C(pending), the number of hosts
    to do). Afterwards each host has the fact C(rolling_seconds) and, if the roll stopped, C(rolling_stopped), the reason.
  - C(any_errors_fatal) means a budget of 0, and C(max_fail_percentage) a budget for the whole run. C(throttle), C(--step), C(--start-at-task), tags, check mode
    and handlers work as with P(ansible.builtin.free#strategy). C(serial), C(order), C(run_once), modules that run once for all hosts (such as
    M(ansible.builtin.add_host) and M(ansible.builtin.pause)) and the C(end_batch) of M(ansible.builtin.meta) are refused.
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

import functools
import os
import time
from typing import Any

from ansible.errors import AnsibleError, AnsibleValueOmittedError
from ansible.executor.play_iterator import IteratingStates
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import action_loader
from ansible.plugins.strategy import results_thread_main
from ansible.plugins.strategy.free import StrategyModule as FreeStrategy
from ansible.template import Templar
from ansible.utils.display import Display
from ..module_utils._probe.live_figures import LiveFigures
from ..plugin_utils._controller import ansible_objects, meta_actions
from ..plugin_utils._controller.dead_results import IDLE_PAUSE_S, ResultsLost, require_results
from ..plugin_utils._controller.dead_workers import DeadWorkers
from ..plugin_utils._controller.interrupts import FirstInterrupt, ended_by_operator
from ..plugin_utils._controller.live_view import LiveView
from ..plugin_utils._controller.operator_control import ABORT, PAUSE, read_control
from ..plugin_utils._controller.play_variables import templated
from ..plugin_utils._schedule import checks as schedule_checks, error_budget, messages as schedule_messages, variables as schedule_variables
from ..plugin_utils._schedule.limits import ScheduleError
from ..plugin_utils._schedule.scheduler import BACK, Decision

display = Display()

# How often the operator, the deadlines and the load balancers are looked at. The strategy's loop itself turns every few milliseconds.
INTERVAL_S = 0.5
# How long a process may take to end after SIGTERM, and a dead worker's answer to arrive.
PATIENCE_S = 1.0
_ENDED = "the play ended itself (meta: end_play)"


class StrategyModule(FreeStrategy):
    """Adapter: asks the scheduler who may start. C(free) does the work for the hosts it is shown."""

    def run(self, iterator: Any, play_context: Any) -> int:
        self._iterator, self._started = iterator, False
        self._slots = ansible_objects.Slots()
        self._results = ansible_objects.Results()
        self._dead_workers = DeadWorkers(PATIENCE_S)
        self._tasks = ansible_objects.Tasks(_runs_once)
        self._started_at: dict[str, float] = {}
        self._failure_of: dict[str, str] = {}
        self._reported: tuple[str, bool] | None = None
        self._reported_live: dict[str, list[str]] | None = None
        self._figures: dict[str, Any] | None = None
        self._waiting_since: float | None = None
        self._probe = LiveFigures(0.0, INTERVAL_S)
        self._turned, self._paused, self._changed = False, False, True
        self._looked_at = self._buried_at = 0.0
        # The default callback shows free-running tasks with their hosts when it knows the strategy by this name.
        iterator._play.strategy = "ansible.builtin.free"
        self._set_hosts_cache(iterator._play)
        self._take_over([*iterator._blocks, *iterator._play.handlers])
        try:
            schedule_checks.refuse_keywords(iterator._play)
            self._read_policy(iterator._play)
        except ScheduleError as error:
            raise AnsibleError(str(error)) from error
        self._first_states = {name: iterator.get_host_state(self._inventory.get_host(name)) for name in self._hosts_cache}
        iterator.add_tasks = functools.partial(self._add_tasks, iterator.add_tasks)
        self._drop_hosts_lost_before()
        self._started = True
        self._announce()
        with FirstInterrupt(self._interrupted), meta_actions.refreshed_at_once(self._inventory, self._hosts_cache, AnsibleError, self._slots.renew):
            result = self._run_contained(iterator, play_context)
        self._reap()
        return self._end_of_play(iterator, result)

    # -- before the start

    def _take_over(self, blocks: Any) -> None:
        try:
            self._tasks.take_over(blocks)
        except ansible_objects.TaskRefused as refused:
            raise AnsibleError(str(refused), obj=refused.task._ds) from refused

    def _add_tasks(self, add_tasks: Any, host: Any, blocks: Any) -> None:
        """What a host includes is handled like the play's own tasks."""
        self._take_over(blocks)
        if self._tasks.errors_are_fatal and not self._has_own_budget:
            self._schedule.budget = 0
        add_tasks(host, blocks)

    def _read_policy(self, play: Any) -> None:
        """The scheduler for this play's hosts, with the policy as the hosts' variables give it."""
        unknown: set[str] = set()
        by_host = {name: self._rolling_variables(play, name, unknown) for name in self._hosts_cache}
        self._options = schedule_variables.strategy_options_from(by_host)
        pool = self._options.pool_hosts or [host.name for host in self._inventory.get_hosts(play.hosts, ignore_limits=True, ignore_restrictions=True)]
        others = {name: self._rolling_variables(play, name, unknown) for name in pool if name not in by_host}
        schedule_checks.refuse_misspelt(unknown)
        self._has_own_budget = any("rolling_max_failures" in variables for variables in by_host.values())
        budget = schedule_checks.budget_of(play, self._tasks.errors_are_fatal, len(self._hosts_cache))
        self._schedule = schedule_variables.schedule_from(by_host, others, play_budget=budget, max_in_flight=len(self._workers))
        self._view = LiveView(*schedule_variables.live_sources({**others, **by_host}), INTERVAL_S)
        schedule_checks.refuse_without_way_back(self._schedule, self._view.pools)
        # Honoured by the budget; free would warn that it cannot.
        play.max_fail_percentage = None

    def _rolling_variables(self, play: Any, host_name: str, unknown: set[str]) -> dict[str, Any]:
        """The host's ``rolling_*`` variables, templated. Adds names that are no variable of a roll to *unknown*."""
        if (host := self._inventory.get_host(host_name)) is None:
            raise AnsibleError(f"rolling_pool_hosts names {host_name}, which is not in the inventory")
        variables = self._variable_manager.get_vars(play=play, host=host, _hosts=self._hosts_cache, _hosts_all=self._hosts_cache_all)
        given = {name for name in variables if name.startswith(schedule_variables.PREFIX)}
        known = given.intersection(schedule_variables.known_variables())
        unknown |= given - known
        return templated(known, variables, Templar(loader=self._loader, variables=variables).template, host_name, AnsibleValueOmittedError, AnsibleError)

    def _drop_hosts_lost_before(self) -> None:
        """Hosts that an earlier play of this run failed or lost never start, and spend the budget."""
        for name in self._hosts_cache:
            if (outcome := self._outcome_of(name)) != "ok":
                self._schedule.finished(name, outcome)
        # The operator ended this run in an earlier play.
        for reason in ended_by_operator:
            self._schedule.stop(reason)

    def _announce(self) -> None:
        forks = schedule_messages.forks_warning(self._schedule, len(self._workers))
        for warning in filter(None, (forks, *schedule_checks.room_warnings(self._schedule, self._view.pools))):
            display.warning(warning)
        self._emit("roll_begins", **schedule_messages.roll_begins(self._schedule, self._iterator._play.get_name()))

    # -- the seams of free

    def get_hosts_left(self, iterator: Any) -> list[Any]:
        """The hosts in flight. free keeps an index into this list: its length may grow, never shrink."""
        self._slots.at = self._results.last = None
        while True:
            self._reap()
            self._admit()
            if self._reap():
                continue  # a member without a task for it is done as soon as it starts
            if self._schedule.in_flight or self._schedule.done or self._tqm._terminated:
                return self._slots
            self._wait_a_little()

    def _set_hosts_cache(self, play: Any, refresh: bool = True) -> None:
        """The participating hosts are fixed at the start; later changes of the inventory do not count."""
        if not self._started:
            super()._set_hosts_cache(play, refresh)

    def _execute_meta(self, task: Any, play_context: Any, iterator: Any, target_host: Any) -> Any:
        with meta_actions.shown(self._inventory, task._get_meta(), target_host.name, self._schedule.in_flight):
            return super()._execute_meta(task, play_context, iterator, target_host)

    def add_tqm_variables(self, vars: dict[str, Any], play: Any) -> None:
        super().add_tqm_variables(vars, play)
        vars["rolling"] = schedule_messages.state_for(self._schedule, vars.get("inventory_hostname"))

    def _queue_task(self, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
        if (run_once := self._tasks.run_once(task)) and boolean(Templar(loader=self._loader, variables=task_vars).template(run_once), strict=False):
            raise AnsibleError(str(ansible_objects.once_refused(task)), obj=task._ds)
        self._dead_workers.look(self._workers)
        queued = self._pending_results
        super()._queue_task(host, task, task_vars, play_context)
        if self._pending_results == queued and not self._tqm._terminated:
            self._queued_task_cache.pop(ansible_objects.key_of(host, task), None)
            raise AnsibleError(f"the controller could not start a process for task {task.get_name()!r}")

    def _take_step(self, task: Any, host: Any = None) -> bool:
        """free forgets to release a host whose task was answered with "no" (ansible#86656)."""
        if not (wanted := super()._take_step(task, host)):
            self._blocked_hosts[host] = False
        return wanted

    def _process_pending_results(self, iterator: Any, one_pass: bool = False, max_passes: int | None = None) -> list[Any]:
        """An include comes alone or last, so that an error of what it includes can be attributed to that host."""
        results: list[Any] = []
        while not (results and ansible_objects.is_include(results[-1])) and (answered := self._process_one_result(iterator)):
            results += answered
        if results:
            return results
        time.sleep(IDLE_PAUSE_S if self._pending_results else 0.0)
        if time.monotonic() - self._buried_at >= INTERVAL_S:
            self._buried_at = time.monotonic()
            self._bury_dead_workers()
            require_results(self, results_thread_main)
        return []

    def _process_one_result(self, iterator: Any) -> list[Any]:
        pending = self._pending_results
        try:
            return super()._process_pending_results(iterator, one_pass=True)
        except AnsibleError:
            if self._results.last is not None and self._pending_results == pending:
                self._pending_results -= 1
            raise

    # -- who goes, who is done

    def _admit(self) -> None:
        now = time.monotonic()
        if not self._changed and now - self._looked_at < INTERVAL_S:
            return
        if self._changed:
            self._view.forget()  # each admission is decided by a fresh look
        self._changed, self._looked_at = False, now
        if self._iterator.end_play:
            self._schedule.stop(_ENDED)
        self._obey_the_operator()
        self._ask_what_users_get()
        self._dead_workers.look(self._workers)
        self._end_what_is_overdue(now)
        self._look()
        self._emit("tick")
        if not any(map(self._may_be_failing, self._schedule.in_flight)):
            self._start(self._schedule.decide(self._view.live, blind=self._view.blind, now=now), now)

    def _ask_what_users_get(self) -> None:
        """The prober is a gate: once the error budget is spent, or when it is silent, no further member starts."""
        if self._options.probe and not self._schedule.goes_back:
            now = time.time()
            self._figures = self._probe.newer(self._options.probe["directory"], now) or self._figures
            if why := error_budget.why_to_stop(self._figures, self._options.probe, now):
                self._schedule.stop_for_failures(why)

    def _look(self) -> None:
        self._view.look()
        if (live := {pool: sorted(names) for pool, names in self._view.live.items()}) != self._reported_live:
            self._reported_live = live
            self._emit("live", pools=live)

    def _start(self, decision: Decision, now: float) -> None:
        self._tell(decision)
        for name in decision.start:
            if decision.direction == BACK:
                self._rewind(name)
            self._started_at[name] = now
            self._schedule.started(name, now)
            self._slots.put(self._inventory.get_host(name), self._schedule.in_flight)
            # Tasks get it again each time; the engine's own conditions, those of meta, only see facts.
            self._variable_manager.set_nonpersistent_facts(name, {"rolling": schedule_messages.state_for(self._schedule, name)})
            self._emit("started", member=name, pool=self._schedule.pool_of(name).name, direction=decision.direction)
            self._changed, self._waiting_since = True, None

    def _rewind(self, name: str) -> None:
        """The host runs the play once more, from where it began, as if it had not yet."""
        play = self._iterator._play
        self._iterator.set_state_for_host(name, self._first_states[name].copy())
        play._removed_hosts[:] = [removed for removed in play._removed_hosts if removed != name]
        ansible_objects.forget_roles(play, name)

    def _may_be_failing(self, name: str) -> bool:
        """A member that has failed and repairs or tidies up: no other member starts until its outcome is known."""
        return name in self._dead_workers or ansible_objects.has_failed(self._iterator.get_state_for_host(name)) or self._outcome_of(name) != "ok"

    def _reap(self) -> bool:
        """Take note of the members that have left; returns whether any has."""
        gone = [name for name in self._schedule.in_flight if not self._blocked_hosts.get(name) and self._has_left(name)]
        for name in gone:
            seconds = round((now := time.monotonic()) - self._started_at[name], 3)
            self._schedule.finished(name, self._outcome_of(name), now)
            # Whatever clears errors later (meta: clear_host_errors), the member does not come back to life.
            self._iterator.set_run_state_for_host(name, IteratingStates.COMPLETE)
            self._changed = True
            self._variable_manager.set_nonpersistent_facts(name, {"rolling_seconds": seconds})
            self._emit("finished", member=name, pool=self._schedule.pool_of(name).name, outcome=self._schedule.outcome[name], seconds=seconds,
                       why=self._failure_of.get(name, ""))
        return bool(gone)

    def _has_left(self, name: str) -> bool:
        if name in self._tqm._unreachable_hosts:
            return True
        host = self._inventory.get_host(name)
        if gone := self._iterator.get_next_task_for_host(host, peek=True)[1] is None:
            self._iterator.get_next_task_for_host(host)
        return gone

    def _outcome_of(self, name: str) -> str:
        if name in self._tqm._unreachable_hosts:
            return "lost"
        if name in self._failure_of or name in self._tqm._failed_hosts or self._iterator.is_failed(self._inventory.get_host(name)):
            return "failed"
        says_so = self._variable_manager._nonpersistent_fact_cache.get(name, {}).get("rolling_failed", False)
        return "failed" if boolean(says_so, strict=False) else "ok"

    # -- waiting, deadlines, the operator

    def _wait_a_little(self) -> None:
        """Without a member in flight only the fleet or the operator can change the decision; when neither does in time, the roll stops."""
        now = time.monotonic()
        self._waiting_since = None if self._paused else self._waiting_since or now
        if self._waiting_since and (not self._view or now - self._waiting_since >= self._options.capacity_timeout):
            decision = self._schedule.decide(self._view.live, blind=self._view.blind)
            if not decision.start:
                self._schedule.stop(decision.reason)
                self._tell(self._schedule.decide())
            return
        time.sleep(INTERVAL_S)

    def _obey_the_operator(self) -> None:
        path = self._options.control
        word = read_control(path and os.path.expanduser(path))
        if word == ABORT:
            self._end_for_the_operator(f"an operator wrote abort to {path}; remove it before the next run")
        elif word == PAUSE and not self._paused:
            self._paused = True
            reason = f"paused by {path}: write go to it to continue, or abort to stop"
            self._schedule.hold(reason)
            display.warning(reason)
            self._emit("paused", reason=reason)
        elif word != PAUSE and self._paused:
            self._paused = False
            self._schedule.go_on()
            self._emit("goes_on")

    def _interrupted(self) -> None:
        self._changed = True
        self._end_for_the_operator("interrupted by Ctrl-C; members in flight are finished, a second Ctrl-C ends the run at once")

    def _end_for_the_operator(self, reason: str) -> None:
        if reason not in ended_by_operator:
            ended_by_operator.append(reason)
        self._schedule.stop(reason)

    def _end_what_is_overdue(self, now: float) -> None:
        for name in self._schedule.overdue(now):
            worker = next((worker for worker in self._workers if worker is not None and worker._host.name == name and worker.is_alive()), None)
            if worker is None and self._blocked_hosts.get(name):
                continue  # its answer is on its way
            self._schedule.extended(name, now)  # for its rescue
            limit = self._schedule.policy.member_timeout
            self._failure_of[name] = f"{name} was in flight for more than {limit:g} s (rolling_member_timeout)"
            if worker is not None:
                self._dead_workers.end(worker)
            else:
                self._fail_host(self._inventory.get_host(name), None, self._failure_of[name])

    # -- hosts that fail in other ways than by a task's result

    def _run_contained(self, iterator: Any, play_context: Any) -> int:
        """An error of the engine (a missing include, say) fails the host it belongs to; the others finish, and no further member starts."""
        while (code := self._run_until_an_error(iterator, play_context)) is None:
            pass
        return code

    def _run_until_an_error(self, iterator: Any, play_context: Any) -> int | None:
        try:
            return super().run(iterator, play_context)
        except ResultsLost as lost:
            return self._give_up(str(lost))
        except AnsibleError as error:
            host = self._slots.at if self._results.last is None else ansible_objects.host_of(self._results.last)
            if host is None or host.name not in self._schedule.in_flight:
                raise
            display.error(error)
            self._schedule.stop(f"{host.name}: {error}")
            self._blocked_hosts[host.name] = False
            self._fail_host(host, None, str(error))
            return None

    def _give_up(self, why: str) -> int:
        """Fail the hosts in flight, and end the processes that work for them on the controller: no result arrives any more."""
        display.error(why)
        self._schedule.stop(why)
        for worker in (worker for worker in self._workers if worker is not None and worker.is_alive()):
            self._dead_workers.end(worker)
        for name in list(self._schedule.in_flight):
            self._tqm._failed_hosts[name] = True
            self._failure_of[name], self._blocked_hosts[name] = why, False
            self._iterator.set_run_state_for_host(name, IteratingStates.COMPLETE)
        self._pending_results = 0
        return self._tqm.RUN_FAILED_HOSTS

    def _bury_dead_workers(self) -> None:
        """A worker that was killed never answers, and free would wait for its host for ever: fail the host."""
        self._dead_workers.look(self._workers)
        for dead in self._dead_workers.gone():
            name, key = dead.host.name, ansible_objects.key_of(dead.host, dead.task)
            if not self._blocked_hosts.get(name) or key not in self._queued_task_cache:
                continue  # it had answered
            self._results.given_up.add(key)
            self._blocked_hosts.pop(name)
            self._pending_results -= 1
            why = self._failure_of.get(name) or f"the worker process of {name} ended with {dead.exitcode}"
            self._fail_host(dead.host, dead.task, f"{why} in task {dead.task.get_name()!r}")

    def _fail_host(self, host: Any, task: Any, why: str) -> None:
        """What the engine does for a failed result: the host goes into its rescue, or is failed. It counts as failed in both cases."""
        display.error(f"{why}: {host.name} counts as failed")
        self._failure_of[host.name] = why
        rescued = self._iterator.is_any_block_rescuing(self._iterator.get_state_for_host(host.name))
        self._iterator.mark_host_failed(host)
        self._variable_manager.set_nonpersistent_facts(host.name, {
            "ansible_failed_task": {"name": task.get_name() if task else "the play itself"}, "ansible_failed_result": {"failed": True, "msg": why}})
        self._tqm._stats.increment("rescued" if rescued else "failures", host.name)
        if rescued:
            self._iterator._play._removed_hosts.remove(host.name)
        elif self._iterator.is_failed(host):
            self._tqm._failed_hosts[host.name] = True

    # -- messages for the user, and the end

    def _tell(self, decision: Decision) -> None:
        schedule, reason = self._schedule, decision.reason
        if schedule.goes_back and not decision.stopped and not self._turned:
            self._turned = True
            display.warning(schedule_messages.describe_rollback(schedule))
            self._emit("turns_back", reason=schedule.stop_reason)
        if not reason or (reason, decision.stopped) == self._reported or (self._turned and reason == schedule.stop_reason):
            return
        self._reported = (reason, decision.stopped)
        if decision.stopped:
            display.warning(schedule_messages.describe_stop(schedule, decision))
        elif self._view.blind:
            display.warning(reason)
        self._emit("stopped" if decision.stopped else "waiting", reason=reason)

    def _emit(self, event: str, **facts: Any) -> None:
        ansible_objects.tell_callbacks(self._tqm._callback_plugins, display.warning, {"event": event, **facts})

    def _end_of_play(self, iterator: Any, result: int) -> int:
        schedule, last = self._schedule, self._schedule.decide()
        self._tell(last)
        self._emit("roll_ends", not_started=[name for name in self._hosts_cache if name not in schedule.outcome])
        reason = schedule_messages.why_it_stopped(schedule, last)
        on_purpose = iterator.end_play and schedule.stop_reason == _ENDED and len(schedule.unsuccessful) <= schedule.budget
        if on_purpose or not reason:
            return result
        if last.direction == BACK:
            display.warning(schedule_messages.describe_rollback_end(schedule, reason))
        for name in self._hosts_cache:
            self._variable_manager.set_nonpersistent_facts(name, {"rolling_stopped": reason})
        if not self._options.break_play:
            iterator.end_play = True  # the executor goes on with the next play, even when all hosts have failed or are lost
            return result
        iterator.end_play = False  # otherwise the executor goes on with the next play
        return self._tqm.RUN_FAILED_BREAK_PLAY


def _runs_once(task: Any) -> bool:
    plugin = action_loader.get(task.action, class_only=True, collection_list=task.collections)
    return getattr(plugin, "BYPASS_HOST_LOOP", False)
