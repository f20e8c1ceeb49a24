# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package manager a host has, and the options that both modules of package updates share."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Callable

from .apt import Apt
from .dnf import Dnf
from .manager import PackageError, PackageManager

MANAGERS: Mapping[str, tuple[Callable[[], PackageManager], str]] = {"apt": (Apt, "apt-get"), "dnf": (Dnf, "dnf")}
# The options of the doc fragment alwayson.upgrade.package_updates.
ARGUMENTS = {
    "manager": {"type": "str", "default": "auto", "choices": ["auto", *MANAGERS]},
    "security_only": {"type": "bool", "default": False},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "lock_timeout": {"type": "float", "default": 300.0},
}


def manager_of(name: str) -> PackageManager:
    """The package manager with this name; with `auto` the one whose program is on the host."""
    for known, (manager, program) in MANAGERS.items():
        if name == known or (name == "auto" and shutil.which(program)):
            return manager()
    raise PackageError(f"this host has none of the supported package managers: {', '.join(program for _manager, program in MANAGERS.values())}")
