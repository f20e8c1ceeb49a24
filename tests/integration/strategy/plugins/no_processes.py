# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: no_processes
type: aggregate
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.1.0
short_description: Lets the controller fail to start a worker process
description:
  - For tests. The environment variable C(NO_PROCESS_FOR) names a host and a task.
"""

import os

from ansible.executor.process.worker import WorkerProcess
from ansible.plugins.callback import CallbackBase

start = WorkerProcess.start


def start_or_fail(self):
    """As on a machine that has no memory left."""
    if f"{self._host.name} {self._task.get_name()}" == os.environ.get("NO_PROCESS_FOR"):
        raise OSError(11, "Resource temporarily unavailable")
    start(self)


class CallbackModule(CallbackBase):
    """Sabotages the engine."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "no_processes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        WorkerProcess.start = start_or_fail
