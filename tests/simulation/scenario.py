# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random stories: a fleet, the limits that its operator gives, and what will go wrong. One seed is one story."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# Restated here on purpose: nothing of the simulation is taken from the scheduler.
NAMED_STEPS = {"rolling": ["100%"], "half_pool": ["50%", "100%"], "canary": [1, "10%", "50%", "100%"]}
DEATHS = ("before deciding", "before starting", "between starts", "after starting")


@dataclass(frozen=True)
class Pool:
    """What the operator says about one pool. ``has_balancers``: somebody can be asked who is in traffic."""

    name: str
    size: int
    max_unavailable: int | str
    min_live: int | str | None
    max_per_domain: int | str | None
    steps: list[int | str]
    has_balancers: bool


@dataclass(frozen=True)
class Server:
    """One member: how long it really takes, and what happens to it. ``faults``: of its first attempt, its second, ...; later ones succeed."""

    name: str
    pool: str
    domain: str | None
    step: int | None
    expected_s: float
    seconds: float
    upgraded: bool
    in_rotation: bool
    healthy: bool
    faults: tuple[str, ...]
    repairs_itself: bool
    heals_by_restart: bool


@dataclass
class Scenario:
    """``disturbances``: (second, what, whom); ``deaths``: (number of the event, point in the controller's turn)."""

    seed: str
    pools: dict[str, Pool]
    servers: dict[str, Server]
    max_failures: int | str
    on_failure: str
    domains_at_once: int | str | None
    forks: int | None
    member_timeout: float | None
    progress_deadline: float | None
    capacity_timeout: float
    bad_release: bool
    disturbances: list[tuple[float, str, str]] = field(default_factory=list)
    deaths: list[tuple[int, str]] = field(default_factory=list)
    successor_waits: bool = True

    @property
    def is_undisturbed(self) -> bool:
        """Whether nothing happens to the fleet but upgrades and, maybe, deaths of controllers: then nothing excuses a roll that ends short."""
        if self.disturbances or self.bad_release or (self.deaths and self.member_timeout is not None):
            return False
        return all(server.healthy and not any(server.faults) for server in self.servers.values())


def scenario(seed: str) -> Scenario:
    """The story of this seed."""
    rng = random.Random(seed)
    calm = rng.random() < 0.15
    pools = [_pool(rng, f"pool{index}") for index in range(rng.choices((1, 2, 3, 4), (55, 25, 12, 8))[0])]
    timeout = rng.choice((None, None, 900.0))
    deadline = rng.choice((None, None, None, 700.0))
    may_hang = timeout is not None or deadline is not None
    servers = [server for pool in pools for server in _servers(rng, pool, calm, may_hang)]
    story = Scenario(
        seed=seed, pools={pool.name: pool for pool in pools}, servers={server.name: server for server in servers},
        max_failures=rng.choice((0, 0, 0, 1, 2, rng.randint(0, 6), f"{rng.randint(0, 60)}%")),
        on_failure=rng.choices(("stop", "skip", "rollback"), (45, 20, 35))[0],
        domains_at_once=rng.choices((None, 1, 2, 3, f"{rng.randint(1, 100)}%"), (65, 12, 8, 5, 10))[0],
        forks=rng.choice((None, 5, 50, rng.randint(1, 12))),
        member_timeout=timeout, progress_deadline=deadline, capacity_timeout=300.0, bad_release=not calm and rng.random() < 0.07,
    )
    if not calm:
        _disturb(rng, story)
    if rng.random() < 0.35:
        story.deaths = sorted((rng.randint(1, 5 * len(servers) + 3), rng.choice(DEATHS)) for _death in range(rng.choice((1, 1, 2, 3))))
        story.successor_waits = rng.random() < 0.5
    return story


def _pool(rng: random.Random, name: str) -> Pool:
    size = rng.choices((rng.randint(1, 6), rng.randint(4, 15), rng.randint(16, 40), rng.randint(100, 150)), (38, 40, 20, 2))[0]
    window = rng.choice((1, rng.randint(1, size), f"{rng.randint(1, 60)}%", f"{rng.randint(1, 100)}%"))
    floor = rng.choices((None, rng.randint(0, size), f"{rng.randint(0, 95)}%"), (60, 20, 20))[0]
    per_domain = rng.choices((None, rng.randint(1, 3), f"{rng.randint(1, 100)}%"), (65, 20, 15))[0]
    steps = NAMED_STEPS[rng.choice(tuple(NAMED_STEPS))] if rng.random() < 0.75 else _custom_steps(rng, size)
    return Pool(name, size, window, floor, per_domain, steps, has_balancers=rng.random() < 0.8)


