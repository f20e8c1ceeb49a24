# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The availability prober: an open-loop engine that sends every request at its intended time and notes what became of it.

It does what the plan says, keeps no opinion, and never tries anything twice.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import socket
import time
from typing import Any, Callable

from .._host.foreign_json import parse
from . import record as outcomes
from .capacity import CapacitySampler
from .client import Client, Exchange, give_up, tls_context
from .plan import Pacer, Plan, ProbeError, Seat, Target
from .result import VOID_SEND_LAG, Windows, final_figures, live_figures

# After a stall of the prober itself, let answers in between the requests that it has to catch up with.
BURST = 50
LIVE_SECONDS = 1.0
NAMES_SECONDS = 5.0
# A request that is sent later than this asks about another moment than it was meant for.
LATE_SECONDS = 1.0


class ProbeLoop(asyncio.SelectorEventLoop):
    """An event loop that remembers names for a few seconds, so that a new connection needs no lookup."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[tuple[Any, ...], tuple[float, list[Any]]] = {}

    async def getaddrinfo(self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
        key = (host, port, family, type, proto, flags)
        looked_up, addresses = self._names.get(key, (-NAMES_SECONDS, []))
        if self.time() - looked_up >= NAMES_SECONDS:
            addresses = await super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
            self._names[key] = (self.time(), addresses)
        return addresses


class Engine:
    """Sends the requests of a plan. run() returns when all of them have ended, or soon after stop().

    Its clock is that of the loop. Whatever is decided from times alone, is decided by the pure parts, which have no clock.
    """

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self.record = outcomes.Record()
        self._plan = plan
        self._loop = loop
        self._pacer = Pacer(plan.rate, plan.max_requests, plan.max_seconds)
        self._versions = outcomes.VersionOrder(plan.towards)
        self._waiting: list[tuple[float, int, Exchange]] = []
        self._origin = self._wake_at = loop.time()
        self._stalled = 0.0
        self._late = min(LATE_SECONDS, plan.objective / 2)
        self._done = loop.create_future()
        self._timer: asyncio.Handle | None = None
        tls = tls_context(plan.validate_certs) if any(target.tls for target in plan.targets) else None
        seats = [Seat(entry, client) for entry in range(len(plan.mix)) for client in range(plan.clients_per_entry)]
        self._clients = {seat: Client(seat, plan, self, tls) for seat in seats}

    @property
    def elapsed(self) -> float:
        """Seconds since the intended time of the first request."""
        return self._loop.time() - self._origin

    async def run(self) -> None:
        """Send everything, wait for everything."""
        self._origin = self._wake_at = self._loop.time()
        self._timer = self._loop.call_soon(self._tick)
        try:
            await self._done
        finally:
            self._timer.cancel()
            for client in self._clients.values():
                client.close()

    def stop(self) -> None:
        """Send nothing more. What is under way still gets its time; what should have been sent by now, but was not, is noted as that."""
        for index in self._pacer.due(self.elapsed, self._pacer.limit):
            self._send(index, late=VOID_SEND_LAG)
        self._pacer.stop()
        if self._timer is not None:
            self._wake_now()

    def answered(self, exchange: Exchange) -> None:
        """Record a whole answer."""
        self._end(exchange)
        parser = exchange.parser
        outcome = outcomes.outcome_of_status(parser.status, exchange.client.entry.statuses)
        expected = exchange.client.expectation
        if outcome == outcomes.OK and expected is not None and not expected.is_met(parser.headers, parser.body):
            outcome = outcomes.WRONG_ANSWER
        if outcome == outcomes.OK and self._latency(exchange) > self._plan.objective:
            outcome = outcomes.TIMEOUT
        version = self._version_in(exchange)
        self._note(exchange, outcome, version)
        if version:
            self._watch_version(exchange, version)

    def failed(self, exchange: Exchange, outcome: int) -> None:
        """Note a request that got no whole answer."""
        self._end(exchange)
        self._note(exchange, outcome)

    def _note(self, exchange: Exchange, outcome: int, version: str = "") -> None:
        """Record how it ended. Time in which the prober itself was stalled is not attributed to the service."""
        latency, own = self._latency(exchange), self._stalled - exchange.stalled_before
        self.record.finish(exchange.index, outcomes.UNSEEN if self._is_excused(outcome, latency, own) else outcome, latency, version)

    def _is_excused(self, outcome: int, latency: float, own: float) -> bool:
        """Whether the *own* seconds, in which the prober itself stood still, may be why a request failed."""
        if outcome == outcomes.TIMEOUT:
            return latency - own < self._plan.objective and own > 0
        return outcome != outcomes.OK and own > self._late

    def _end(self, exchange: Exchange) -> None:
        self._notice_stall()
        exchange.ended = True
        if self._pacer.next_at() is None:
            self._wake_now()

    def _notice_stall(self) -> None:
        """Add up the time by which this process woke later than it wanted to: stopped, or without a processor."""
        late = self._loop.time() - self._wake_at
        if late > VOID_SEND_LAG:
            self._stalled += late
            self._wake_at = self._loop.time()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wake_now(self) -> None:
        self._cancel_timer()
        self._wake_at = self._loop.time()
        self._timer = self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._notice_stall()
        for index in self._pacer.due(self.elapsed, BURST):
            self._send(index)
        self._expire()
        self._cancel_timer()
        wake = self._next_wake()
        if wake is not None:
            self._wake_at = max(self._origin + wake, self._loop.time())
            self._timer = self._loop.call_at(self._wake_at, self._tick)
        elif not self._done.done():
            self._done.set_result(None)

    def _send(self, index: int, late: float | None = None) -> None:
        intended = index / self._plan.rate
        lag = self.elapsed - intended
        self.record.schedule(lag)
        if lag >= (self._late if late is None else late):
            self.record.finish(index, outcomes.UNSENT, lag)
            return
        client = self._clients[self._plan.seat_of(index)]
        exchange = Exchange(index, intended + self._plan.objective, client, self._stalled)
        heapq.heappush(self._waiting, (exchange.deadline, index, exchange))
        client.send(exchange, self._loop)

    def _expire(self) -> None:
        """Give up what is over the objective. While the prober itself stood still nothing could be seen: for so long it waits on."""
        now = self.elapsed
        while self._waiting and (self._waiting[0][2].ended or self._waiting[0][0] <= now):
            _deadline, index, exchange = heapq.heappop(self._waiting)
            extended = exchange.deadline + self._stalled - exchange.stalled_before
            if not exchange.ended and extended > now:
                heapq.heappush(self._waiting, (extended, index, exchange))
            elif not exchange.ended:
                self.failed(exchange, outcomes.TIMEOUT)
                give_up(exchange)

    def _next_wake(self) -> float | None:
        """When there is something to do: a request to send, or a deadline. None when everything has ended."""
        deadline = self._waiting[0][0] if self._waiting else None
        due = self._pacer.next_at()
        if due is None or deadline is None:
            return deadline if due is None else due
        return min(due, deadline)

    def _latency(self, exchange: Exchange) -> float:
        return self.elapsed - exchange.index / self._plan.rate

    def _version_in(self, exchange: Exchange) -> str:
        answer = self._reported_version(exchange)
        if self._plan.version_pattern is None:
            return answer
        found = self._plan.version_pattern.search(answer)
        return found[1] or "" if found else ""

    def _reported_version(self, exchange: Exchange) -> str:
        version = exchange.parser.headers.get(self._plan.version_header.lower(), "")
        if version or self._plan.version_key is None:
            return version
        try:
            found = parse(exchange.parser.body).get(self._plan.version_key, "")
        except (ValueError, AttributeError):
            return ""
        return found if isinstance(found, str) else ""

    def _watch_version(self, exchange: Exchange, version: str) -> None:
        """A client that asked after it had seen a newer release than it is now answered by, has regressed."""
        precedence = self._versions.precedence(version)
        if precedence is None:
            return
        client = exchange.client
        if exchange.newest_seen is not None and precedence < exchange.newest_seen:
            self.record.note_regression(client.seat)
        if client.newest_seen is None or precedence > client.newest_seen:
            client.newest_seen = precedence


class Probe:
    """One run of the prober: the engine, the capacity sampler and the live figures beside it."""

    def __init__(self, plan: Plan, loop: ProbeLoop, wall_clock: Callable[[], float] = time.time) -> None:
        self._plan = plan
        self._loop = loop
        self._wall_clock = wall_clock
        self._sampler = CapacitySampler(plan.capacity, wall_clock)
        self._engine = Engine(plan, loop)
        self._begin()

    async def check(self) -> None:
        """Resolve the targets and read the capacity once; raise ProbeError, naming what does not work, before anything is sent."""
        for target in self._plan.targets:
            await self._resolve(target)
        await self._sampler.check()

    async def _resolve(self, target: Target) -> None:
        try:
            await self._loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ProbeError(f"the host of target {target.url} cannot be resolved: {error}") from None

    def stop(self) -> None:
        """End the run in an orderly way: nothing more is sent, what is under way is waited for."""
        self._engine.stop()

    async def run(self, publish: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Probe until the end and return the result; `publish` gets the live figures once per second."""
        self._begin()
        helpers = [self._loop.create_task(self._sampler.run(self._loop.time)), self._loop.create_task(self._publish(publish))]
        try:
            await self._engine.run()
        finally:
            for helper in helpers:
                helper.cancel()
        for helper in helpers:
            await asyncio.wait([helper])
            if not helper.cancelled():
                helper.result()
        return self._result()

    def _begin(self) -> None:
        self._started = self._wall_clock()
        self._windows = Windows(self._plan, self._engine.record, self._started)

    async def _publish(self, publish: Callable[[dict[str, Any]], None]) -> None:
        while True:
            publish(self.live())
            await asyncio.sleep(LIVE_SECONDS)

    def live(self) -> dict[str, Any]:
        """The figures so far."""
        capacity = self._sampler.series
        return {
            "started": round(self._started, 3),
            "now": round(self._wall_clock(), 3),
            **live_figures(self._plan, self._engine.record, self._windows.rows()),
            "capacity": capacity.rows[-1] if capacity.rows else None,
            "live_min": capacity.live_min,
            "cpu_seconds": cpu_seconds(),
        }

    def _result(self) -> dict[str, Any]:
        return {
            "started": round(self._started, 3),
            "finished": round(self._wall_clock(), 3),
            **final_figures(self._plan, self._engine.record, self._windows),
            **self._sampler.series.as_result(),
            "cpu_seconds": cpu_seconds(),
        }


def cpu_seconds() -> float:
    """Processor seconds that this process has used."""
    times = os.times()
    return round(times.user + times.system, 2)
