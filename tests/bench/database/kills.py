# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two controllers at once migrate the same tenants, and are killed at random points until that was done often enough."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from .tenancy import Tenancy

CONTROLLER = Path(__file__).with_name("controller.py")
CONTROLLERS = 2
# Seconds after a controller has begun; many of them fall into its first phase, and some into every other.
KILL_AFTER = 2.5
RELEASE_SECONDS = 900


@dataclass
class Load:
    """What a service does meanwhile: it takes orders and reads them, in one tenant after the other, so many statements a second."""

    tenancy: Tenancy
    databases: list[str]
    rate: float = 20
    statements: int = 0
    errors: list[str] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(2 / self.rate):
            database = self.databases[self.statements // 2 % len(self.databases)]
            try:
                self.statements += self.tenancy.work(database)
            except (psycopg.Error, pymysql.MySQLError, sqlite3.Error) as error:
                self.errors.append(str(error))


@dataclass
class Torture:
    """Migrates `databases` from release to release until `kills` controllers were killed; `killed` counts them, `ended` those that came to their end."""

    tenancy: Tenancy
    databases: list[str]
    kills: int
    parallel: int
    chance: random.Random
    kill_after: float = KILL_AFTER
    killed: int = 0
    ended: int = 0
    releases: list[Any] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Go on until it was enough; SystemExit says what a controller that was not killed failed of."""
        while self.killed < self.kills:
            self.migrate_once()

    def migrate_once(self) -> None:
        """Apply the next release."""
        self.releases.append(self.tenancy.Release(len(self.releases) + 2))
        self._one_release(self.releases[-1])

    def _one_release(self, release: Any) -> None:
        """Both controllers again and again, until both come to their end without a kill."""
        left = set(range(CONTROLLERS))
        give_up = time.monotonic() + RELEASE_SECONDS
        while left and not self.failures and time.monotonic() < give_up:
            threads = [threading.Thread(target=self._one_controller, args=(release, number, left, self.chance.uniform(0, self.kill_after)))
                       for number in sorted(left)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if left:
            raise SystemExit(f"release {release.name} did not come to its end in {RELEASE_SECONDS} s: {self.failures or 'no controller failed'}")

    def _one_controller(self, release: Any, number: int, left: set[int], delay: float) -> None:
        process = subprocess.Popen([sys.executable, str(CONTROLLER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdin.write(json.dumps(self.tenancy.options(release, self.databases, self.parallel)))
        process.stdin.close()
        process.stdout.readline()
        try:
            # When it was enough, whoever is left may finish.
            process.wait(delay if self.killed < self.kills else RELEASE_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.killed += 1
            return
        finally:
            said = process.stderr.read()
            process.stdout.close()
            process.stderr.close()
        if process.returncode:
            self.failures.append(json.loads(said)["msg"] if said.lstrip().startswith("{") else said)
        else:
            self.ended += 1
            left.discard(number)
