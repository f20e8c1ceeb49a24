# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Crashes under load: what is lost, how long nobody could write, and what an old primary takes that is started again by itself. Run by `switchover.py`."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.failover import Failover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, Result, Window
from integration.switchover.guard import Direct, fenced, guard
from integration.switchover.pair import Load, Loading, Pair, lost
from integration.switchover.trio import WARM, Trio

TRYING_SECONDS, BACK_SECONDS = 3.0, 2.0


@dataclass
class Outcome:
    """One crash: seconds from its detection, which is the start of the failover right after the kill, to the first write; what was lost, and of how many."""

    back: float
    lost: int
    acknowledged: int
    errors: int
    longest_ms: float
    result: Result

    def __str__(self) -> str:
        return (f"writes back {self.back * 1000:5.0f} ms after the detection  longest wait {self.longest_ms:5.0f} ms  {self.result.steps}  "
                f"{self.errors:2} errors  {self.lost} lost of {self.acknowledged}")


def crashes(trials: int, rate: float) -> int:
    """The primary dies by SIGKILL; its synchronous standby takes over, and the old primary, started again by itself, takes no write."""
    outcomes, guarded, fences, started = [], [], [], 0
    control = started_by_itself(rate)
    print(f"control, without guard and fence: the old primary acknowledged {control.acknowledged} of {control.attempts} writes", flush=True)
    for trial in range(1, trials + 1):
        with scene(Pair) as pair:
            pair.be_synchronous()
            outcomes.append(outcome := crash(pair, rate, lambda: pair.kill("db1"), failover(pair), "db2"))
            started += (is_started := pair.restart_by_itself("db1", *guard(pair, "db1")))
            guarded.append(direct := tried(pair))
            fenced(pair, "db1", system_identifier=outcome.result.system_identifier, new_timeline=outcome.result.timeline)
            pair.restart_by_itself("db1")
            fences.append(writing := tried(pair))
        print(f"trial {trial:2}  {outcome}  guard: {'started' if is_started else 'refused'}, {direct.acknowledged} of {direct.attempts} writes acknowledged  "
              f"fence: {writing.acknowledged} of {writing.attempts} ({writing.answered} refused by the server)", flush=True)
    is_right = total(outcomes, "crashes")
    for name, found in (("guard", guarded), ("fence", fences)):
        acknowledged, attempts = sum(direct.acknowledged for direct in found), sum(direct.attempts for direct in found)
        print(f"{name:22} {acknowledged} of {attempts} writes that clients sent past the poolers were acknowledged by the old primary")
    tries = [direct.attempts for direct in guarded] + [direct.answered for direct in fences]
    kept = not started and not any(direct.acknowledged for direct in guarded + fences)
    return 0 if is_right and kept and control.acknowledged and all(tries) else 1


def double_faults(trials: int, rate: float) -> int:
    """Primary and standby die by SIGKILL in the same moment; the server that lives from a received log takes over."""
    outcomes = []
    for trial in range(1, trials + 1):
        with scene(Trio) as trio:
            trio.be_synchronous()
            outcomes.append(crash(trio, rate, trio.kill_both, trio.failover(), WARM))
        print(f"trial {trial:2}  {outcomes[-1]}", flush=True)
    return 0 if total(outcomes, "double faults") and max(outcome.back for outcome in outcomes) < BACK_SECONDS else 1


def crash(pair: Pair, rate: float, kill, task: Window, new: str) -> Outcome:
    """Have it happen under load."""
    load = Load(pair.pooler.endpoint, rate=rate)
    with Loading(load):
        kill()
        detected = time.monotonic()
        result = task.apply()
    # Nobody can have written between the pause and the promotion: what comes after that was written to the new one.
    promoted = detected + result.steps["promoted"] / 1000
    back = min(moment for moment in load.written_at if moment > promoted) - detected
    return Outcome(back, len(lost(pair, load, new)), len(load.acknowledged), len(load.errors) + len(load.read_errors), max(load.waits_ms), result)


def started_by_itself(rate: float) -> Direct:
    """The same without guard and fence."""
    with scene(Pair) as pair:
        pair.be_synchronous()
        crash(pair, rate, lambda: pair.kill("db1"), failover(pair), "db2")
        pair.restart_by_itself("db1")
        return tried(pair)


def tried(pair: Pair) -> Direct:
    """Clients that come past the poolers write to the old primary, or try to."""
    with Direct(pair.servers["db1"].endpoint) as direct:
        time.sleep(TRYING_SECONDS)
    return direct


def failover(pair: Pair) -> Failover:
    """To the standby."""
    return Failover(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits())


def total(outcomes: list[Outcome], what: str) -> bool:
    """Print all together; whether nothing was lost of a number that is more than none."""
    gone, acknowledged = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("lost", "acknowledged"))
    errors = [outcome.errors for outcome in outcomes]
    print(f"{len(outcomes)} {what}: {gone} of {acknowledged} acknowledged writes lost, {min(errors)} to {max(errors)} errors")
    for name, values in (("writes back", [outcome.back * 1000 for outcome in outcomes]), ("longest wait", [outcome.longest_ms for outcome in outcomes]),
                         ("window", [outcome.result.steps["resumed"] for outcome in outcomes])):
        print(f"{name:22} min {min(values):4.0f}  median {statistics.median(values):4.0f}  max {max(values):4.0f} ms")
    return not gone and bool(acknowledged)


@contextlib.contextmanager
def scene(kind: type[Pair]) -> Iterator[Pair]:
    """Servers of their own."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as folder:
        Path(folder).chmod(0o755)
        with kind(Path(folder) / "run") as pair:
            yield pair
