# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback for tests/bench/calls.py: the processor seconds of each task, and the tasks that each host began in each play, as JSON in $TASK_COSTS_FILE.

A task's seconds are those of the controller, its workers and their children from the task's start to the next one's, so they are right only where one task
runs at a time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import time
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: task_costs
type: aggregate
short_description: Processor seconds of each task
description: See the file.
requirements:
  - enable in configuration
"""
PATIENCE_SECONDS = 30
PAUSE_SECONDS = 0.002


def processor_seconds(waits: bool) -> float:
    """What this process and its ended children took so far. :param waits: until its workers have ended."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    # Only children that were waited for are counted, and this waits for those that have ended.
    while multiprocessing.active_children() and waits and time.monotonic() < give_up:
        time.sleep(PAUSE_SECONDS)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class CallbackModule(CallbackBase):
    """Keeps the figures, and writes them at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_costs"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._play = ""
        self._begun = ("", "", 0.0)
        self._seconds: list[tuple[str, str, float]] = []
        self._tasks: dict[str, dict[str, list[str]]] = {}
        self._failed: list[str] = []
        self._waits = os.environ.get("TASK_COSTS_WAIT") == "1"

    def v2_playbook_on_play_start(self, play) -> None:
        self._play = play.get_name()

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:
        del is_conditional
        self._ended(task.get_name())

    def v2_runner_on_start(self, host, task) -> None:
        self._tasks.setdefault(self._play, {}).setdefault(host.get_name(), []).append(task.get_name())

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:
        del ignore_errors
        task = getattr(result, "task", None) or result._task
        self._failed.append(task.get_name())

    def v2_playbook_on_stats(self, stats) -> None:
        del stats
        self._ended("")
        facts = {"seconds": self._seconds, "tasks": self._tasks, "failed": self._failed}
        Path(os.environ["TASK_COSTS_FILE"]).write_text(json.dumps(facts), encoding="utf-8")

    def _ended(self, following: str) -> None:
        if self._waits:
            now = processor_seconds(waits=True)
            play, task, since = self._begun
            if task:
                self._seconds.append((play, task, now - since))
            self._begun = (self._play, following, now)
