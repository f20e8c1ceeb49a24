# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who in the embedded fleet: names, zones, addresses and folders, as a value that can be written down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleet.ports import Endpoint, Ports

MOST_MEMBERS = 200
# More of them are one process, see `crowd`.
MOST_PROCESSES = 20
BACKEND = "app"
BLUE_GREEN = ("blue", "green")
# Which of the colours has the traffic is looked up under this key.
ROUTE_KEY = "active"
# And where the testers goes, whose requests have this header.
TESTERS_KEY, TESTERS_HEADER = "testers", "X-Testers"
# Tenant, as clients say it, and the database it lives in.
DATABASE_SIDE = ("database", "standby", "pooler")
TENANTS = {"a": "tenant_a", "b": "tenant_b"}


class LayoutError(Exception):
    """A fleet of this shape cannot be built."""


@dataclass(frozen=True)
class Member:
    """One application server."""

    name: str
    zone: str
    endpoint: Endpoint
    directory: Path
    pool: str = BACKEND


@dataclass(frozen=True)
class LoadBalancer:
    """One HAProxy: where users come in, and where its worker and its master are commanded."""

    name: str
    front: Endpoint
    runtime: Endpoint
    master: Endpoint

    @property
    def front_url(self) -> str:
        return f"http://{self.front}"

    @property
    def traffic_endpoint(self) -> str:
        return f"tcp://{self.runtime}"


@dataclass(frozen=True)
class Layout:
    """The whole fleet in its run folder."""

    directory: Path
    members: tuple[Member, ...]
    load_balancers: tuple[LoadBalancer, ...]
    database: Endpoint
    standby: Endpoint
    pooler: Endpoint

    @property
    def pools(self) -> list[str]:
        """The load balancers' backends, the one that serves at first before the other."""
        return list(dict.fromkeys(member.pool for member in self.members))

    def state_file(self, balancer: LoadBalancer) -> Path:
        """Where a load balancer's servers and their states survive a reload."""
        return self.directory / "haproxy" / balancer.name / "servers.state"

    def route_map(self, balancer: LoadBalancer) -> Path:
        """Where a load balancer looks up which of two colours has the traffic."""
        return self.directory / "haproxy" / balancer.name / "active.map"

    def member(self, name: str) -> Member:
        """The member with this name."""
        return _named(self.members, name, "member")

    def load_balancer(self, name: str) -> LoadBalancer:
        """The load balancer with this name."""
        return _named(self.load_balancers, name, "load balancer")

    def as_record(self) -> dict:
        """As JSON, without the run folder: that is where the record lies."""
        return {
            "members": [{"name": member.name, "zone": member.zone, "endpoint": _pair(member.endpoint), "pool": member.pool} for member in self.members],
            "load_balancers": [{"name": lb.name, "front": _pair(lb.front), "runtime": _pair(lb.runtime), "master": _pair(lb.master)}
                               for lb in self.load_balancers],
            **{name: _pair(getattr(self, name)) for name in DATABASE_SIDE},
        }


def plan(directory: Path, members: int, ports: Ports, pools: tuple[str, ...] = (BACKEND,)) -> Layout:
    """Give everything a name and a free endpoint: two load balancers, `members` servers in two zones, dealt out to the pools, one database."""
    if not 2 <= members <= MOST_MEMBERS:
        raise LayoutError(f"a fleet of {members} members: give a number from 2 to {MOST_MEMBERS}, each zone needs one")
    return Layout(
        directory=directory,
        members=tuple(
            Member(
                name=f"app{number}",
                zone="east" if number <= (members + 1) // 2 else "west",
                endpoint=ports.endpoint(f"127.0.0.{20 + number}" if number <= MOST_PROCESSES else f"127.0.1.{number}"),
                directory=_host_directory(directory, f"app{number}"),
                pool=pools[(number - 1) % len(pools)],
            )
            for number in range(1, members + 1)
        ),
        load_balancers=tuple(
            LoadBalancer(f"lb{number}", *(ports.endpoint(f"127.0.0.{10 + number}") for _purpose in ("front", "runtime", "master"))) for number in (1, 2)
        ),
        database=ports.endpoint("127.0.0.51"),
        standby=ports.endpoint("127.0.0.52"),
        pooler=ports.endpoint("127.0.0.53"),
    )


def from_record(directory: Path, record: dict) -> Layout:
    """The layout that `as_record` wrote down in this run folder."""
    return Layout(
        directory=directory,
        members=tuple(
            Member(entry["name"], entry["zone"], Endpoint(*entry["endpoint"]), _host_directory(directory, entry["name"]), entry.get("pool", BACKEND))
            for entry in record["members"]
        ),
        load_balancers=tuple(
            # The record of an earlier version has no master.
            LoadBalancer(entry["name"], *(Endpoint(*entry.get(purpose, entry["runtime"])) for purpose in ("front", "runtime", "master")))
            for entry in record["load_balancers"]
        ),
        # The record of an earlier version has the database alone.
        **{name: Endpoint(*record.get(name, record["database"])) for name in DATABASE_SIDE},
    )


def hosts_directory(directory: Path) -> Path:
    """Where the members' folders are, in a run folder."""
    return directory / "hosts"


def _host_directory(directory: Path, name: str) -> Path:
    return hosts_directory(directory) / name


def _pair(endpoint: Endpoint) -> list:
    return [endpoint.address, endpoint.port]


def _named(candidates: tuple, name: str, kind: str):
    for candidate in candidates:
        if candidate.name == name:
            return candidate
    raise LayoutError(f"there is no {kind} {name!r}: choose one of {', '.join(candidate.name for candidate in candidates)}")
