# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that dies: counts the events at which something on the fleet changes, and kills its own process with SIGKILL at the one it is told."""

from __future__ import annotations

import os
import signal

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kill_at
type: aggregate
short_description: kill the controller at an event
description: For tests only.
"""
# The tasks that change something on the fleet. Between two of their events nothing changes, so a controller that dies anywhere there dies the same death.
CHANGING = {"fleet_lock", "fleet_fence", "traffic_member", "traffic_route", "traffic_weight", "release", "package_updates", "database_backup",
            "database_migration", "copy"}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        # A number, or the nth event of a kind at tasks of a name: "start:2:Make the release current".
        self._die_at = os.environ["KILL_AT_EVENT"]
        self._matched = 0
        self._events = open(os.environ["KILL_AT_EVENTS_FILE"], "w", encoding="utf-8")
        self._count = 0

    def _happened(self, kind, host, task):
        if task.action.rsplit(".", maxsplit=1)[-1] not in CHANGING:
            return
        self._count += 1
        self._events.write(f"{self._count}\t{kind}\t{host.get_name()}\t{task.get_name()}\n")
        self._events.flush()
        if self._is_the_one(kind, task.get_name()):
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_the_one(self, kind, name):
        if self._die_at.isdigit():
            return self._count == int(self._die_at)
        wanted_kind, nth, wanted_name = self._die_at.split(":", maxsplit=2)
        self._matched += kind == wanted_kind and wanted_name in name
        return self._matched == int(nth)

    def v2_runner_on_start(self, host, task):
        self._happened("start", host, task)

    def v2_runner_on_ok(self, result):
        self._happened("ok", result.host, result.task)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._happened("failed", result.host, result.task)

    def v2_runner_on_unreachable(self, result):
        self._happened("unreachable", result.host, result.task)
