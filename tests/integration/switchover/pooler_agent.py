# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of a pooler in a process of its own, which kills or stops itself at a step: `pooler_agent.py STEP kill|stop DB1 DB2 POOLER DATABASES_FILE NAME`.

It writes a line of JSON: its steps, or what went wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from controller import AGENT_SECONDS, WINDOW_SECONDS, at, endpoint  # run by its path: the controller is beside it
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.agent import PoolerAgent
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError
from integration.switchover.pair import node_at, pooler_at

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def main() -> None:
    step, fate, first, second, pooler, databases, name = sys.argv[1:]
    agent = PoolerAgent(node_at("db1", endpoint(first)), node_at("db2", endpoint(second)), pooler_at(endpoint(pooler), databases, name),
                        Limits(window_seconds=WINDOW_SECONDS), AGENT_SECONDS)
    at(agent, step, lambda: os.kill(os.getpid(), SIGNALS[fate]))
    try:
        result = agent.apply()
    except SwitchoverError as error:
        print(json.dumps({"error": str(error)}))
    else:
        print(json.dumps({"changed": result.changed, "steps": list(result.steps)}))


if __name__ == "__main__":
    main()
