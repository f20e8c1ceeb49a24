# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin shell: failure domains and waves as filters. Each filter's documentation stands in its own .yml beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils._schedule import topology
from ..plugin_utils._schedule.limits import ScheduleError


def waves(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The waves in which the hosts go, as lists of names."""
    try:
        return topology.wave_names(hosts, hostvars)
    except ScheduleError as error:
        raise AnsibleFilterError(f"alwayson.upgrade.waves: {error}") from error


def failure_domain(address: str, domains: Any, default: Any = None) -> Any:
    """The failure domain of an address."""
    try:
        return topology.failure_domain(address, domains, default)
    except topology.TopologyError as error:
        raise AnsibleFilterError(f"alwayson.upgrade.failure_domain: {error}") from error


class FilterModule:
    """The filters of the topology."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"waves": waves, "failure_domain": failure_domain}
