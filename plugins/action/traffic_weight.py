# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the traffic_weight module: where the controller itself reaches the load balancers, it needs no process on a host."""

from __future__ import annotations

from ..modules import traffic_weight
from ..plugin_utils._controller.in_worker import InWorker


class ActionModule(InWorker):
    """Does the module's work in the worker's process, or runs the module."""

    worked_by = traffic_weight
    unwound_by = traffic_weight.WeightError
