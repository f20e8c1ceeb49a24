# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values of options with no_log are secrets."""

from __future__ import annotations

from typing import Any

SHORTEST_SECRET = 8


def keep_only_secrets(module: Any) -> None:
    """Take the values that are too short to be secrets off the list of what Ansible masks.

    A header may be "1". Ansible masks each value of an option with no_log wherever it comes up in the result, and "1" comes up in every figure.
    """
    module.no_log_values = {value for value in module.no_log_values if len(str(value)) >= SHORTEST_SECRET}
