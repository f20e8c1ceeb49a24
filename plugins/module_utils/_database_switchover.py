# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby takes over from its primary while the poolers hold the clients: they wait for a moment, and lose nothing.

The window from the pause to the resume is one process with all sessions opened beforehand. Whatever becomes of it, clients go on: see `settle`.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Callable, Iterator, Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_node import Node
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_settle import NEW, OLD, READ_ONLY, settle
from ansible_collections.alwayson.upgrade.plugins.module_utils._dead_man import dead_man
from ansible_collections.alwayson.upgrade.plugins.module_utils._pgbouncer import PgBouncer, PoolerError, pause_all, resume_all
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic_pool import Clock

POLL_SECONDS = 0.002
# What is added to the window before the dead man's switch takes over: this process has seen by then that it is late.
GRACE_SECONDS = 1.0
RETRY_SETTING, RETRY_MOST_MS = "wal_retrieve_retry_interval", 500
IN_SYNC = ("sync", "quorum")


class SwitchoverError(Exception):
    """The standby did not take over; the message says why, and with whom clients go on."""


@dataclass(frozen=True)
class Limits:
    """Beyond these nothing is begun, or it is taken back: bytes that the standby lags, seconds of a transaction, of a pause, and of the whole window."""

    lag_bytes: int = 10_000_000
    transaction_seconds: float = 15.0
    pause_seconds: float = 5.0
    window_seconds: float = 15.0


@dataclass
class Result:
    """What was done. `steps`: milliseconds from the beginning of the pause to the end of each step; `lsn`: where the old log ends."""

    changed: bool
    steps: dict[str, float] = field(default_factory=dict)
    lsn: str | None = None
    synchronous: bool = False
    warnings: list[str] = field(default_factory=list)


