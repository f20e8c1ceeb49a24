# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl is to a real database host: `postgresctl.py start|stop DIRECTORY`, the folder of a server of the fleet.

The server runs on when this program ends; whoever takes the fleet down finds it by its lock file, see `postgres.running`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# Run by its path, as a program: the fleet's other modules are found beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleet import postgres, processes

COMMAND = "command.json"


def write(server: postgres.Postgres) -> None:
    """Note down how a server is started."""
    command = {"argv": server.command(), "log": str(server.log)}
    (server.directory / COMMAND).write_text(json.dumps(command), encoding="utf-8")


def main() -> int:
    verb, directory = sys.argv[1], Path(sys.argv[2])
    running = postgres.running(directory)
    if verb == "stop" and running:
        processes.end([running], first_signal=postgres.STOP_SIGNAL)
    elif verb == "start" and not running:
        command = json.loads((directory / COMMAND).read_text(encoding="utf-8"))
        processes.launch("postgres", command["argv"], Path(command["log"]), cwd=directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
