# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: linear_with_cleanup
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.1.0
short_description: Run tasks like linear, and run cleanup plays regardless of how the run ends
description:
  - Runs tasks like P(ansible.builtin.linear#strategy). With C(linear), a playbook ends at once when all hosts of a play have failed or are unreachable,
    when a task file cannot be read, or at Ctrl-C. Then no later play can release a lock or stop a process.
  - With this strategy, the first such event ends the I(run). Later plays are skipped, except those with the variable O(cleanup_play).
    The exit status is not 0.
  - The fact C(cleanup_reason) of C(localhost) has the reason as text. A task may set this fact to end the run after its play.
  - The first Ctrl-C makes the next task fail, so that C(rescue) and C(always) run. The second one ends the run at once.
  - When the process ends and the fact C(cleanup_last_words) of C(localhost) is not empty, its text is printed to standard error unchanged. Use it for
    what was not cleaned up, and for a command to run next.
options:
  cleanup_play:
    description: Whether to run this play also after the run has ended, and not to interrupt it.
    type: bool
    default: false
    vars:
      - name: cleanup_play
  cleanup_completes:
    description: Whether not to interrupt this play. The first Ctrl-C then ends the run after the play.
    type: bool
    default: false
    vars:
      - name: cleanup_completes
notes:
  - The options are variables of the play. They must be literal values.
  - An error in a keyword of a play, such as a failing template in C(hosts), still ends the playbook at once.
seealso:
  - plugin: alwayson.upgrade.rolling
    plugin_type: strategy
"""

EXAMPLES = r"""
- name: Work
  hosts: web
  strategy: alwayson.upgrade.linear_with_cleanup
  tasks:
    - name: Take the lock
      ansible.builtin.command: /usr/local/bin/lock

- name: Clean up
  hosts: localhost
  strategy: alwayson.upgrade.linear_with_cleanup
  vars:
    cleanup_play: true
  tasks:
    - name: Release the lock
      ansible.builtin.command: /usr/local/bin/unlock
"""

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.strategy import results_thread_main
from ansible.plugins.strategy.linear import StrategyModule as LinearStrategy
from ansible.utils.display import Display

from ..plugin_utils._controller import ansible_objects, interrupts
from ..plugin_utils._controller.dead_results import IDLE_PAUSE_S, ResultsLost, require_results
from ..plugin_utils._run import outcomes

display = Display()

REASON = "cleanup_reason"
LAST_WORDS = "cleanup_last_words"
LOCALHOST = "localhost"


class _Run:
    """What outlives a play: whether Ctrl-C was pressed, and what is to be said at the end of the process."""

    def __init__(self) -> None:
        self.interrupted = False
        self.finishing = False
        self.usual: Any = signal.SIG_DFL
        self.facts: Callable[[], Mapping[str, Any]] = dict
        self._has_begun = False

    def begin(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        if not self._has_begun:
            self._has_begun = True
            atexit.register(self.say_last_words, os.getpid())
            if threading.current_thread() is threading.main_thread():
                # None, when the handler was not Python's: the next signal then ends the process.
                self.usual = signal.signal(signal.SIGINT, self.interrupt) or signal.SIG_DFL
        self.facts = facts

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted or interrupts.ended_by_operator:
            signal.signal(signal.SIGINT, self.usual)
            if callable(self.usual):
                self.usual(number, frame)
            raise KeyboardInterrupt
        self.interrupted = True
        reason = "interrupted by Ctrl-C; tasks in progress are finished or undone, a second Ctrl-C ends the run at once"
        interrupts.ended_by_operator.append(reason)
        display.warning("Ctrl-C: the run is ending, a second Ctrl-C ends it at once" if self.finishing else reason)

    def say_last_words(self, pid: int) -> None:
        words = self.facts().get(LAST_WORDS)
        if words and os.getpid() == pid:
            display.display(str(words), stderr=True)  # as it is, so that a command in it can be pasted


_run = _Run()


class StrategyModule(LinearStrategy):
    """Adapter: linear, which keeps an end of the run for the cleanup plays."""

    def run(self, iterator: Any, play_context: Any) -> int:
        variables = iterator._play.get_vars()
        self._cleans_up = boolean(variables.get("cleanup_play", False), strict=False)
        self._completes = self._cleans_up or boolean(variables.get("cleanup_completes", False), strict=False)
        self._iterator, self._broken = iterator, False
        self._failures: dict[str, str] = {}
        _run.begin(self._facts)
        _run.finishing = _run.finishing or self._cleans_up
        self._take_note_of_ctrl_c(iterator)
        if self._facts().get(REASON) and not self._cleans_up:
            iterator.end_play = True
            return self._tqm.RUN_FAILED_HOSTS
        before = self._failed_hosts(iterator)
        try:
            result = super().run(iterator, play_context)
        except (AnsibleError, ResultsLost) as error:
            display.error(str(error) if isinstance(error, ResultsLost) else error)
            result = self._tqm.RUN_FAILED_HOSTS
            self._end([f"{iterator._play.get_name()}: {error}"])
        self._end([self._why(name) for name in sorted(self._failed_hosts(iterator) - before)])
        self._take_note_of_ctrl_c(iterator)
        if self._facts().get(REASON):
            result |= self._tqm.RUN_FAILED_HOSTS
            iterator.end_play = True  # the executor goes on with the next play, even when all hosts have failed
            self._revive(iterator, LOCALHOST)
        return result

    def get_hosts_left(self, iterator: Any) -> list[Any]:
        if _run.interrupted and not self._completes and not self._broken:
            self._broken = True
            for host in super().get_hosts_left(iterator):
                if not ansible_objects.has_failed(iterator.get_state_for_host(host.name)):
                    self._break_off(iterator, host)
        return super().get_hosts_left(iterator)

    def _process_pending_results(self, iterator: Any, one_pass: bool = False, max_passes: int | None = None) -> list[Any]:
        results = super()._process_pending_results(iterator, one_pass=one_pass, max_passes=max_passes)
        if not results:
            require_results(self, results_thread_main)
            # Only where all tasks are queued, and results are waited for.
            if max_passes is None and not one_pass and self._pending_results:
                time.sleep(IDLE_PAUSE_S)
        for result in results:
            data = ansible_objects.data_of(result)
            if data.get("failed") or data.get("unreachable"):
                task = ansible_objects.task_of(result).get_name().rpartition(" : ")[2]
                self._failures[ansible_objects.host_of(result).name] = f"{task}: {outcomes.failure_text(data)}"
        return results

    def _break_off(self, iterator: Any, host: Any) -> None:
        """The host goes into its rescue as after a failed task; without one it has failed."""
        why = "interrupted by Ctrl-C"
        self._failures[host.name] = why
        rescued = iterator.is_any_block_rescuing(iterator.get_state_for_host(host.name))
        iterator.mark_host_failed(host)
        self._variable_manager.set_nonpersistent_facts(host.name, {
            "ansible_failed_task": {"name": iterator._play.get_name()}, "ansible_failed_result": {"failed": True, "msg": why}})
        if rescued:
            iterator._play._removed_hosts.remove(host.name)
        elif iterator.is_failed(host):
            self._tqm._failed_hosts[host.name] = True

    def _failed_hosts(self, iterator: Any) -> set[str]:
        return {*iterator.get_failed_hosts(), *self._tqm._unreachable_hosts}

    def _why(self, name: str) -> str:
        why = self._failures.get(name, "failed")
        return why if name == LOCALHOST else f"{name}: {why}"

    def _take_note_of_ctrl_c(self, iterator: Any) -> None:
        if _run.interrupted and not self._facts().get(REASON):
            self._end([f"interrupted by Ctrl-C ({iterator._play.get_name()})"])

    def _end(self, reasons: list[str]) -> None:
        """From now on only cleanup plays run."""
        known = str(self._facts().get(REASON) or "").splitlines()
        lines = list(dict.fromkeys([*known, *(line for reason in reasons for line in reason.splitlines())]))
        if lines != known:
            self._variable_manager.set_nonpersistent_facts(LOCALHOST, {REASON: "\n".join(lines)})

    def _facts(self) -> Mapping[str, Any]:
        return self._variable_manager._nonpersistent_fact_cache.get(LOCALHOST, {})

    def _revive(self, iterator: Any, name: str) -> None:
        """The host that cleans up takes part in later plays although it has failed."""
        host = self._inventory.get_host(name)
        if host is not None and name in self._failed_hosts(iterator):
            self._tqm._failed_hosts.pop(name, None)
            self._tqm._unreachable_hosts.pop(name, None)
            iterator.clear_host_errors(host)
