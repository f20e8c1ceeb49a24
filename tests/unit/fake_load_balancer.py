# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load balancers that are nothing but rules and a simulated clock: as HAProxy behaves, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.alwayson.upgrade.plugins.module_utils._host.clock import Clock
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import (
    CUT, DOWN, DRAIN, MAINT, PAUSED, RECHECK, READY, UNCHECKED, UP, Backend, LoadBalancerError, Member, View,
)

BACKEND = "app"
CHECK_SECONDS = 2.0
SIX = tuple(f"s{number}" for number in range(1, 7))


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.chance = 0.5

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(steady=lambda: self.now, epoch=lambda: 1_000_000 + self.now, sleep=self.sleep, chance=lambda: self.chance)


@dataclass
class Server:
    """A server as one load balancer knows it.

    `busy_until` is when its last request ends (simulated seconds). With `sticky` clients it is busy for as long as they get in, which
    is everywhere but in maintenance. Until `leaks_until` requests reach it in maintenance, too, ten a second.
    Without `alive` its health check fails. Until `confirmed_at` it is up without one check.
    """

    admin: str = READY
    alive: bool = True
    checked: bool = True
    sticky: bool = False
    busy_until: float = 0.0
    queued_until: float = 0.0
    weight: int = 1
    backup: bool = False
    agent: bool = False
    healthy_at: float = 0.0
    confirmed_at: float = 0.0
    survives_cuts: bool = False
    leaks_until: float = 0.0
    watch_seconds: float = 0.0
    idle_seconds: float = 0.0


class FakeLoadBalancer:
    """One load balancer. `lines` are the atomic changes that it was asked for; `on_read` and `on_apply` are called before each."""

    can_cut = True

    def __init__(self, name: str, time: Time, servers: dict[str, Server]) -> None:
        self.name = name
        self.endpoint = f"fake:{name}"
        self.servers = servers
        self.lines: list[dict[str, str]] = []
        self.reads = 0
        self.process = 1
        self.unreachable = False
        self.forgetful = False
        self.on_read: Callable[[FakeLoadBalancer], None] = lambda balancer: None
        self.on_apply: Callable[[FakeLoadBalancer], None] = lambda balancer: None
        self._time = time

    def read(self, backend: str | None = None) -> View:
        self.reads += 1
        self.on_read(self)
        self._require_reachable()
        if backend != BACKEND:
            raise LoadBalancerError(f"{self.name} has no backend {backend!r}")
        return View("fake", {BACKEND: Backend({name: self._member(server) for name, server in self.servers.items()}, "SRV")}, self.process)

    def apply(self, backend: str, changes: dict[str, str]) -> None:
        assert backend == BACKEND
        self.on_apply(self)
        self._require_reachable()
        self.lines.append(dict(changes))
        for name, change in changes.items():
            self._apply_one(self.servers[name], change)

    def command(self, backend: str, changes: dict[str, str]) -> str:
        return f"fakectl {self.name} {backend} " + " ".join(f"{name}={change}" for name, change in changes.items())

    def reload(self, **states: str) -> None:
        """Another process takes over, with these servers in the states that it has read before the last change."""
        self.process += 1
        for name, admin in states.items():
            self.servers[name].admin = admin

    def admin(self) -> dict[str, str]:
        return {name: server.admin for name, server in self.servers.items()}

    def _apply_one(self, server: Server, change: str) -> None:
        if change == CUT:
            server.busy_until = server.busy_until if server.survives_cuts else 0.0
        elif not self.forgetful:
            if change == RECHECK:
                assert server.checked, "without a check it would stay down for ever"
                server.healthy_at = self._time.now + CHECK_SECONDS if server.alive else float("inf")
            server.admin = DRAIN if change == RECHECK else change

    def _member(self, server: Server) -> Member:
        sticky = server.sticky and server.admin != MAINT
        return Member(
            address="127.0.0.1:80",
            admin=server.admin,
            health=self._health(server),
            check="L7OK" if server.alive else "L4CON",
            sessions=int(sticky or self._time.now < server.busy_until),
            queued=int(self._time.now < server.queued_until),
            arrivals=int(self._time.now * 10) if sticky else int(min(self._time.now, server.leaks_until) * 10),
            weight=server.weight,
            backup=server.backup,
            probed=server.checked,
            confirmed=self._time.now >= server.confirmed_at,
            agent=server.agent,
            watch_seconds=server.watch_seconds,
            idle_seconds=server.idle_seconds,
        )

    def _health(self, server: Server) -> str:
        if not server.checked:
            return UNCHECKED
        if server.admin == MAINT:
            return PAUSED
        return UP if server.alive and self._time.now >= server.healthy_at else DOWN

    def _require_reachable(self) -> None:
        if self.unreachable:
            raise LoadBalancerError(f"{self.name} ({self.endpoint}) cannot be reached")


class House:
    """Two load balancers in front of six servers, at a simulated hour."""

    def __init__(self, **shared) -> None:
        self.time = Time()
        self.lb1, self.lb2 = (FakeLoadBalancer(name, self.time, {server: Server(**shared) for server in SIX}) for name in ("lb1", "lb2"))
        self.balancers = [self.lb1, self.lb2]

    def servers(self, name):
        return [balancer.servers[name] for balancer in self.balancers]

    def set(self, name, **facts):
        for server in self.servers(name):
            for fact, value in facts.items():
                setattr(server, fact, value)

    def do(self, state, *members, **options):
        request = Request(BACKEND, members, state, **options)
        return apply(self.balancers, request, self.time.clock)

    def admin(self, *names):
        return [[balancer.servers[name].admin for name in names] for balancer in self.balancers]

    @property
    def lines(self):
        return [line for balancer in self.balancers for line in balancer.lines]