def _custom_steps(rng: random.Random, size: int) -> list[int | str]:
    percents = sorted(rng.sample(range(1, 100), rng.randint(0, 3)))
    first = [number for number in [rng.randint(1, size)] if not percents or number * 100 <= percents[0] * size]
    return [*first, *(f"{percent}%" for percent in percents), rng.choice(("100%", size + rng.choice((0, 5))))]


def _servers(rng: random.Random, pool: Pool, calm: bool, may_hang: bool) -> list[Server]:
    domain_of = _domains(rng, pool.size)
    seconds_of = _durations(rng)
    pinned = rng.random() < 0.1
    fails, loses, hangs = (0.0 if calm or rng.random() < 0.55 else rng.uniform(0.02, 0.3) for _kind in range(3))
    out, sick, there = (0.0 if calm or rng.random() < 0.6 else rng.uniform(0.05, 0.4) for _kind in range(3))
    knows = rng.random()
    servers = []
    for index in range(pool.size):
        seconds = seconds_of()
        fault = rng.choices(("", "fails", "lost", "hangs"), (1.2 - fails - loses - hangs, fails, loses, hangs if may_hang else 0))[0]
        servers.append(Server(
            name=f"{pool.name}-{index + 1}", pool=pool.name, domain=domain_of[index],
            step=rng.randrange(len(pool.steps)) if pinned and rng.random() < 0.3 else None,
            expected_s=round(seconds * rng.choice((0.5, 1, 2)), 1) if rng.random() < knows else 0.0, seconds=seconds,
            upgraded=rng.random() < there, in_rotation=rng.random() >= out, healthy=rng.random() >= sick,
            # The fault of the first attempt, of the second, or of both: a way back and a resumed run meet faults, too.
            faults=rng.choice(((fault,), ("", fault), (fault, fault))), repairs_itself=rng.random() < 0.6, heals_by_restart=rng.random() < 0.7,
        ))
    return servers


def _domains(rng: random.Random, size: int) -> list[str | None]:
    kind = rng.choices(("none", "even", "uneven", "partly"), (20, 40, 25, 15))[0]
    count = rng.randint(1, 5)
    if kind == "none":
        return [None] * size
    names: list[str | None] = [f"zone{index}" for index in range(count)]
    if kind == "even":
        return [names[index % count] for index in range(size)]
    return rng.choices(names if kind == "uneven" else [None, *names], [rng.random() + 0.05 for _domain in range(count + (kind == "partly"))], k=size)


def _durations(rng: random.Random):
    kind = rng.choice(("constant", "lognormal", "slow tail"))
    if kind == "constant":
        return lambda: 60.0
    if kind == "lognormal":
        return lambda: round(rng.lognormvariate(4, 0.5), 2)
    return lambda: 600.0 if rng.random() < 0.05 else round(rng.uniform(30, 60), 2)


def _disturb(rng: random.Random, story: Scenario) -> None:
    """Sickness and recovery, load balancers that cannot be read for a while, the operator."""
    horizon = sum(server.seconds for server in story.servers.values()) / rng.choice((1, 2, 5))
    events = story.disturbances
    if rng.random() < 0.3:
        for name in rng.sample(sorted(story.servers), min(len(story.servers), rng.randint(1, 4))):
            since = rng.uniform(0, horizon)
            events.append((since, "falls sick", name))
            if rng.random() < 0.7:
                events.append((since + rng.uniform(10, 500), "recovers", name))
    if rng.random() < 0.3:
        events += [(rng.uniform(0, horizon), "recovers", name) for name, server in story.servers.items() if not server.healthy and rng.random() < 0.5]
    for name in story.pools:
        if rng.random() < 0.15:
            since = rng.uniform(0, horizon)
            events += [(since, "goes blind", name), (since + rng.uniform(20, 400), "sees again", name)]
    if rng.random() < 0.15:
        since = rng.uniform(0, horizon)
        events += [(since, "operator", "pause"), (since + rng.uniform(20, 900), "operator", "go")]
    if rng.random() < 0.08:
        events.append((rng.uniform(0, horizon), "operator", "abort"))
