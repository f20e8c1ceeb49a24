# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was promised about one pool and one run, worked out from the operator's words alone, in whole numbers. Shares no code with the scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .scenario import Pool, Scenario, Server


class Violation(AssertionError):
    """A promise was broken. ``promise``: its letter in the contract."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"promise {promise}: {text}")
        self.promise = promise


def demand(kept: bool, promise: str, text: str) -> None:
    if not kept:
        raise Violation(promise, text)


def share(value: int | str, total: int, *, up: bool = False) -> int:
    """A number, or a percentage of *total*: what is taken rounds down, what is demanded rounds up."""
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    whole, rest = divmod(total * int(text[:-1]), 100)
    return whole + (1 if up and rest else 0)


class PoolRules:
    """One pool in one run: its limits as numbers, who is to be done, and in which order."""

    def __init__(self, pool: Pool, servers: list[Server], live: set[str], todo: set[str]) -> None:
        self.name = pool.name
        self.window = max(1, share(pool.max_unavailable, pool.size))
        self.floor = max(0, pool.size - self.window) if pool.min_live is None else share(pool.min_live, pool.size, up=True)
        self.domain_of = {server.name: server.domain for server in servers}
        sizes = Counter(self.domain_of.values())
        self.window_of = {domain: None if pool.max_per_domain is None else max(1, share(pool.max_per_domain, size)) for domain, size in sizes.items()}
        self.todo = todo
        self._pool = pool
        self._servers = [server for server in servers if server.name in todo]
        self._live_at_start = set(live)
        ordered = sorted(self._servers, key=lambda server: (server.domain is not None, server.domain or "", -server.expected_s, server.name))
        self.place = {server.name: place for place, server in enumerate(ordered)}

    def check_steps(self, step_of: dict[str, int]) -> None:
        """S and O: the steps have the sizes that were asked for, out of traffic first, and each half covers every domain."""
        beyond = set(step_of) - self.todo
        demand(not beyond, "U", f"{sorted(beyond)} of {self.name} run the new release in traffic and are to be done once more")
        demand(set(step_of) == self.todo, "S", f"the steps of {self.name} hold {len(step_of)} members, {len(self.todo)} are to be done")
        pins = {server.name: server.step for server in self._servers if server.step is not None}
        demand(all(step_of[name] == step for name, step in pins.items()), "S", "a pinned member is in another step")
        free = [name for name in step_of if name not in pins]
        counts, expected = Counter(step_of.values()), dict(enumerate(self._sizes(Counter(pins.values()), len(free))))
        demand(counts == Counter(expected), "S", f"the steps of {self.name} have sizes {dict(counts)}, asked for was {expected}")
        last_out = max((step_of[name] for name in free if name not in self._live_at_start), default=0)
        first_in = min((step_of[name] for name in free if name in self._live_at_start), default=last_out)
        demand(last_out <= first_in, "O", f"a member of {self.name} that is out of traffic is in a later step than one that is in")
        if self._pool.steps == ["50%", "100%"] and not pins and self.todo <= self._live_at_start:
            for domain, size in Counter(self.domain_of[name] for name in self.todo).items():
                covered = {step for name, step in step_of.items() if self.domain_of[name] == domain}
                demand(size < 2 or len(covered) == 2, "O", f"a half of {self.name} has nobody of {domain}, which has {size}")

    def _sizes(self, pinned: Counter, free: int) -> Iterator[int]:
        """How many members each step has, when those that are not pinned fill it up."""
        filled, total, reached = 0, len(self.todo), 0
        for index, step in enumerate(self._pool.steps):
            reached = max(reached, min(total, share(step, total, up=True)))
            filled += pinned[index]
            joining = min(free, max(0, reached - filled))
            free, filled = free - joining, filled + joining
            yield pinned[index] + joining


class RunRules:
    """What holds for all pools of the run together."""

    def __init__(self, story: Scenario) -> None:
        self.policy = story.on_failure
        self.budget = None if story.on_failure == "skip" else share(story.max_failures, len(story.servers))
        self.budget_text = story.max_failures
        self.forks = story.forks
        domains = len({server.domain for server in story.servers.values()})
        self.domains_at_once = None if story.domains_at_once is None else max(1, share(story.domains_at_once, domains))
        self.member_timeout = story.member_timeout
        self.progress_deadline = story.progress_deadline
