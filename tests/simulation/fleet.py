# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated fleet: the truth that every controller can only observe."""

from __future__ import annotations

from .scenario import Scenario, Server

OLD, NEW = "old", "new"


class Host:
    """A server as it is now. ``mutator``: the token of the controller whose task changes it at the moment."""

    __slots__ = ("attempts", "healthy", "in_rotation", "mutator", "name", "pool", "reachable", "release", "spec", "waiting_for_fence")

    def __init__(self, spec: Server) -> None:
        self.name = spec.name
        self.pool = spec.pool
        self.spec = spec
        self.release = NEW if spec.upgraded else OLD
        self.in_rotation = spec.in_rotation
        self.healthy = spec.healthy
        self.reachable = True
        self.mutator: int | None = None
        self.attempts = 0
        self.waiting_for_fence = None

    @property
    def is_live(self) -> bool:
        """Whether it takes traffic: the load balancers are told to use it, and it answers them."""
        return self.in_rotation and self.healthy and self.reachable


class Fleet:
    """All hosts, and who is live in each pool; ``blind``: pools whose load balancers cannot be read now; ``changes``: of who is live, so far."""

    def __init__(self, story: Scenario) -> None:
        self.hosts = {name: Host(spec) for name, spec in story.servers.items()}
        self.live: dict[str, set[str]] = {name: set() for name in story.pools}
        self.blind: set[str] = set()
        self.changes = 0
        for host in self.hosts.values():
            self.refresh(host)

    def refresh(self, host: Host) -> None:
        """After a change of the host's state."""
        live, is_live = self.live[host.pool], host.is_live
        if is_live != (host.name in live):
            self.changes += 1
            live ^= {host.name}

    def change(self, host: Host, **state: object) -> None:
        """Change the host's state: in_rotation, healthy, reachable, release."""
        for name, value in state.items():
            setattr(host, name, value)
        self.refresh(host)

    def repair(self) -> None:
        """What people do before they call the same command again: every host works, whoever was lost is out of traffic."""
        for host in self.hosts.values():
            self.change(host, in_rotation=host.in_rotation and host.reachable, healthy=True, reachable=True)
        self.blind.clear()
