# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many servers take new traffic, sampled from the runtime API of every HAProxy, beside the requests.

The sampler is independent of the modules that change the load balancers: what it says about them is a second opinion.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Callable

from .plan import CapacitySource, ProbeError

INTERVAL_SECONDS = 0.25
READ_SECONDS = 1.0
MAX_ANSWER = 4_000_000
# A row at least this often, and one at every change: a step function loses nothing, and an hour stays small.
ROW_SECONDS = 1.0
# What the column "type" says. The row of the backend comes after those of its servers: without it, the answer was cut off.
_BACKEND, _SERVER = "1", "2"


class CapacityError(ProbeError):
    """An endpoint could not be read; the message names it and says why."""


def count_live(answer: str, backend: str) -> int:
    """Count the servers of `backend` that take new traffic in the answer to ``show stat``; raise CapacityError when it is not there.

    A server does when its status begins with UP, or is 'no check', and it has a weight. Backup servers are not counted: they wait.
    """
    try:
        # What a check has said may have line ends in it, between quotes.
        rows = list(csv.DictReader(io.StringIO(answer.lstrip("# \n"), newline="")))
    except csv.Error as error:
        raise CapacityError(f"the answer is no CSV: {error}") from None
    members = [row for row in rows if row.get("pxname") == backend]
    if not any(row.get("type") == _BACKEND for row in members):
        names = sorted({row["pxname"] for row in rows if row.get("type") == _BACKEND})
        raise CapacityError(f"there is no backend {backend!r}; the endpoint knows {', '.join(names) or 'none'}")
    return sum(_is_live(row) for row in members)


class CapacitySeries:
    """The samples as a step function: `rows` are {t, <name>: n or None}, None while an endpoint could not be read; `pools` are names to backends. Pure."""

    def __init__(self, pools: Mapping[str, str]) -> None:
        self.pools = dict(pools)
        self.skipped: dict[str, str] = {}
        self.rows: list[dict[str, Any]] = []
        self.samples = 0
        self.unreadable = dict.fromkeys(pools, 0)
        self.live_min: int | None = None

    def add(self, at: float, live: dict[str, int | None]) -> None:
        """Take in what all endpoints said at `at` (epoch seconds)."""
        self.samples += 1
        for name, count in live.items():
            if count is None:
                self.unreadable[name] += 1
            else:
                self.live_min = count if self.live_min is None else min(self.live_min, count)
        row = {"t": round(at, 3), **live}
        if not self.rows or row["t"] - self.rows[-1]["t"] >= ROW_SECONDS or {**self.rows[-1], "t": row["t"]} != row:
            self.rows.append(row)

    def skip(self, name: str, why: str) -> None:
        """An endpoint that is not sampled."""
        self.skipped[name] = why
        self.unreadable.pop(name, None)

    def as_result(self) -> dict[str, Any]:
        """The part of the result that is about capacity."""
        return {
            "capacity": self.rows,
            "capacity_samples": self.samples,
            "capacity_pools": self.pools,
            "capacity_unreadable": self.unreadable,
            "capacity_skipped": self.skipped,
            "live_min": self.live_min,
        }


class CapacitySampler:
    """Reads all endpoints at a fixed pace until it is cancelled."""

    def __init__(self, sources: Sequence[CapacitySource], wall_clock: Callable[[], float]) -> None:
        self.series = CapacitySeries({source.name: source.backend for source in sources})
        self._sources = sources
        self._wall_clock = wall_clock

    async def check(self) -> None:
        """Read every endpoint once; raise CapacityError, naming the endpoint, when one cannot be read. Optional ones are then left out, and said to be."""
        readable = []
        for source in self._sources:
            try:
                await read_live(source)
            except (OSError, asyncio.TimeoutError, CapacityError) as error:
                reason = str(error) or f"no answer within {READ_SECONDS:g} s"
                if not source.optional:
                    raise CapacityError(f"capacity of {source.name} cannot be read from {source.endpoint}: {reason}") from None
                self.series.skip(source.name, f"{source.endpoint}: {reason}")
                continue
            readable.append(source)
        self._sources = readable

    async def run(self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Sample for ever. `clock` is monotonic; a sample that took too long does not make the next ones bunch up."""
        if not self._sources:
            return
        due = clock()
        while True:
            at = self._wall_clock()
            counts = await asyncio.gather(*(_read_or_none(source) for source in self._sources))
            self.series.add(at, {source.name: count for source, count in zip(self._sources, counts)})
            due = max(due + INTERVAL_SECONDS, clock())
            await sleep(due - clock())


async def read_live(source: CapacitySource) -> int:
    """Read one endpoint, over a new connection: HAProxy answers one line of commands and closes."""
    answer = await asyncio.wait_for(_ask(source.endpoint, "show stat\n"), READ_SECONDS)
    return count_live(answer, source.backend)


async def _read_or_none(source: CapacitySource) -> int | None:
    try:
        return await read_live(source)
    except (OSError, asyncio.TimeoutError, CapacityError):
        return None


async def _ask(endpoint: str, command: str) -> str:
    reader, writer = await _open(endpoint)
    try:
        writer.write(command.encode("ascii"))
        answer = await reader.read(MAX_ANSWER)
        while not reader.at_eof() and len(answer) < MAX_ANSWER:
            answer += await reader.read(MAX_ANSWER)
        return answer.decode("utf-8", "replace")
    finally:
        writer.close()


async def _open(endpoint: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    scheme, _colon, address = endpoint.partition(":")
    if scheme == "unix" and address.startswith("/"):
        return await asyncio.open_unix_connection(address)
    host, _colon, port = address[2:].rpartition(":")
    if scheme == "tcp" and address.startswith("//") and host and port.isdigit():
        return await asyncio.open_connection(host.strip("[]"), int(port))
    raise CapacityError("write the endpoint as tcp://host:port or unix:/path")


def _is_live(row: dict[str, str | None]) -> bool:
    status = row.get("status") or ""
    in_rotation = row.get("type") == _SERVER and row.get("bck") != "1" and row.get("weight") != "0"
    return in_rotation and (status.startswith("UP") or status == "no check")
