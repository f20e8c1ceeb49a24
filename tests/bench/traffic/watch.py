# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in service, looked at every 100 ms from outside: by the load balancers' runtime API, and by the supervisors' word whether an application runs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from fleet import haproxy
from fleet.embedded import EmbeddedFleet
from fleet.layout import ROUTE_KEY, LoadBalancer
from fleet.service import Files

INTERVAL_SECONDS = 0.1


@dataclass(frozen=True)
class Sample:
    """One look. `at` is in seconds of time.monotonic; `in_traffic` is None for a load balancer that reports nothing."""

    at: float
    in_traffic: dict[str, frozenset[str] | None]
    running: frozenset[str]

    def serves(self, member: str) -> bool:
        """Whether every load balancer that reports anything has it in traffic, and its application runs."""
        return member in self.running and all(member in names for names in self.in_traffic.values() if names is not None)


@dataclass(frozen=True)
class Outage:
    """A member out of service, in seconds of time.monotonic: from the first sample that saw it out to the first that saw it back."""

    member: str
    began: float
    ended: float


class Watch:
    """Samples the fleet in a thread of its own while its block runs.

    :param has_runtime_api: whether the load balancers have HAProxy's runtime API.
    """

    def __init__(self, fleet: EmbeddedFleet, has_runtime_api: bool) -> None:
        self.samples: list[Sample] = []
        self._fleet = fleet
        self._balancers = fleet.layout.load_balancers if has_runtime_api else ()
        self._files = {member.name: Files(member.directory) for member in fleet.layout.members}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            self.samples.append(self._sample())
            # A look that took too long does not make the next ones bunch up.
            due = max(due + INTERVAL_SECONDS, time.monotonic())

    def _sample(self) -> Sample:
        reported = {balancer.name: self._in_traffic(balancer) for balancer in self._balancers}
        return Sample(time.monotonic(), reported, frozenset(name for name, files in self._files.items() if _runs(files)))

    def _in_traffic(self, balancer: LoadBalancer) -> frozenset[str] | None:
        """The members that it sends new traffic to; of two pools, those of the one that its map names."""
        layout = self._fleet.layout
        try:
            pool = None
            if len(layout.pools) > 1:
                shown = haproxy.runtime(balancer.runtime, f"show map {layout.route_map(balancer)}").splitlines()
                pool = next((line.split()[2] for line in shown if line.split()[1:2] == [ROUTE_KEY]), None)
            names = haproxy.in_traffic(haproxy.server_states(balancer.runtime))
        except haproxy.HaproxyError:
            return None
        return frozenset(name for name in names if pool in (None, layout.member(name).pool))


def _runs(files: Files) -> bool:
    return files.read(files.state).get("state") == "running"


def outages(samples: list[Sample], members: list[str]) -> list[Outage]:
    """Every member's times out of service, in no particular order; one that has not ended, ends with the last sample."""
    found = []
    for member in members:
        began = None
        for sample in samples:
            if not sample.serves(member):
                began = sample.at if began is None else began
            elif began is not None:
                found.append(Outage(member, began, sample.at))
                began = None
        if began is not None:
            found.append(Outage(member, began, samples[-1].at))
    return found


def cutovers(samples: list[Sample], members: list[str]) -> list[Outage]:
    """The same of two pools, of which one serves at a time: of each member that serves in the end and did not at first, the time from its application's
    stop until all load balancers have it in traffic. A member of the side that is left has no outage: it was never touched."""
    found = []
    for member in members:
        stopped = next((number for number, sample in enumerate(samples) if member not in sample.running), None)
        if stopped is None or samples[0].serves(member):
            continue
        served = next((sample.at for sample in samples[stopped:] if sample.serves(member)), samples[-1].at)
        found.append(Outage(member, samples[stopped].at, served))
    return found


def least_live(samples: list[Sample]) -> tuple[int, int] | None:
    """The least members that any load balancer had in traffic, and the least of those whose application ran; None when none reports it."""
    reported = [(names, sample.running) for sample in samples for names in sample.in_traffic.values() if names is not None]
    if not reported:
        return None
    return min(len(names) for names, _running in reported), min(len(names & running) for names, running in reported)


def roll_and_floor(outages_seen: list[Outage], at_once: int) -> tuple[float, float] | None:
    """Seconds from the first leaving to the last return, and the least that a window of `at_once` could reach with these outages; None without any."""
    if not outages_seen:
        return None
    out: dict[str, float] = {}
    for outage in outages_seen:
        out[outage.member] = out.get(outage.member, 0.0) + outage.ended - outage.began
    roll = max(outage.ended for outage in outages_seen) - min(outage.began for outage in outages_seen)
    return roll, max(sum(out.values()) / at_once, *out.values())
