# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the database_info module: databases that are read from here are read without a module's process."""

from __future__ import annotations

from ..modules import database_info
from ..plugin_utils._controller.in_worker import InWorker


class ActionModule(InWorker):
    """Reads in the worker where the module would run here."""

    worked_by = database_info