class Switchover:
    """`old` is the primary, `new` the standby that takes over."""

    def __init__(self, old: Node, new: Node, poolers: Sequence[PgBouncer], limits: Limits, clock: Clock = Clock()) -> None:
        self.old, self.new, self.poolers, self.limits, self.clock = old, new, poolers, limits, clock
        self.result = Result(changed=True)
        self._began = 0.0

    def survey(self) -> bool:
        """Whether it is to be done, False when it is done already. Changes nothing; SwitchoverError says what is in the way."""
        with self.old.opened(), self.new.opened():
            return self._survey()

    def bring_about(self) -> Result:
        """Have it done. SwitchoverError when it was not; clients go on then, too."""
        # So that the process which outlives this one knows whether the standby has everything.
        if not self.survey():
            self.result.changed = False
            return self.result
        with dead_man(self._settle, self.limits.window_seconds + GRACE_SECONDS):
            try:
                self._with_everything_open()
            except (PostgresqlError, PoolerError) as error:
                raise SwitchoverError(str(error)) from error
        return self.result

    def _with_everything_open(self) -> None:
        with contextlib.ExitStack() as stack:
            for opened in (self.old, self.new, *self.poolers):
                stack.enter_context(opened.opened())
            self._prepare()
            try:
                with self._fuse():
                    self._window()
            except BaseException as error:
                raise SwitchoverError(f"{error}. {self._gone_on(self._settle())}") from error

    # -- before it

    def _survey(self) -> bool:
        was, follows = self.old.position(), self.new.position()
        if was.system_identifier != follows.system_identifier:
            raise SwitchoverError(f"{self.new} is no copy of {self.old}: their system identifiers differ. Give a standby of it")
        if was.in_recovery and not follows.in_recovery:
            self._require_pointed(self.new, self.old)
            return False
        if not was.in_recovery and not follows.in_recovery:
            return self._require_fenced()
        if was.in_recovery:
            raise SwitchoverError(f"both are standbys: {self.old} and {self.new}. Give the primary, and a standby of it")
        self._require_pointed(self.old, self.new)
        self._require_ready()
        return True

    def _require_fenced(self) -> bool:
        """Both are primaries: it was done, and the old one follows nobody yet."""
        if not self.old.is_fenced():
            raise SwitchoverError(f"both take writes: {self.old} and {self.new}. Stop one of them before more goes its own way")
        self._require_pointed(self.new, self.old)
        self.result.warnings.append(f"{self.old} takes no writes and follows nobody: have it follow {self.new}")
        return False

    def _require_pointed(self, right: Node, wrong: Node) -> None:
        for pooler in self.poolers:
            there = set(pooler.servers().values())
            if right.address not in there or wrong.address in there:
                told = ", ".join(sorted(f"{server.host}:{server.port}" for server in there)) or "nowhere"
                raise SwitchoverError(f"pooler {pooler.name} sends to {told}, and {right} is {right.address.host}:{right.address.port} for it: "
                                      "correct the addresses, or its file")

    def _require_ready(self) -> None:
        name = self.new.streams_as()
        rows = [row for row in self.old.replicas() if row["name"] == name and row["state"] == "streaming"]
        if not name or not rows:
            raise SwitchoverError(f"{self.new} does not stream from {self.old}: repair the replication first")
        self.result.synchronous = rows[0]["sync_state"] in IN_SYNC
        behind = self.new.bytes_behind(self.old.position().lsn)
        if behind > self.limits.lag_bytes:
            raise SwitchoverError(f"{self.new} lags {behind} bytes behind {self.old}, and {self.limits.lag_bytes} are allowed: wait until it has caught up")
        lasting = self.old.old_transactions(self.limits.transaction_seconds)
        if lasting:
            raise SwitchoverError(f"a pause would wait for transactions on {self.old}: {'; '.join(lasting)}. Wait for their end, or end them")
        retry = int(self.new.setting(RETRY_SETTING))
        if retry > RETRY_MOST_MS:
            self.result.warnings.append(f"{RETRY_SETTING} is {retry} ms on {self.new}: now and then its promotion waits for so long. Set it to 100ms")

    def _prepare(self) -> None:
        """What both have in common is as young as can be, for the old one to follow later; nobody waits for a standby which the new one does not have."""
        self.old.checkpoint()
        names = self.new.setting("synchronous_standby_names")
        if names:
            self.new.configure("synchronous_standby_names", "")
            self.result.warnings.append(f"synchronous_standby_names is empty on {self.new} until a standby follows it; it was {names!r}: set it again then")

    # -- the window

    def _window(self) -> None:
        self._began = self.clock.steady()
        pause_all(self.poolers, self.limits.pause_seconds)
        self._reached("paused")
        self.old.fence()
        self._reached("fenced")
        self.result.lsn = self.old.end_of_log()
        self._wait(lambda: self.new.has_replayed(self.result.lsn), f"{self.new} does not get to {self.result.lsn}, where the log of {self.old} ends")
        self._reached("replayed")
        self._promote()
        self._lead()

    def _promote(self) -> None:
        self.new.promote()
        self._wait(lambda: not self.new.is_in_recovery(), f"{self.new} does not become a primary")
        self._reached("promoted")

    def _lead(self) -> None:
        for pooler in self.poolers:
            pooler.point(self.old.address, self.new.address)
            pooler.follow()
        problems = resume_all(self.poolers)
        self._reached("resumed")
        if problems:
            raise SwitchoverError("; ".join(problems))

    def _wait(self, is_so: Callable[[], bool], otherwise: str) -> None:
        while not is_so():
            self._require_time(otherwise)
            self.clock.sleep(POLL_SECONDS)
        self._require_time(otherwise)

    def _require_time(self, otherwise: str) -> None:
        """Whoever was stopped for a while must not go on: another process has taken over then."""
        if self.clock.steady() - self._began > self.limits.window_seconds:
            raise SwitchoverError(f"{otherwise}, within the {self.limits.window_seconds:g} s that clients may be held")

    def _reached(self, step: str) -> None:
        self._require_time(f"the step {step} is late")
        self.result.steps[step] = round((self.clock.steady() - self._began) * 1000, 1)

    @contextlib.contextmanager
    def _fuse(self) -> Iterator[None]:
        """A server or a pooler that does not answer any more ends the window, too."""

        def blow() -> None:
            for one in (self.old, self.new):
                one.shut_down()
            for pooler in self.poolers:
                pooler.shut_down()

        fuse = threading.Timer(self.limits.window_seconds, blow)
        fuse.daemon = True
        fuse.start()
        try:
            yield
        finally:
            fuse.cancel()
            fuse.join()

    # -- after it

    def _settle(self) -> tuple[str, list[str]]:
        is_complete = self.result.synchronous or "replayed" in self.result.steps
        return settle(self.old, self.new, self.poolers, is_complete)

    def _gone_on(self, settled: tuple[str, list[str]]) -> str:
        target, problems = settled
        told = {
            OLD: f"Clients go on with {self.old}, as before",
            NEW: f"Clients go on with {self.new}, which is the primary now: have {self.old} follow it",
            READ_ONLY: f"No server takes writes: clients read from {self.new}. If {self.old} is lost, run state=failed_over",
        }[target]
        return ". ".join([told, *problems])
