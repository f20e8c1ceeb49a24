# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switchover in a process of its own, which kills itself at a step: `controller.py STEP DB1 DB2 POOLER DATABASES_FILE [AGENT ...]`.

The middle three as ADDRESS:PORT, the agents by the names of their poolers. With `warm FOLDER BIN_DIR` in the place of agents it is a failover to the
server that lives from the log received there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.coordinator import PoolerAgents
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.planned import Switchover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.received_wal import ReceivedLog
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, Window
from fleet.ports import Endpoint
from integration.switchover.pair import node_at, pooler_at
from integration.switchover.trio import failover_at

AGENT_SECONDS = 60.0
# For so long clients may be held, and a busy machine has time for a switchover.
WINDOW_SECONDS = 10.0
# Between two steps: the standby was told to become a primary, and is none yet.
PROMOTING = "promoting"
WARM_LOG = "warm"


def main() -> None:
    step, first, second, pooler, databases, *agents = sys.argv[1:]
    poolers = [pooler_at(endpoint(pooler), databases)]
    switchover = (
        failover_at(endpoint(first), endpoint(second), poolers, ReceivedLog(*agents[1:])) if agents[:1] == [WARM_LOG] else
        Switchover(node_at("db1", endpoint(first)), node_at("db2", endpoint(second)), poolers, Limits(), PoolerAgents(agents, AGENT_SECONDS))
    )
    at(switchover, step, die)
    if step == PROMOTING:
        promote, first_process = switchover.new.promote, os.getpid()
        # The process that outlives this one promotes too.
        switchover.new.promote = lambda: (promote(), os.getpid() == first_process and die())
    switchover.apply()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def endpoint(place: str) -> Endpoint:
    address, _colon, port = place.rpartition(":")
    return Endpoint(address, int(port))


def at(switchover: Window, step: str, act) -> None:
    """Have something happen as soon as a switchover has reached a step."""
    reached = switchover._reached

    def then(name: str) -> None:
        reached(name)
        if name == step:
            act()

    switchover._reached = then


def times_of_steps(switchover: Window, step: str) -> list[float]:
    """Filled, with the moment by the steady clock, when a switchover has reached a step."""
    reached: list[float] = []
    at(switchover, step, lambda: reached.append(time.monotonic()))
    return reached


if __name__ == "__main__":
    main()
