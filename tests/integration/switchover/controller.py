# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switchover in a process of its own, which kills itself at a step: `controller.py STEP DB1 DB2 POOLER DATABASES_FILE`, the middle three as ADDRESS:PORT."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_switchover import Switchover  # noqa: E402
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_window import Limits  # noqa: E402
from fleet.ports import Endpoint  # noqa: E402
from integration.switchover.pair import node_at, pooler_at  # noqa: E402


def main() -> None:
    step, *places, databases = sys.argv[1:]
    first, second, pooler = (Endpoint(address, int(port)) for address, port in (place.split(":") for place in places))
    switchover = Switchover(node_at("db1", first), node_at("db2", second), [pooler_at(pooler, databases)], Limits())
    at(switchover, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
    switchover.bring_about()


def at(switchover: Switchover, step: str, act) -> None:
    """Have something happen as soon as a switchover has reached a step."""
    reached = switchover._reached

    def then(name: str) -> None:
        reached(name)
        if name == step:
            act()

    switchover._reached = then


if __name__ == "__main__":
    main()
