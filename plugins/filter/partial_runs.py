# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin shell: what the command line of ansible-playbook would leave out, as filters. Each filter's documentation stands in its own .yml beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.inventory.manager import InventoryManager, split_host_pattern
from ansible.parsing.dataloader import DataLoader

from ..plugin_utils._plan import partial_runs


def whole_run(hosts: list[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The hosts, for the first play: an option that would skip a part of the run is refused even where it would skip the task that notices."""
    limit = context.CLIARGS.get("subset")
    sentences = partial_runs.refused_options(context.CLIARGS.get("start_at_task"), context.CLIARGS.get("tags") or [partial_runs.EVERYTHING],
                                             context.CLIARGS.get("skip_tags") or [], limit, _within(limit, groups))
    if sentences:
        raise AnsibleFilterError(". ".join(sentences))
    return hosts


def cut_by_limit(needed: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The sentence on hosts of the service that --limit leaves out, in a list; empty when there are none."""
    limit = context.CLIARGS.get("subset")
    return partial_runs.cut_off(limit, _within(limit, groups), needed)


def _within(limit: str | None, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The hosts that --limit leaves, localhost among them where it is named although the inventory has no such host."""
    if not limit:
        return []
    inventory = InventoryManager(DataLoader(), sources=None, parse=False)
    for group, hosts in groups.items():
        inventory.add_group(group)
        for host in hosts:
            inventory.add_host(host, group=group)
    patterns = split_host_pattern(limit)
    if any(pattern.startswith("@") for pattern in patterns):
        return []
    named = ["localhost"] if "localhost" in patterns else []
    return named + [host.name for host in inventory.get_hosts(patterns)]


class FilterModule:
    """The filters of the command line."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"whole_run": whole_run, "cut_by_limit": cut_by_limit}
