# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a switchover that was interrupted: clients go on with the server that takes writes, regardless of how far the switchover had come.

Everything is read again, over new sessions, so that another process can do it when the first one is dead.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Callable

from ..pooler.pgbouncer import PgBouncer, PoolerError
from ..session import PostgresqlError
from .node import Node

# How long a server that takes writes is waited for before clients go on with reading alone.
PATIENCE_SECONDS, PAUSE_SECONDS = 15.0, 0.05

OLD, NEW, READ_ONLY = "old", "new", "read only"


def recover(old: Node, new: Node, poolers: Sequence[PgBouncer], may_promote: bool, is_promoted: bool = False, may_unfence: bool = True,
            patience: float = PATIENCE_SECONDS, steady: Callable[[], float] = time.monotonic,
            sleep: Callable[[float], None] = time.sleep) -> tuple[str, list[str]]:
    """Have every client go on; returns with whom (`OLD`, `NEW`, or `READ_ONLY` on the new one), and a sentence for each pooler that did not do so.

    :param may_promote: whether the new one is known to have everything that was acknowledged, so that it follows a primary that died.
    :param is_promoted: whether its promotion was requested: it becomes a primary then, and no client goes back to the old one.
    :param may_unfence: whether no other program can be about to fence the old one.
    """
    give_up = steady() + patience
    while (found := _who_takes_writes(old, new, may_promote, is_promoted)) is None and steady() < give_up:
        sleep(PAUSE_SECONDS)
    target = found or READ_ONLY
    if target == OLD and may_unfence:
        with contextlib.suppress(PostgresqlError), old.opened():
            old.unfence()
    problems = [problem for pooler in poolers if (problem := lead(pooler, old, new, target))]
    return target, problems


def _who_takes_writes(old: Node, new: Node, may_promote: bool, is_promoted: bool) -> str | None:
    """None while that is not certain."""
    try:
        with new.opened():
            if not new.is_in_recovery():
                return NEW
            if is_promoted or (may_promote and old.is_refusing() and not new.is_fed() and new.claim_promotion()):
                new.promote()
                return None
    except PostgresqlError:
        if is_promoted or not new.is_refusing():
            return None
    try:
        with old.opened():
            return None if old.is_in_recovery() else OLD
    except PostgresqlError:
        return None


def lead(pooler: PgBouncer, old: Node, new: Node, target: str) -> str:
    """Have a pooler's clients go on there, or at least go on; what went wrong."""
    way = (new.address, old.address) if target == OLD else (old.address, new.address)
    problems = []

    def do(step: Callable[[], None]) -> None:
        try:
            step()
        except PoolerError as error:
            problems.append(str(error))

    def go_on() -> None:
        with pooler.opened():
            do(pooler.follow)
            do(pooler.resume)

    do(lambda: pooler.point(*way))
    do(go_on)
    return "; ".join(problems)
