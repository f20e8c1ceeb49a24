# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A supervisor in few lines: shopctl.py start|stop|status PORT FOLDER. The process id is in FOLDER/pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

VERB, PORT, FOLDER = sys.argv[1], sys.argv[2], sys.argv[3]
PID_FILE = os.path.join(FOLDER, "pid")
SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")


def pid() -> int:
    """The process id of the server that runs, 0 when none does."""
    try:
        with open(PID_FILE, encoding="ascii") as file:
            found = int(file.read())
        os.kill(found, 0)
    except (OSError, ValueError):
        return 0
    return found


def start() -> None:
    with open(os.path.join(FOLDER, "log"), "ab") as log:
        server = subprocess.Popen(
            [sys.executable, SERVER, PORT, FOLDER], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    for _attempt in range(1000):
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(PORT))) == 0:
                break
        time.sleep(0.05)
    with open(PID_FILE, "w", encoding="ascii") as file:
        file.write(str(server.pid))


def stop() -> None:
    if running := pid():
        os.kill(running, signal.SIGTERM)
    while pid():
        time.sleep(0.02)
    os.unlink(PID_FILE)


if VERB == "status":
    sys.exit(0 if pid() else 3)
{"start": start, "stop": stop}[VERB]()
