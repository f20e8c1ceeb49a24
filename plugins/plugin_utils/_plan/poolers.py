# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of poolers belong together. Pure: names and variables in, names out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .host_names import variables_of


def poolers_beside(poolers: Sequence[str], runner: str, hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The poolers that one process drives: *runner*, where it is one of them, and those whose ``ansible_host`` is the same as its own.

    :param poolers: hosts of the inventory. Several of them may stand for one machine.
    """
    address = variables_of(runner, hostvars).get("ansible_host") or ""
    return [*(name for name in poolers if name == runner),
            *(name for name in poolers if name != runner and hostvars[name].get("ansible_host") == address)]


def poolers_of(poolers: Sequence[str], server: str, hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The poolers that send to a database server: those whose variable ``pooler_servers`` names it, and those that have no such variable."""
    return [name for name in poolers if "pooler_servers" not in hostvars[name] or server in hostvars[name]["pooler_servers"]]
