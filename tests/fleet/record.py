# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the run folder remembers of its fleet: fleet.json, with every process that was started and may have to be ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from fleet import layout as layouts
from fleet.layout import Layout
from fleet.processes import Process

# Everything a fleet writes; nothing else in the folder is ever touched.
OWN = ("artifacts", "balancers", "fleet.json", "haproxy", "hosts", "inventory.yml", "log", "pooler", "postgres", "standby")
MARK = ".fleet"
LOCK_SECONDS = 60


class RecordError(Exception):
    """The run folder cannot be used, or holds no fleet."""


class Record:
    """The record in one run folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "fleet.json"
        self.layout: Layout | None = None
        self.processes: dict[str, Process] = {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands out while this one changes the fleet. The lock file also marks the folder as a fleet's."""
        if not (self.directory / MARK).exists():
            strangers = [name for name in OWN if (self.directory / name).exists()]
            if strangers:
                raise RecordError(f"{self.directory} holds {', '.join(strangers)}, but no fleet: choose another folder, these would be overwritten")
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / MARK, "ab") as lock:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _lock(lock):
                if time.monotonic() > deadline:
                    raise RecordError(f"another command has been at work on the fleet in {self.directory} for {LOCK_SECONDS} s: wait for its end")
                time.sleep(0.1)
            yield

    def load(self) -> bool:
        """Read the record; False when there is none."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        self.layout = layouts.from_record(self.directory, content["layout"])
        self.processes = {entry["name"]: Process(**entry) for entry in content["processes"]}
        return True

    def clear(self) -> None:
        """Remove what an earlier fleet left in the folder."""
        for name in OWN:
            path = self.directory / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.layout, self.processes = None, {}

    def remember(self, process: Process) -> None:
        """Write a process down, right after its start: whatever happens next, `down` finds it."""
        self.processes[process.name] = process
        self.save()

    def forget_ended(self) -> None:
        """Strike out the processes that have ended."""
        self.processes = {name: process for name, process in self.processes.items() if process.is_alive}
        self.save()

    def save(self) -> None:
        """Write the record, in one step."""
        content = {"layout": self.layout.as_record(), "processes": [process.as_record() for process in self.processes.values()]}
        part = self.path.with_name(f"fleet.json.{os.getpid()}")
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        part.replace(self.path)


def _lock(lock) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
