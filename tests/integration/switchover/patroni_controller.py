# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switchover by Patroni in a process that is killed when Patroni has been asked.

`patroni_controller.py URL USER PASSWORD NODE1 NODE2 POOLER DATABASES_FILE`
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from controller import endpoint  # run by its path: the controller is beside it
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.managers.patroni import Patroni, PatroniSwitchover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits
from integration.switchover.pair import node_at, pooler_at

# Long enough for the request to be on its way, and far too short for Patroni.
ASKED_SECONDS = 0.1


def main() -> None:
    url, user, password, first, second, pooler, databases = sys.argv[1:]
    patroni = Patroni({"url": url, "user": user, "password": password, "validate_certs": True})
    switch = patroni.switch

    def asked(leader: str, candidate: str) -> str:
        threading.Timer(ASKED_SECONDS, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return switch(leader, candidate)

    patroni.switch = asked
    PatroniSwitchover(node_at("node1", endpoint(first)), node_at("node2", endpoint(second)), [pooler_at(endpoint(pooler), databases)],
                      Limits(window_seconds=30.0), patroni).apply()


if __name__ == "__main__":
    main()
