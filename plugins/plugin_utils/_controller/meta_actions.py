# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions of ``meta`` mean in a play that each host runs on its own, and a refreshed inventory for such a play. Without importing ansible-core.

Some actions are written for all hosts of a play at the same place of it: they look at the inventory's hosts. Here they are shown fewer of them.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

# Which hosts it concerns: the host that runs the task, that host and all that are not in flight, all hosts of the play.
ITSELF, OUT_OF_FLIGHT, EVERYBODY = "itself", "out of flight", "everybody"
ACTIONS = {
    "clear_facts": ITSELF, "clear_host_errors": OUT_OF_FLIGHT, "end_host": ITSELF, "end_play": EVERYBODY, "end_role": ITSELF, "flush_handlers": ITSELF,
    "noop": ITSELF, "refresh_inventory": EVERYBODY, "reset_connection": ITSELF,
}
REFUSED = {"end_batch": "cannot be honoured in a rolling play, which has no batches: use end_host or end_play"}


def why_refused(action: Any) -> str:
    """Why a rolling play cannot do it, as a part of a sentence; empty when it can."""
    if action in ACTIONS:
        return ""
    return REFUSED.get(action, f"is none of those that a rolling play knows: {', '.join(sorted(ACTIONS))}. Put the task into a play of its own")


@contextlib.contextmanager
def shown(inventory: Any, action: str, host: str, in_flight: Iterable[str]) -> Iterator[None]:
    """Within the block ansible-core's inventory manager shows those of its hosts that the action, run by this host, concerns."""
    former = inventory._restriction
    everybody = {found.name for found in inventory.get_hosts()} if former is None else set(former)
    try:
        if ACTIONS.get(action) == ITSELF:
            inventory._restriction = {host}
        elif ACTIONS.get(action) == OUT_OF_FLIGHT:
            inventory._restriction = everybody - set(in_flight) | {host}
        yield
    finally:
        inventory._restriction = former


@contextlib.contextmanager
def refreshed_at_once(inventory: Any, hosts: Iterable[str], error: Callable[[str], Exception], then: Callable[[Callable[[str], Any]], None]) -> Iterator[None]:
    """Inside, ansible-core's inventory manager refreshes itself in one step: a thread that looks a host up meanwhile finds the old one or the new one.

    A new object of a host is equal to the old one, so that includes, handlers and results which know the old one are still the host's.

    :param hosts: who takes part in the play. `error` makes what is raised when the refreshed inventory lacks any of them; it is not taken then.
    :param then: called after each refresh, with a function that gives the host of a name.
    """
    inventory.refresh_inventory = partial(_refresh, inventory, list(hosts), error, then)
    try:
        yield
    finally:
        del inventory.refresh_inventory


def _refresh(inventory: Any, hosts: list[str], error: Callable[[str], Exception], then: Callable[[Callable[[str], Any]], None]) -> None:
    fresh = copy.copy(inventory)
    del fresh.refresh_inventory
    fresh.refresh_inventory()
    missing = [name for name in hosts if fresh.get_host(name) is None]
    if missing:
        raise error(f"the refreshed inventory has no {', '.join(missing)}, which the roll takes through the play, so the inventory stays as it was: "
                    "refresh it in a play before, or end the roll first")
    for name in hosts:
        fresh.get_host(name)._uuid = inventory.get_host(name)._uuid
    fresh.clear_caches()
    vars(inventory).update(vars(fresh))
    then(inventory.get_host)
