# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that a test starts, and that are gone behind it, however far their start came."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from ansible_collections.alwayson.upgrade.plugins.module_utils._host import proc
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from fleet.ports import Endpoint

MEMBER = Path(__file__).with_name("member.py")
END_SECONDS, READY_SECONDS = 20, 60


class RealProcesses:
    """As a context manager they are up inside the block. A subclass says in `start` what to spawn, and when all of it is there.

    :param folder: where each process leaves its log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        raise NotImplementedError

    def spawn(self, name: str, argv: list[str]) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def spawn_member(self, name: str, endpoint: Endpoint, release: str = "1.0.0") -> None:
        """A small application that answers with its release."""
        self.spawn(name, [sys.executable, str(MEMBER), endpoint.address, str(endpoint.port), release])

    def signal_reload(self, name: str) -> None:
        """Have an HAProxy read its configuration anew, as soon as its master does not ignore the signal any more."""
        process = self.processes[name]
        assert wait_for(lambda: proc.catches(process.pid, signal.SIGUSR2), READY_SECONDS, 0.02)
        process.send_signal(signal.SIGUSR2)

    def stop(self) -> None:
        """End all, the newest first: asked, then killed. A process that a test has frozen is thawed for it."""
        for process in reversed(self.processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
