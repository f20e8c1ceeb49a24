# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The window in which poolers hold their clients while the server behind them is exchanged.

It is one process with all sessions opened beforehand. Even when it is killed, clients go on: see `_postgresql.switchover.recovery`.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Callable

from ..._host.clock import Clock
from ..._host.flock import LockError, exclusive
from ..._host.waiting import limited, wait_for
from ..._host.watchdog import Mark, watchdog
from ..pooler.coordinator import PoolerAgents
from ..pooler.pgbouncer import PgBouncer, PoolerError, pause_all, resume_all
from ..pooler.pgbouncer_file import Server
from ..pooler.proof import written
from ..pooler.survey import Exchange, survey
from ..session import PostgresqlError
from .findings import Finding, refusals, warnings
from .node import Node
from .recovery import NEW, OLD, READ_ONLY, lead, recover
from .run_lock import PATIENCE_SECONDS, RunLock
from .survey import SYNCHRONOUS

POLL_SECONDS = 0.002
# What is done before clients are held, a checkpoint of a large server above all, may take this long.
PREPARATION_SECONDS = 600.0
# Added to the window before the watchdog takes over: by then this process has seen that it is late.
GRACE_SECONDS = 1.0
SWITCHOVER, FAILOVER, REDIRECTION = "switchover", "failover", "redirection"


class SwitchoverError(Exception):
    """The servers did not exchange their roles; the message says why, and with whom clients go on."""


@dataclass(frozen=True)
class Limits:
    """Beyond these nothing is begun, or it is taken back: bytes that the standby lags, seconds of a transaction, of a pause, and of the whole window."""

    lag_bytes: int = 10_000_000
    transaction_seconds: float = 15.0
    pause_seconds: float = 5.0
    window_seconds: float = 15.0


@dataclass
class Result:
    """What was done. `steps`: milliseconds from the beginning of the pause to the end of each step; `lsn`: where the old log ends.

    `timeline` and `system_identifier` distinguish the new primary from the old one: None unless that one was found dead.
    """

    changed: bool
    steps: dict[str, float] = field(default_factory=dict)
    lsn: str | None = None
    synchronous: bool = False
    timeline: int | None = None
    system_identifier: str | None = None
    warnings: list[str] = field(default_factory=list)


