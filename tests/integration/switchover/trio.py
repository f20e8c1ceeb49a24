# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair, and a third server that pg_receivewal keeps warm: db3, in recovery from the folder that its receiver db3_log writes to."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PgBouncer
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import Server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.received_wal import ReceivedLog
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.wal_only_failover import WarmFailover, WarmNode
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits
from fleet import processes
from fleet.ports import Endpoint, Ports
from fleet.postgres import NOBODY, OWNER, REPLICATOR, Postgres, accepted_prefixes
from integration.switchover.pair import WAIT_SECONDS, Pair, node_at

WARM, RECEIVER, SLOT = "db3", "db3_log", "db3_log"
NAMES = f"FIRST 2 (db2, {RECEIVER})"


class Trio(Pair):
    """See the module."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.received = folder / "received"
        self.warm = Postgres(self.servers["db1"].binaries, folder / WARM, Ports().endpoint("127.0.0.63"), folder / f"{WARM}.log")

    def start_receiver(self) -> None:
        self.processes["receiver"] = processes.launch("receiver", self._receiver(), self.folder / "receiver.log", cwd=self.folder)

    def be_synchronous(self, names: str = NAMES, count: int = 2) -> None:
        super().be_synchronous(names, count)

    def log(self, *stop_command: str) -> ReceivedLog:
        return ReceivedLog(str(self.received), str(self.warm.binaries), stop_command)

    def failover(self, *stop_command: str, **limits) -> WarmFailover:
        return failover_at(self.servers["db1"].endpoint, self.warm.endpoint, self.poolers(), self.log(*stop_command), **limits)

    def kill_both(self) -> None:
        processes.end([self.processes["db1"], self.processes["db2"]], first_signal=signal.SIGKILL)

    def _start(self) -> None:
        super()._start()
        self.received.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(self.received, NOBODY, NOBODY)
        subprocess.run([*self._receiver(), "--create-slot"], check=True, capture_output=True, cwd=self.folder)
        self.start_receiver()
        self.wait_receiving()
        self.warm.create_standby(self.servers["db1"].endpoint, WARM)
        with open(self.warm.data / "postgresql.conf", "a", encoding="utf-8") as configuration:
            configuration.write(f"restore_command = 'cp {self.received}/%f %p'\n")
        auto = self.warm.data / "postgresql.auto.conf"
        auto.write_text("".join(line for line in auto.read_text("utf-8").splitlines(keepends=True) if "primary_conninfo" not in line), "utf-8")
        self.servers[WARM] = self.warm
        self.start_server(WARM)

    def wait_receiving(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.value("db1", f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{RECEIVER}' AND state = 'streaming'"):
            assert time.monotonic() < deadline, (self.folder / "receiver.log").read_text()
            time.sleep(0.05)

    def _receiver(self) -> list[str]:
        primary = self.servers["db1"].endpoint
        source = f"host={primary.address} port={primary.port} user={REPLICATOR} application_name={RECEIVER} sslmode=disable gssencmode=disable"
        program = str(self.warm.binaries / "pg_receivewal")
        prefix = next(way for way in accepted_prefixes() if _works([*way, program]))
        return [*prefix, program, "-D", str(self.received), "-d", source, "--slot", SLOT, "--synchronous", "--if-not-exists"]


def failover_at(old: Endpoint, warm: Endpoint, poolers: list[PgBouncer], log: ReceivedLog, **limits) -> WarmFailover:
    """A failover as the module does it."""
    login = Login(host=warm.address, port=warm.port, user=OWNER, ssl_mode="disable")
    node = WarmNode(WARM, login, Server(warm.address, str(warm.port)), log)
    return WarmFailover(node_at("db1", old), node, poolers, Limits(**limits), RECEIVER)


def _works(command: list[str]) -> bool:
    return subprocess.run([*command, "--version"], capture_output=True, check=False).returncode == 0
