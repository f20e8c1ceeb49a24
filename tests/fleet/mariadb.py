# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MariaDB server in a folder: binaries, a fresh server, a role with no more rights than its work needs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql

from fleet import debian, processes
from fleet.ports import Endpoint
from fleet.processes import Process

ROLE = "upgrade"
PACKAGES = ("mariadb-server-core", "mariadb-client-core", "mariadb-client")
CLIENTS = ("mariadb-dump", "mariadb")
NEEDED = {"sbin": ("mariadbd",), "bin": ("mariadb-install-db", *CLIENTS)}
READY_SECONDS, STOP_SECONDS = 60, 30
RIGHTS = ("SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, CREATE VIEW, SHOW VIEW, "
          "CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER, EXECUTE, PROCESS, RELOAD, SET USER")


class MariadbMissing(Exception):
    """There is no usable MariaDB, or it does not come up."""


@dataclass(frozen=True)
class Programs:
    """An installation: `usr` is its root, `bin` has the clients' programs such as anybody can run them, `libraries` is what the others need besides."""

    usr: Path
    bin: Path
    libraries: str = ""

    def environment(self) -> dict[str, str]:
        """The environment in which its programs run."""
        return {**os.environ, **({"LD_LIBRARY_PATH": self.libraries} if self.libraries else {})}


def find_programs(cellar: Path) -> Programs:
    """MariaDB's programs: the system's, else Debian's packages unpacked into `cellar`."""
    if _is_whole(Path("/usr")):
        return Programs(Path("/usr"), Path("/usr/bin"))
    cellar.parent.mkdir(parents=True, exist_ok=True)
    with open(cellar.with_suffix(".lock"), "wb") as lock:
        # Several tests may want it at once: it is there as a whole, or not yet.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cellar.exists():
            _unpack(cellar)
    return Programs(cellar / "root" / "usr", cellar / "bin", _libraries(cellar / "root"))


def _is_whole(usr: Path) -> bool:
    return all(os.access(usr / folder / name, os.X_OK) for folder, names in NEEDED.items() for name in names)


def _unpack(cellar: Path) -> None:
    partial = cellar.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if not all(debian.unpack(package, partial) for package in PACKAGES) or not _is_whole(partial / "root" / "usr"):
        raise MariadbMissing(f"no MariaDB found: apt-get install {' '.join(PACKAGES)} (no service need run)")
    _wrap_clients(partial / "bin", partial / "root", cellar / "root")
    partial.rename(cellar)


def _libraries(root: Path) -> str:
    return ":".join(sorted({str(library.parent) for library in root.rglob("*.so*")}))


def _wrap_clients(folder: Path, root: Path, final: Path) -> None:
    """Scripts in `folder` that run the clients' programs with their libraries; `root` is where these are now, `final` where they will be."""
    folder.mkdir()
    libraries = _libraries(root).replace(str(root), str(final))
    for name in CLIENTS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec env LD_LIBRARY_PATH="{libraries}" "{final}/usr/bin/{name}" "$@"\n', encoding="utf-8")
        script.chmod(0o755)


class Mariadb:
    """One server in `directory`, listening at `endpoint`; `log` receives what it says."""

    def __init__(self, programs: Programs, directory: Path, endpoint: Endpoint, log: Path) -> None:
        self.programs, self.directory, self.endpoint, self.log = programs, directory, endpoint, log

    def create(self) -> None:
        """Make it, with a superuser who has no password."""
        self.directory.mkdir(parents=True)
        # The files of all: the system tables that belong to this account, or to root as root.
        command = [str(self.programs.usr / "bin" / "mariadb-install-db"), *self._places(), "--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run(command, env=self.programs.environment(), capture_output=True, text=True, cwd=self.directory, check=False)
        if done.returncode:
            raise MariadbMissing(f"mariadb-install-db failed ({done.returncode}):\n{done.stdout.strip()}\n{done.stderr.strip()}")

    def start(self) -> Process:
        """Start it; `wait_ready` says when it can be used."""
        # A socket's path has 107 characters at most.
        socket = os.path.relpath(self.directory / "socket", self.directory)
        command = [str(self.programs.usr / "sbin" / "mariadbd"), *self._places(), f"--port={self.endpoint.port}", f"--bind-address={self.endpoint.address}",
                   f"--socket={socket}", f"--pid-file={self.directory / 'pid'}", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M",
                   "--innodb-flush-log-at-trx-commit=2", "--character-set-server=utf8mb4"]
        return processes.launch("mariadb", command, self.log, env=self.programs.environment(), cwd=self.directory)

    def wait_ready(self, process: Process) -> None:
        """Wait until a session can be opened."""
        deadline = time.monotonic() + READY_SECONDS
        while process.is_alive and time.monotonic() < deadline:
            with contextlib.suppress(pymysql.MySQLError):
                self.connect().close()
                return
            time.sleep(0.05)
        raise MariadbMissing(f"MariaDB at {self.endpoint} is not ready; its log {self.log} ends with:\n{processes.tail(self.log)}")

    def connect(self, database: str | None = None, user: str = "root", password: str = "") -> pymysql.Connection:
        """A session, as the superuser unless another is named."""
        place = {"host": self.endpoint.address, "port": self.endpoint.port}
        return pymysql.connect(**place, user=user, password=password, database=database, autocommit=True, charset="utf8mb4")

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the superuser."""
        with self.connect(database) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def value(self, statement: str, database: str | None = None):
        """The first column of the first row."""
        with self.connect(database) as session, session.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]

    def create_role(self, password: str) -> None:
        """The role that migrates and backs up."""
        quoted = pymysql.converters.escape_string(password)
        self.run(f"CREATE USER {ROLE}@'%' IDENTIFIED BY '{quoted}'", f"GRANT {RIGHTS} ON *.* TO {ROLE}@'%'")

    def _places(self) -> list[str]:
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        return ["--no-defaults", f"--basedir={self.programs.usr}", f"--datadir={self.directory / 'data'}", *as_root]


@contextlib.contextmanager
def running(programs: Programs, directory: Path, endpoint: Endpoint, password: str) -> Iterator[Mariadb]:
    """A fresh server, while the block runs."""
    server = Mariadb(programs, directory, endpoint, directory.with_suffix(".log"))
    server.create()
    process = server.start()
    try:
        server.wait_ready(process)
        server.create_role(password)
        yield server
    finally:
        processes.end([process], grace=STOP_SECONDS)
