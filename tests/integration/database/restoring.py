# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module database_restore as a process of its own, which can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Callable

WAIT_SECONDS = 60
RUN_MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.alwayson.upgrade.plugins.modules.database_restore import main
with patch_module_args({**json.load(sys.stdin), "_ansible_remote_tmp": "/tmp"}):
    main()
"""


def begin(options: dict) -> subprocess.Popen:
    """Start it; what it says is its result in JSON."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", RUN_MODULE], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    process.stdin.write(json.dumps(options))
    process.stdin.close()
    process.stdin = None
    return process


def killed_when(process: subprocess.Popen, is_so: Callable[[], bool], number: signal.Signals) -> None:
    """Send it a signal at that moment, and wait for its end. Whoever is killed for good takes its programs along."""
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_so():
            assert process.poll() is None and time.monotonic() < deadline, process.stdout.read() if process.poll() is not None else "it is late"
            time.sleep(0.02)
        process.send_signal(number)
        process.wait(WAIT_SECONDS)
    finally:
        process.stdout.close()
        if number == signal.SIGKILL or process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
