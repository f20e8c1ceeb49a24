# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs that exchange the same servers, started at any offset: one server takes writes at the end, and nothing that was acknowledged is lost.

    build/venv/bin/python tests/sweep/switchover_sweep.py --trials 40 --seed 1
    build/venv/bin/python tests/sweep/switchover_sweep.py --kind twice --trials 10    # one kind of pair

Each trial has new servers, a PgBouncer and clients that write. The kinds:

    twice       the same switchover twice
    crossed     a switchover, and the one back
    mixed       a switchover, and a failover of the same servers
    crashed     the primary is killed, the failover is started twice
    killed      the primary is killed, the first failover is killed at a step, the second one is started meanwhile

The offset is between the beginnings of the two, drawn again for each trial; half of them are short, so that both look before either has changed anything.
For the first three, replay stands still in half of the trials, so that the first one waits in its window.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from fleet.postgres import OWNER
from integration.switchover.pair import NAMES, Load, Loading, Pair, lost, wait_writable

TWICE, CROSSED, MIXED, CRASHED, KILLED = KINDS = ("twice", "crossed", "mixed", "crashed", "killed")
MODULE = "ansible_collections.alwayson.upgrade.plugins.modules.database_switchover"
SHORT_SECONDS, LONG_SECONDS = 0.3, 2.5
RUN_SECONDS = 120
# What a run may say that did nothing because another one was at work, or had been.
REFUSALS = ("another run is at work", "another run was at work", "another change under way", "Nothing was changed", "runs: replace it", "is no standby",
            "both take writes", "has lost its lock", "sends to", "still streams", "was demoted", "was replaced by")


@dataclass
class Trial:
    """What came of two runs. `answers` are the exit status and the last message of each, in the order of their beginnings."""

    kind: str
    offset: float
    answers: list = field(default_factory=list)
    problems: list = field(default_factory=list)


class Run:
    """The module in a process of its own, as Ansible starts it."""

    def __init__(self, pair: Pair, state: str, old: str, new: str) -> None:
        servers = {name: {"name": name, "host": one.endpoint.address, "port": one.endpoint.port} for name, one in pair.servers.items()}
        pooler = {"name": "pooler", "host": pair.pooler.endpoint.address, "port": pair.pooler.endpoint.port, "user": OWNER, "ssl_mode": "disable",
                  "file": str(pair.pooler.databases)}
        arguments = {"state": state, "old_primary": servers[old], "new_primary": servers[new], "login_user": OWNER, "ssl_mode": "disable", "poolers": [pooler]}
        self.began = time.monotonic()
        self._process = subprocess.Popen([sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                         env={"PYTHONPATH": str(REPOSITORY / "build" / "collections"), "PATH": "/usr/bin:/bin"})
        self._process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        self._process.stdin.close()

    def kill(self) -> None:
        """As the kernel ends it."""
        self._process.kill()

    def end(self) -> tuple[int, str]:
        """Its exit status, and why it failed."""
        said = self._process.stdout.read()
        status = self._process.wait(RUN_SECONDS)
        line = next((line for line in reversed(said.splitlines()) if line.startswith("{")), "")
        return status, json.loads(line).get("msg", "") if line else said[-500:]


def try_once(kind: str, chance: random.Random, folder: Path) -> Trial:
    """One pair of runs on new servers."""
    trial = Trial(kind, chance.choice((chance.uniform(0, SHORT_SECONDS), chance.uniform(0, LONG_SECONDS))))
    waits = chance.random() < 0.5
    with Pair(folder) as pair:
        pair.be_synchronous()
        load = Load(pair.pooler.endpoint, clients=6, rate=150)
        with Loading(load):
            if kind in (CRASHED, KILLED):
                pair.kill("db1")
            elif waits:
                _stop_replay(pair, chance.uniform(0.0, 1.5), trial.offset + chance.uniform(0.2, 1.0))
            states = {TWICE: ("switched", "switched"), CROSSED: ("switched", "switched"), MIXED: ("switched", "failed_over")}
            first, second = states.get(kind, ("failed_over", "failed_over"))
            runs = [Run(pair, first, "db1", "db2")]
            time.sleep(trial.offset)
            if kind == KILLED:
                runs[0].kill()
            runs.append(Run(pair, second, *(("db2", "db1") if kind == CROSSED else ("db1", "db2"))))
            trial.answers = [run.end() for run in runs]
            writable = wait_writable(pair)
        trial.problems = _problems(pair, trial, load, writable)
    return trial


def _stop_replay(pair: Pair, after: float, seconds: float) -> None:
    """Have the first run wait for the standby, perhaps in its window: the process that replays there stands still for a while."""
    replayer = pair.value("db2", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'")
    for moment, number in ((after, signal.SIGSTOP), (after + seconds, signal.SIGCONT)):
        timer = threading.Timer(moment, _tell, (replayer, number))
        timer.daemon = True
        timer.start()


def _tell(process: int, number: int) -> None:
    """It may have ended with its recovery."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _problems(pair: Pair, trial: Trial, load: Load, writable: str) -> list[str]:
    found = []
    alive = [name for name in NAMES if pair.processes[name].is_alive]
    takers = [name for name in alive if not pair.value(name, "SELECT pg_is_in_recovery()") and not pair.node_is_fenced(name)]
    if takers != [writable]:
        found.append(f"servers that take writes: {takers}, and the pooler sends to {writable}")
    gone = lost(pair, load, writable)
    if gone:
        found.append(f"{len(gone)} of {len(load.acknowledged)} acknowledged writes lost")
    if len(load.acknowledged) < 50:
        found.append(f"only {len(load.acknowledged)} writes were acknowledged: the trial says nothing")
    if trial.kind not in (CRASHED, KILLED) and load.errors + load.read_errors:
        found.append(f"{len(load.errors + load.read_errors)} errors of clients: {sorted(set(load.errors + load.read_errors))[:2]}")
    statuses = [status for status, _message in trial.answers]
    if 0 not in statuses and trial.kind != KILLED:
        found.append("neither run succeeded")
    found += [f"a run failed for another reason: {message}" for status, message in trial.answers
              if status > 0 and not any(words in message for words in REFUSALS)]
    return found


def main() -> int:
    options = _options()
    chance, counts, failed = random.Random(options.seed), {kind: [0, 0] for kind in KINDS}, 0
    for number in range(options.trials):
        kind = options.kind or KINDS[number % len(KINDS)]
        with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as folder:
            Path(folder).chmod(0o755)
            trial = try_once(kind, chance, Path(folder) / "run")
        counts[kind][0] += 1
        counts[kind][1] += bool(trial.problems)
        failed += bool(trial.problems)
        reported = " | ".join(f"{status} {message[:90]}" for status, message in trial.answers)
        print(f"trial {number + 1:3}  {kind:8} offset {trial.offset:5.2f} s  {reported}  {'; '.join(trial.problems) or 'ok'}", flush=True)
    print(", ".join(f"{kind}: {tried} trials, {wrong} wrong" for kind, (tried, wrong) in counts.items() if tried))
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
