# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: no_results
type: aggregate
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.3.0
short_description: Has the thread die in which ansible-core takes results
description:
  - For tests. The environment variable C(NO_RESULTS_OF) names a task. The thread dies with the first result after that task was started for the first time.
"""

import os
import threading

from ansible.inventory.manager import InventoryManager
from ansible.plugins.callback import CallbackBase

get_host = InventoryManager.get_host
dead = []


def get_host_or_die(self, hostname):
    """Hosts of results are looked up in the thread; that in the main thread is left alone."""
    if dead and threading.current_thread() is dead[0]:
        raise SystemExit
    return get_host(self, hostname)


class CallbackModule(CallbackBase):
    """Sabotages the engine."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "no_results"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task, is_conditional):
        if task.get_name() == os.environ.get("NO_RESULTS_OF") and not dead:
            dead.extend(thread for thread in threading.enumerate() if "results_thread" in thread.name)
            InventoryManager.get_host = get_host_or_die