class Window:
    """`old` is the server that clients were sent to, `new` the one that they are sent to afterwards. A kind of exchange is a subclass.

    :param agents: those of the poolers on other hosts.
    """

    KIND = ""
    # Whether each pooler has to run, and whether no other process drives poolers of this host.
    needs_all_poolers = knows_all_poolers = True
    # Whether the old server is dead, so that it ends no transaction that a pooler waits for.
    is_old_dead = False

    def __init__(self, old: Node, new: Node, poolers: Sequence[PgBouncer], limits: Limits, agents: PoolerAgents = PoolerAgents(),
                 clock: Clock = Clock()) -> None:
        self.old, self.new, self.poolers, self.limits, self.agents, self.clock = old, new, poolers, limits, agents, clock
        self.result = Result(changed=True)
        # Poolers that missed what is done already.
        self.stragglers: list[PgBouncer] = []
        # Poolers that are down, and need not be up.
        self.down: list[PgBouncer] = []
        self._began, self._names, self._is_blown = 0.0, "", False
        self._is_promoted = Mark()
        self._lock = RunLock(self._nodes(), f"{self.KIND} {old.name}>{new.name}", self.KIND == REDIRECTION, clock)

    # -- what a kind of exchange says

    def survey(self) -> bool:
        """Whether it is to be done, False when it is done already. Changes nothing; SwitchoverError says what is in the way."""
        raise NotImplementedError

    def _nodes(self) -> Sequence[Node]:
        """Whose sessions are needed, and on which no other run may be at work."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """What can be done before clients are held."""

    def _act(self) -> None:
        """What is done while clients are held, up to their new server."""
        raise NotImplementedError

    def _is_complete(self) -> bool:
        """Whether the new server is known to have everything that was acknowledged, so that it may be promoted when the old one is dead."""
        raise NotImplementedError

    def _finish(self) -> None:
        """What is done when clients go on with the new server, now or already, and no other run is at work yet."""

    # -- what all have alike

    def _parties(self) -> Iterator[Node | PgBouncer]:
        """All whose sessions are open while clients are held."""
        yield from self._nodes()
        yield from self.poolers

    def dry_run(self) -> bool:
        """Whether there is something to be done, by `survey` and by what the poolers say themselves. Changes nothing."""
        if self.survey():
            self._survey_poolers()
            return True
        return bool(self.stragglers)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep others from them, see `_locked`."""
        return self._locked()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other runs from these servers and poolers while the block runs; SwitchoverError names the one that is at work."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._lock.taken())
            try:
                for path in sorted({pooler.lock_file for pooler in self.poolers}):
                    stack.enter_context(exclusive(path, PATIENCE_SECONDS))
            except LockError as error:
                raise SwitchoverError(f"{error}. Nothing was changed") from error
            except OSError as error:
                raise SwitchoverError(f"{error.filename} cannot be locked: {error.strerror}. Let this account write in that folder") from error
            yield

    def apply(self) -> Result:
        """Have it done. SwitchoverError when it was not; clients go on then, too."""
        with contextlib.ExitStack() as alone:
            # So that the process which outlives this one knows what this one knew, and inherits its lock.
            is_to_do = self._is_needed(alone)
            if is_to_do:
                with watchdog(self._recover, self.agents.patience + PREPARATION_SECONDS) as within:
                    try:
                        self._with_everything_open(within)
                    except (PostgresqlError, PoolerError) as error:
                        raise SwitchoverError(str(error)) from error
            else:
                self.result.changed = bool(self.stragglers)
                problems = [problem for pooler in self.stragglers if (problem := lead(pooler, self.old, self.new, NEW))]
                if problems:
                    raise SwitchoverError("; ".join(problems))
            self._finish()
            if is_to_do:
                self._prove()
        return self.result

    def _is_needed(self, alone: contextlib.ExitStack) -> bool:
        """The result of `survey`, with the run's lock held until `alone` is closed. On an error, the agents on other hosts are released."""
        try:
            alone.enter_context(self._alone())
            if not self.is_old_dead:
                return self.dry_run() and not self.stragglers
            if not self.survey():
                return False
            self._leave_out([pooler for pooler in self.poolers if pooler.is_dead()])
            return True
        except (SwitchoverError, PostgresqlError, PoolerError):
            with contextlib.suppress(PostgresqlError), self.new.opened():
                self.agents.send_away(self.new)
            raise

    def _with_everything_open(self, within: Callable[[float], None]) -> None:
        with contextlib.ExitStack() as stack:
            for one in self._parties():
                stack.enter_context(one.opened())
            self.agents.gather(self.new)
            self._prepare()
            try:
                with self._fuse():
                    self._began = self.clock.steady()
                    within(self.limits.window_seconds + GRACE_SECONDS)
                    self._act()
                    self._lead()
            except BaseException as error:
                raise SwitchoverError(f"{error}. {self._gone_on(self._recover())}") from error

    def _hold(self) -> None:
        """Have every pooler hold its clients, here and on other hosts."""
        self.agents.hold(self.new)
        self._pause_and_point()
        left = self.limits.pause_seconds - (self.clock.steady() - self._began)
        if not wait_for(lambda: self.agents.are_holding(self.new), left, POLL_SECONDS, self.clock.steady, self.clock.sleep):
            raise SwitchoverError(f"the poolers {', '.join(self.agents.names)} were not all paused within {self.limits.pause_seconds:g} s")
        self._reached("paused")

    def _pause_and_point(self) -> None:
        """Have the poolers here hold their clients, and say that they will send them to the new server: one that does not is found before that is promoted."""
        pause_all(self.poolers, self.limits.pause_seconds, self.is_old_dead)
        if self.is_old_dead:
            # Clients of a dead primary get errors until they are held.
            self._survey_poolers()
        for pooler in self.down:
            pooler.point(self.old.address, self.new.address)
        for pooler in self.poolers:
            pooler.point(self.old.address, self.new.address)
            pooler.follow()

    def _wait_for_nobody(self) -> None:
        """A new primary that waits for standbys which it does not have would acknowledge nothing."""
        self._names = self.new.setting(SYNCHRONOUS)
        if self._names:
            self.new.configure(SYNCHRONOUS, "")
            self.result.warnings.append(f"{SYNCHRONOUS} is empty on {self.new} until it has a standby; it was {self._names!r}: set it again then")

    def _promote(self) -> None:
        # The clients of a pooler that no longer holds them go on with the old primary.
        if not self.agents.are_holding(self.new):
            raise SwitchoverError(f"not all of the poolers {', '.join(self.agents.names)} hold their clients any more")
        self._look_again()
        self._is_promoted.set(True)
        try:
            self.new.promote()
        except PostgresqlError as error:
            # It has said no; an answer that is lost may have been a yes.
            self._is_promoted.set(error.sqlstate is None)
            raise
        self._wait(self._has_become_primary, f"{self.new} does not become a primary")
        self.new.write()
        self._reached("promoted")

    def _has_become_primary(self) -> bool:
        return not self.new.is_in_recovery()

    def _require_none(self, findings: Sequence[Finding]) -> None:
        """Keep the warnings; SwitchoverError names everything that refuses."""
        if refusals(findings):
            raise SwitchoverError(refusals(findings))
        self.result.warnings += warnings(findings)

    def _look_again(self) -> None:
        """SwitchoverError when the new one may not be promoted any more. It is the last look: it takes a few milliseconds of the clients' wait."""
        self._lock.require_held()
        if not self.new.is_in_recovery():
            raise SwitchoverError(f"{self.new} was promoted by another run or program")

    def _lead(self) -> None:
        problems = resume_all(self.poolers)
        left = self.limits.window_seconds - (self.clock.steady() - self._began)
        problems += [f"pooler {name} was not redirected to {self.new} in time: see the result of alwayson.upgrade.database_pooler there"
                     for name in self.agents.not_led(self.new, left)]
        if problems:
            raise SwitchoverError("; ".join(problems))
        self._reached("resumed")

    def _wait(self, is_so: Callable[[], bool], otherwise: str) -> None:
        try:
            while not is_so():
                self._require_time(otherwise)
                self.clock.sleep(POLL_SECONDS)
        finally:
            # A session that was closed because the time is over is reported as that, and not as a lost connection.
            self._require_time(otherwise)

    def _require_time(self, otherwise: str) -> None:
        """A process that was suspended must not go on: the watchdog has taken over then."""
        if self._is_blown or self.clock.steady() - self._began > self.limits.window_seconds:
            raise SwitchoverError(f"{otherwise}, within the {self.limits.window_seconds:g} s for which clients may be held")

    def _reached(self, step: str) -> None:
        self._require_time(f"the step {step} did not end in time")
        self.result.steps[step] = round((self.clock.steady() - self._began) * 1000, 1)

    def _fuse(self) -> contextlib.AbstractContextManager[None]:
        """A server or a pooler that does not answer any more ends the window, too."""

        def blow() -> None:
            self._is_blown = True
            for one in self._parties():
                one.shut_down()

        return limited(self.limits.window_seconds, blow)

    def _survey_poolers(self) -> None:
        """SwitchoverError names what is in the way at a pooler. One that is down is left out where no pooler has to wait for it."""
        is_old = functools.lru_cache(maxsize=None)(self._is_old)
        found = {pooler: pooler.facts(is_old, self.is_old_dead) for pooler in (*self.poolers, *self.down)}
        ports = Counter(port for pooler, facts in found.items() if (port := pooler.port_if_shared(facts)))
        exchange = Exchange(self.old.address, self.new.address, self.limits.window_seconds, self.needs_all_poolers, ports if self.knows_all_poolers else None)
        findings = [finding for facts in found.values() for finding in survey(facts, exchange)]
        if refusals(findings):
            raise SwitchoverError(f"{refusals(findings)}. Nothing has changed")
        self.result.warnings += warnings(findings)
        self._leave_out([pooler for pooler, facts in found.items() if facts.is_dead])

    def _leave_out(self, down: Sequence[PgBouncer]) -> None:
        """Have the others take part. Also the files of those that are down are to name the new server."""
        everyone = [*self.poolers, *self.down]
        for pooler in everyone:
            pooler.choose(self.old.address, self.new.address)
        self.down, self.poolers = list(down), [pooler for pooler in everyone if pooler not in down]

    def _is_old(self, server: Server) -> bool:
        """Whether an entry's server is the old one by another name. One that is dead is not asked."""
        return self.old.has_address(server) or (not self.is_old_dead and self.old.may_be(server) and server != self.new.address and self.old.is_also(server))

    def _prove(self) -> None:
        """Have a write by each entry that was moved, as a client of the poolers, and name what is not reached."""
        problems, doubts = written(self.poolers, self.new)
        self.result.warnings += doubts
        if problems:
            raise SwitchoverError(f"{'; '.join(problems)}. {self.new} is the primary now, and the other clients use it")

    def _require_pointed(self, right: Node, wrong: Node) -> None:
        """Each pooler sends there; before an exchange also to the other one alone, where a run was killed."""
        for pooler in self.poolers:
            allowed = {right.address} if right is self.new else {right.address, wrong.address}
            if pooler not in self.stragglers and not allowed & self._targets(pooler):
                raise self._misled(pooler, right)

    def _misled(self, pooler: PgBouncer, right: Node) -> SwitchoverError:
        described = ", ".join(sorted(map(str, self._targets(pooler)))) or "nowhere"
        return SwitchoverError(f"pooler {pooler.name} sends to {described}, and {right} is {right.address} for it: correct the addresses, or its file")

    def _require_followed(self) -> None:
        """It is done already. A pooler that missed it, because its host was away then, is to be led when the old server itself says that it was demoted."""
        late = [pooler for pooler in self.poolers if self.old.address in self._targets(pooler) and self.new.address not in self._targets(pooler)]
        self.stragglers = late if late and self._is_demoted() else []
        self._require_pointed(self.new, self.old)
        for pooler in self.poolers:
            if pooler not in self.stragglers:
                self._look_at_followed(pooler)

    def _look_at_followed(self, pooler: PgBouncer) -> None:
        """Its file names the new server. It may not have read it; and it may send readers to the old one, on purpose or not."""
        if self.old.address in self._targets(pooler):
            names = sorted(name for name, server in pooler.servers().items() if server == self.old.address)
            self.result.warnings.append(f"pooler {pooler.name} sends {', '.join(names)} to {self.old}, which takes no writes: unless clients are to read "
                                        f"there, name {self.new.address} in its file and RELOAD it")
        if not pooler.is_dead():
            with pooler.opened():
                if not pooler.has_followed():
                    self.stragglers.append(pooler)

    def _targets(self, pooler: PgBouncer) -> set[Server]:
        return set(pooler.servers().values())

    def _is_demoted(self) -> bool:
        """Whether the old server has the same data, and takes no writes."""
        try:
            with self.old.opened(), self.new.opened():
                was, is_now = self.old.position(), self.new.position()
                return was.system_identifier == is_now.system_identifier and (was.in_recovery or self.old.is_fenced())
        except PostgresqlError:
            return False

    def _recover(self) -> tuple[str, list[str]]:
        target, problems = recover(self.old, self.new, [*self.poolers, *self.down], self._is_complete(), bool(self._is_promoted))
        if target != NEW and self._names:
            with contextlib.suppress(PostgresqlError), self.new.opened():
                self.new.configure(SYNCHRONOUS, self._names)
        return target, problems

    def _gone_on(self, recovered: tuple[str, list[str]]) -> str:
        target, problems = recovered
        described = {
            OLD: f"Clients use {self.old}, as before",
            NEW: f"Clients use {self.new}, which is the primary now: make {self.old} its standby",
            READ_ONLY: f"No server takes writes: clients read from {self.new}. If {self.old} is lost, run state=failed_over",
        }[target]
        return ". ".join([described, *problems])
