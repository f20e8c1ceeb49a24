# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the availability_probe module: a probe that runs here is read and ended without a module's process."""

from __future__ import annotations

from typing import Any

from ..modules import availability_probe
from ..plugin_utils._controller.in_worker import InWorker


class ActionModule(InWorker):
    """Starts no probe in the worker: a probe is forked, and would keep what the worker has open and in memory."""

    worked_by = availability_probe

    def _is_worked_here(self, task_vars: Any) -> bool:
        return self._task.args.get("state") != "started" and super()._is_worked_here(task_vars)
