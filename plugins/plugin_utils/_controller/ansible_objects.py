# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the strategy must know of ansible-core's own objects (tasks, host states, results), in one place, without importing it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import meta_actions

META = ("meta", "ansible.builtin.meta", "ansible.legacy.meta")


class TaskRefused(ValueError):
    """A task that a rolling play cannot honour; the message says what to do."""

    def __init__(self, task: Any, message: str) -> None:
        super().__init__(message)
        self.task = task


def tell_callbacks(callbacks: Iterable[Any], warn: Callable[[str], None], event: Mapping[str, Any]) -> None:
    """Send an event of a roll to the callback plugins that receive them. An error of a callback never breaks the roll."""
    for plugin in callbacks:
        listener = getattr(plugin, "rollout_event", None)
        if listener is not None:
            try:
                listener(dict(event))
            except Exception as error:
                warn(f"callback {plugin._load_name} failed on {event['event']}: {error}")


class Slots(list[Any]):
    """The hosts that free may look at. It remembers the one that is looked at, so that an error can be attributed to that host."""

    at: Any = None

    def __getitem__(self, index: Any) -> Any:
        self.at = super().__getitem__(index)
        return self.at

    def renew(self, host_of_name: Callable[[str], Any]) -> None:
        """Look at the hosts as a refreshed inventory has them."""
        self[:] = [host_of_name(occupant.name) for occupant in list(self)]

    def put(self, host: Any, in_flight: Iterable[str]) -> None:
        """Into its own place, when it returns, or a finished host's, so that free's index stays valid. Twice in it, a host would do its includes twice."""
        places = {occupant.name: index for index, occupant in enumerate(self)}
        place = places.get(host.name, next((index for name, index in places.items() if name not in in_flight), None))
        if place is None:
            self.append(host)
        else:
            self[place] = host


def is_include(result: Any) -> bool:
    """Whether the engine will load tasks because of this answer."""
    return task_of(result).action.rpartition(".")[2] in ("include_tasks", "include_role")


class Results(deque[Any]):
    """The answers of workers. Remembers the last one taken, to know whose an error is; takes none from workers that were given up."""

    last = None

    def __init__(self) -> None:
        super().__init__()
        self.given_up: set[tuple[Any, ...]] = set()

    def append(self, x: Any) -> None:
        if key_of(host_of(x), task_of(x)) not in self.given_up:
            super().append(x)

    def popleft(self) -> Any:
        self.last = super().popleft()
        return self.last


class Tasks:
    """What the tasks ask of a strategy: refused when it cannot be given, taken over when free would only warn about it.

    :param runs_once: whether the plugin of a task's action runs once for all hosts.
    """

    def __init__(self, runs_once: Callable[[Any], bool]) -> None:
        self._runs_once = runs_once
        self._run_once: dict[str, Any] = {}
        # Whether an error of any task is fatal for all hosts.
        self.errors_are_fatal = False

    def take_over(self, blocks: Iterable[Any]) -> None:
        """Look at every task of the blocks.

        :raises TaskRefused: for a task that cannot be honoured.
        """
        for task in tasks_of(blocks):
            if task.implicit:
                continue
            meta = task.args.get("_raw_params") if task.action in META else None
            if meta and (why := meta_actions.why_refused(meta)):
                raise TaskRefused(task, f"meta: {meta} {why}")
            if task.run_once is True or (meta and task.run_once):
                raise once_refused(task)
            if self._runs_once(task):
                raise once_refused(task, f"uses {task.action}, which runs once for all hosts")
            if task.run_once:
                self._run_once[task._uuid], task.run_once = task.run_once, False
            if task.any_errors_fatal:
                self.errors_are_fatal, task.any_errors_fatal = True, False

    def run_once(self, task: Any) -> Any:
        """The task's own ``run_once``, be it a template that was taken over."""
        return self._run_once.get(task._uuid) or task.run_once


def once_refused(task: Any, why: str = "is run_once") -> TaskRefused:
    """A task for one host only has no place in a play that every host runs on its own."""
    return TaskRefused(task, f"task {task.get_name()!r} {why}, which a rolling play cannot honour: put it into a play of its own")


def tasks_of(blocks: Iterable[Any]) -> Iterator[Any]:
    """Every task of the blocks, of their rescues and always sections."""
    for block in blocks:
        for entry in (*block.block, *block.rescue, *block.always):
            if hasattr(entry, "block"):
                yield from tasks_of([entry])
            else:
                yield entry


def has_failed(state: Any) -> bool:
    """Whether the host failed in any block it is in: it is in a rescue, or in an always on its way out."""
    if state is None:
        return False
    return bool(state.run_state.name == "RESCUE" or state.fail_state.value
                or any(map(has_failed, (state.tasks_child_state, state.rescue_child_state, state.always_child_state))))


def forget_roles(play: Any, host_name: str) -> None:
    """A role that has run on a host would be skipped there as a duplicate."""
    for role in (role for roles in play.role_cache.values() for role in roles):
        role._completed.pop(host_name, None)
        role._had_task_run.pop(host_name, None)


def host_of(result: Any) -> Any:
    """The result's host; ansible-core renamed it."""
    return getattr(result, "host", None) or result._host


def task_of(result: Any) -> Any:
    """The result's task; ansible-core renamed it, too."""
    return getattr(result, "task", None) or result._task


def data_of(result: Any) -> dict[str, Any]:
    """What the result says; ansible-core moved that, too."""
    unified = getattr(result, "utr", None)
    return dict(result._return_data if unified is None else unified.as_result_dict())


def key_of(host: Any, task: Any) -> tuple[str, str]:
    """By what ansible-core knows a task that was given to a worker."""
    return host.name, task._uuid
