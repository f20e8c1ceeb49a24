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
  - The roll stops at the first failed or lost (unreachable) host, or when the budget O(ignore:rolling_max_failures) is spent. Hosts in flight are finished,
    nobody new starts, and the playbook ends.
  - A host that repaired its own failure in a C(rescue) counts as failed when it sets the fact C(rolling_failed) to V(true).
  - The policy is read from the variables below, so that group variables and C(-e) override single ones.
  - ansible-core announces that strategies outside C(ansible.builtin) may go away in a future release. The decisions are made by a scheduler
    that does not depend on this plugin.
notes:
  - Variables of the play, all optional.
  - "C(rolling_max_unavailable) (default V(1)): members in flight at the same time, a number or a percentage of the pool (rounded down, at least one)."
  - "C(rolling_min_live) (default: the pool's size minus the above): live members that the pool keeps, a number or a percentage (rounded up)."
  - "C(rolling_domain): host variable, the member's failure domain (zone, rack). Domains are taken one after the other."
  - "C(rolling_max_per_domain), C(rolling_domains_at_once): limits by failure domain."
  - "C(rolling_steps) (default V([100%])): cumulative steps, for example V([1, 10%, 100%]), or V(half_pool) or V(canary). A step starts when the one
    before is done."
  - "C(rolling_max_failures) (default V(0)): failed and lost hosts of the whole play before the roll stops, a number or a percentage. A failed host is
    not live, so the floor may stop the roll before the budget does."
  - "C(rolling_on_failure) (default V(stop)): V(stop) or V(skip)."
  - "C(rolling_live): where live capacity is read before each start, a dictionary with C(load_balancers) (list of C(name) and C(endpoint), reachable from the
    controller) and C(backend). Without it, members that are not in flight and did not fail count as live."
  - "C(rolling_pool_hosts): every host of the pool, when the play's hosts are only some of them."
  - "C(rolling_in_traffic), C(rolling_expected_s), C(rolling_step), C(rolling_member): host variables: whether the member takes traffic now, the seconds
    that its upgrade took last time, the step it is pinned to (from 0), and its name on the load balancers (default: the inventory name)."
  - "C(rolling_capacity_timeout) (default V(300)): seconds that the roll waits for capacity with nobody in flight before it stops."
  - "C(rolling_break_play) (default V(true)): whether the playbook ends when the roll stopped. V(false) lets later plays repair and report."
  - The variable C(rolling) tells tasks the roll's state (C(pending), C(in_flight), C(outcome), C(floor), C(window)).
  - C(any_errors_fatal) means a budget of 0, C(max_fail_percentage) a budget for the whole run. C(serial) and C(run_once) are refused.
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
"""

import time

from ansible.errors import AnsibleError
from ansible.plugins.strategy.free import StrategyModule as FreeStrategy
from ansible.template import Templar
from ansible.utils.display import Display

from ansible_collections.alwayson.upgrade.plugins.module_utils._live import live_members
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.policy import limits_from, member_from, schedule_from
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.schedule import ScheduleError

display = Display()

# How often the load balancers are asked while somebody waits for a slot. The strategy's loop itself turns every few milliseconds.
LIVE_INTERVAL_S = 0.5


class StrategyModule(FreeStrategy):
    """Adapter: asks the scheduler who may start. C(free) does the work for the hosts it is shown."""

    def run(self, iterator, play_context):
        self._iterator = iterator
        self._slots = []
        self._told = ""
        self._waiting_since = None
        self._live = None
        self._live_trouble = ""
        self._live_read_at = 0.0
        # The default callback shows free-running tasks with their hosts when it knows the strategy by this name.
        iterator._play.strategy = "ansible.builtin.free"
        self._set_hosts_cache(iterator._play)
        self._refuse_what_cannot_be_honoured(iterator)
        try:
            self._schedule = self._read_policy(iterator._play)
        except ScheduleError as error:
            raise AnsibleError(str(error)) from error
        self._drop_hosts_lost_before()
        self._tell_when_forks_bound()

        result = super().run(iterator, play_context)
        self._reap()
        return self._end_of_play(iterator, result)

    # -- before the start

    def _refuse_what_cannot_be_honoured(self, iterator) -> None:
        if iterator._play.serial:
            raise AnsibleError("alwayson.upgrade.rolling replaces serial: remove serial from the play and set rolling_max_unavailable")
        for task in _static_tasks(iterator._play.compile()):
            if task.run_once is True:
                raise _run_once_refused(task)

    def _read_policy(self, play):
        """The scheduler for this play's hosts, with the policy as the first host sees it (all hosts of a pool share one)."""
        budget = 0 if play.any_errors_fatal else None
        if play.max_fail_percentage is not None:
            budget = f"{int(play.max_fail_percentage)}%"
        by_host = {name: self._rolling_variables(play, name) for name in self._hosts_cache}
        self._policy = next(iter(by_host.values()), {})
        self._name_on_load_balancers = {name: str(variables.get("rolling_member", name)) for name, variables in by_host.items()}
        others = [name for name in self._policy.get("rolling_pool_hosts", ()) if name not in by_host]
        for name in others:
            self._name_on_load_balancers[name] = str(self._rolling_variables(play, name).get("rolling_member", name))
        return schedule_from(
            [member_from(name, variables) for name, variables in by_host.items()],
            limits_from(self._policy, play_budget=budget),
            others=[member_from(name, self._rolling_variables(play, name)) for name in others],
        )

    def _rolling_variables(self, play, host_name: str) -> dict:
        """The host's ``rolling_*`` variables, templated; nothing else of its variables is touched."""
        host = self._inventory.get_host(host_name)
        if host is None:
            raise AnsibleError(f"rolling_pool_hosts names {host_name}, which is not in the inventory")
        variables = self._variable_manager.get_vars(play=play, host=host, _hosts=self._hosts_cache, _hosts_all=self._hosts_cache_all)
        templar = Templar(loader=self._loader, variables=variables)
        return {name: templar.template(value) for name, value in variables.items() if name.startswith("rolling_")}

    def _drop_hosts_lost_before(self) -> None:
        """Hosts that an earlier play of this run failed or lost never start, and spend the budget."""
        for name in self._hosts_cache:
            if name in self._tqm._unreachable_hosts:
                self._schedule.finished(name, "lost")
            elif self._iterator.is_failed(self._inventory.get_host(name)):
                self._schedule.finished(name, "failed")

    def _tell_when_forks_bound(self) -> None:
        if len(self._workers) < min(self._schedule.window, len(self._schedule.pending)):
            display.warning(f"forks allows {len(self._workers)} members in flight, fewer than rolling_max_unavailable ({self._schedule.window})")

    # -- the seams of free

    def get_hosts_left(self, iterator):
        """The hosts in flight. free keeps an index into this list: its length may grow, never shrink."""
        self._reap()
        self._admit()
        while not self._schedule.in_flight and self._schedule.pending and self._may_wait():
            time.sleep(LIVE_INTERVAL_S)
            self._admit()
        return self._slots

    def add_tqm_variables(self, vars, play):
        super().add_tqm_variables(vars, play)
        schedule = self._schedule
        vars["rolling"] = {
            "pending": list(schedule.pending), "in_flight": list(schedule.in_flight), "outcome": dict(schedule.outcome),
            "window": schedule.window, "floor": schedule.floor,
        }

    def _queue_task(self, host, task, task_vars, play_context):
        templar = Templar(loader=self._loader, variables=task_vars)
        if templar.template(task.run_once):
            raise _run_once_refused(task)
        self._bury_dead_workers()
        super()._queue_task(host, task, task_vars, play_context)

    def _process_pending_results(self, iterator, one_pass=False, max_passes=None):
        results = super()._process_pending_results(iterator, one_pass=one_pass, max_passes=max_passes)
        if not results:
            self._bury_dead_workers()
        return results

    # -- who goes, who is done

    def _admit(self) -> None:
        schedule = self._schedule
        if not schedule.pending or len(schedule.in_flight) >= schedule.window or self._somebody_is_in_rescue():
            return
        live = self._seen_live()
        if self._live_trouble:
            self._tell_once(f"live capacity cannot be read, so nobody starts: {self._live_trouble}")
            return
        decision = schedule.decide(live)
        self._tell(decision)
        for name in decision.start:
            schedule.started(name)
            self._put_into_slot(self._inventory.get_host(name))
            self._live_read_at = 0.0  # the next decision wants a fresh look
        if decision.start:
            self._waiting_since = None

    def _somebody_is_in_rescue(self) -> bool:
        """A member that repairs its failure has not failed yet: nobody starts beside it until its outcome is known."""
        return any(self._iterator.is_any_block_rescuing(self._iterator.get_state_for_host(name)) for name in self._schedule.in_flight)

    def _seen_live(self) -> frozenset | None:
        """Inventory names of the members in traffic on every load balancer, at most half a second old; None when nobody can be asked."""
        source = self._policy.get("rolling_live")
        if not source:
            return None
        if time.monotonic() - self._live_read_at >= LIVE_INTERVAL_S:
            seen, self._live_trouble = live_members(source)
            self._live = frozenset(name for name, on_lb in self._name_on_load_balancers.items() if on_lb in seen)
            self._live_read_at = time.monotonic()
        return self._live

    def _put_into_slot(self, host) -> None:
        """Into a finished host's place, so that free's index stays valid."""
        for index, occupant in enumerate(self._slots):
            if occupant.name not in self._schedule.in_flight:
                self._slots[index] = host
                return
        self._slots.append(host)

    def _reap(self) -> None:
        for name in list(self._schedule.in_flight):
            if self._has_left(name):
                self._schedule.finished(name, self._outcome_of(name))

    def _has_left(self, name: str) -> bool:
        if name in self._tqm._unreachable_hosts:
            return not self._blocked_hosts.get(name, False)
        _state, task = self._iterator.get_next_task_for_host(self._inventory.get_host(name), peek=True)
        return task is None and not self._blocked_hosts.get(name, False)

    def _outcome_of(self, name: str) -> str:
        host = self._inventory.get_host(name)
        if name in self._tqm._unreachable_hosts:
            return "lost"
        if self._iterator.is_failed(host):
            return "failed"
        variables = self._variable_manager.get_vars(play=self._iterator._play, host=host, _hosts=self._hosts_cache, _hosts_all=self._hosts_cache_all)
        return "failed" if variables.get("rolling_failed") is True else "ok"

    def _may_wait(self) -> bool:
        """With nobody in flight: whether to go on waiting for capacity. Nothing but the fleet can change the answer now."""
        if self._schedule.stop_reason or self._tqm._terminated:
            return False
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        patience = float(self._policy.get("rolling_capacity_timeout", 300))
        if self._policy.get("rolling_live") and now - self._waiting_since < patience:
            return True
        display.error(f"the roll stops: {self._live_trouble or self._schedule.decide(self._live).reason}")
        return False

    # -- what the user is told

    def _tell(self, decision) -> None:
        if decision.stopped:
            self._tell_once(f"the roll stops: {decision.reason}. Not started: {', '.join(self._schedule.pending)}")

    def _tell_once(self, sentence: str) -> None:
        if sentence != self._told:
            self._told = sentence
            display.warning(sentence)

    # -- the end

    def _bury_dead_workers(self) -> None:
        """A worker that was killed never answers, and free would wait for its host for ever: fail the host."""
        for worker in self._workers:
            exitcode = getattr(worker, "exitcode", None)
            if worker is None or exitcode in (None, 0):
                continue
            name, key = worker._host.name, (worker._host.name, worker._task._uuid)
            if not self._blocked_hosts.get(name) or key not in self._queued_task_cache:
                continue
            display.error(f"the worker process of {name} ended with {exitcode} in task {worker._task.get_name()!r}: {name} counts as failed")
            self._queued_task_cache.pop(key)
            self._blocked_hosts.pop(name)
            self._pending_results -= 1
            self._iterator.mark_host_failed(worker._host)
            self._tqm._failed_hosts[name] = True
            self._tqm._stats.increment("failures", name)

    def _end_of_play(self, iterator, result):
        ended_on_purpose = iterator.end_play and not self._schedule.stop_reason
        if ended_on_purpose or not (self._schedule.stop_reason or self._schedule.pending):
            return result
        if self._schedule.pending:
            display.warning(f"not started: {', '.join(self._schedule.pending)}")
        if not self._policy.get("rolling_break_play", True):
            return result
        iterator.end_play = False  # otherwise the executor goes on with the next play
        return self._tqm.RUN_FAILED_BREAK_PLAY


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
