# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The warning about a variable that is set under a name of version 0.2."""

from __future__ import annotations

from ansible.utils.display import Display


def warn_of_old_name(old: str, new: str) -> None:
    """Warn that a name is deprecated, with the new one."""
    Display().deprecated(f"the variable {old} is called {new} now", version="1.0.0", collection_name="alwayson.upgrade")
