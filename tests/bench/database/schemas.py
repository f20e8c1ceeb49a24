# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether strange but healthy databases are backed up and proven, and come back as they were: seeded schemas on PostgreSQL, MariaDB and SQLite.

    build/venv/bin/python tests/bench/database/schemas.py --engine postgresql --seeds 200
    POSTGRESQL_BIN_DIR=/usr/lib/postgresql/15/bin POSTGRESQL_DRIVER=psycopg2 build/venv/bin/python tests/bench/database/schemas.py --engine postgresql

Each seed is a database. It is backed up with its proof, dropped, restored, and dumped by the engine's own program before and after: the lines must be the same.
Prints what was refused or differs, by seed; ends with 1 when anything was.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import schema_others as others
import schema_postgresql as postgresql
from kind_scenes import KindScene, mariadb_scene, sqlite_scene
from scene import Scene, scene
from schema_makers import POSTGRESQL_TYPES

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.restore import Wanted
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import session as mariadb
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb.backup import HISTORY
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.backup.restore_logical import LogicalRestore
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.environment import patience
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError, connect, identifier, literal
from fleet.postgres import use_driver

ENGINES = ("postgresql", "mariadb", "sqlite")
# What a dump says of itself, and of a schema's owner twice.
OF_THE_DUMP = re.compile(r"\\(un)?restrict |-- |$")


@dataclass
class Found:
    """`skipped`: databases that could not be made at all; the others have a seed and a sentence."""

    seeds: int = 0
    statements: int = 0
    skipped: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return self.seeds > 0 and not (self.skipped or self.refused or self.differs)


class PostgresqlTrial:
    """Databases of a scene's server."""

    def __init__(self, place: Scene) -> None:
        self.place = place
        for statement in postgresql.PREPARED:
            place.run(statement)
        with connect(place.login) as session:
            self.available = frozenset(name for (name,) in session.rows("SELECT name FROM pg_available_extensions"))
            self.version = session.server_version
            self.without = frozenset(kind for kind, values in POSTGRESQL_TYPES if not all(can(session, f"SELECT ({value})::{kind}") for value in values))
        if self.without:
            print(f"the server has no {', '.join(sorted(self.without))}")

    @staticmethod
    def name(seed: int) -> str:
        return f"Seed {seed} \"x'"

    def make(self, seed: int) -> int:
        maker = postgresql.Maker(seed, self.available, self.version, self.without)
        name = self.name(seed)
        self.place.run(f"CREATE DATABASE {identifier(name)} TEMPLATE template0 {maker.database}")
        statements = maker.statements()
        with connect(self.place.login, name) as session:
            for statement in statements:
                if statement.startswith("-- fails"):
                    with contextlib.suppress(Exception):
                        session.run(statement)
                else:
                    run(session, statement)
        settings = maker.settings()
        for number, setting in enumerate(settings):
            whom = f"ROLE postgres IN DATABASE {identifier(name)}" if number % 2 else f"DATABASE {identifier(name)}"
            self.place.run(f"ALTER {whom} SET {setting}")
        return len(statements)

    def dumped(self, name: str) -> Counter:
        encoding = self.place.value("SHOW server_encoding", name)
        options = ["--create", "--no-subscriptions", f"--encoding={encoding}"]
        command = [str(self.place.binaries / "pg_dump"), *options, f"--dbname={self.place.login.conninfo(name)}"]
        said = written(command, {**self.place.login.environment(patience(self.version)), "LC_ALL": "C"})
        return Counter(line for line in said.splitlines() if not OF_THE_DUMP.match(line))

    def restore(self, name: str, path: str) -> str:
        self.drop(name)
        run_ = self.place.backups("logical")
        row = LogicalRestore(run_.store, Wanted(), self.place.login, bin_dir=str(self.place.binaries)).bring_back([name])["databases"][name]
        return "" if row["restored"] else row["why"]

    def drop(self, name: str) -> None:
        if not self.place.value(f"SELECT count(*) FROM pg_database WHERE datname = {literal(name)}"):
            return
        with connect(self.place.login, name) as session:
            session.run("SET default_transaction_read_only = off; SET statement_timeout = 0")
            for (subscription,) in session.rows("SELECT subname FROM pg_subscription WHERE subdbid = "
                                                "(SELECT oid FROM pg_database WHERE datname = current_database())"):
                session.run(f"DROP SUBSCRIPTION {identifier(subscription)}")
        self.place.run(f"DROP DATABASE {identifier(name)} WITH (FORCE)")

    method = "logical"


class MariadbTrial:
    """Databases of a server."""

    method = "mariadb"

    def __init__(self, place: KindScene) -> None:
        self.place = place
        endpoint = place.kind.server.endpoint
        self.login = mariadb.Login("127.0.0.1", endpoint.port, user="root")
        self.programs = place.kind.server.programs.bin

    @staticmethod
    def name(seed: int) -> str:
        return f"Seed {seed} `x%s"

    def make(self, seed: int) -> int:
        maker, name = others.Maker("mariadb", seed), self.name(seed)
        with mariadb.connect(self.login) as session:
            session.run(f"CREATE DATABASE {mariadb.identifier(name)} CHARACTER SET {maker.characters}")
        with mariadb.connect(self.login, name) as session:
            session.run("SET sql_mode = ''")
            statements = maker.statements()
            for statement in statements:
                run(session, statement)
        return len(statements)

    def dumped(self, name: str) -> Counter:
        options = ["--skip-dump-date", "--hex-blob", "--skip-extended-insert", "--routines", "--triggers", "--events", "--single-transaction", HISTORY]
        said = written([str(self.programs / "mariadb-dump"), *self.login.options(), "--max-allowed-packet=1G", *options, name], dict(os.environ))
        return Counter(line for line in said.splitlines() if not line.startswith("--"))

    def restore(self, name: str, path: str) -> str:
        """As docs/database_backups.md says, by hand."""
        with mariadb.connect(self.login) as session:
            session.run(f"DROP DATABASE {mariadb.identifier(name)}; CREATE DATABASE {mariadb.identifier(name)}")
        command = [str(self.programs / "mariadb"), *self.login.options(), "--binary-mode", "--comments", "--max-allowed-packet=1G", name]
        done = subprocess.run(command, input=gzip.decompress(Path(path).read_bytes()), capture_output=True, check=False)
        return done.stderr.decode("utf-8", "replace")[-500:] if done.returncode else ""

    def drop(self, name: str) -> None:
        with mariadb.connect(self.login) as session:
            session.run(f"DROP DATABASE IF EXISTS {mariadb.identifier(name)}")


class SqliteTrial:
    """Databases in files."""

    method = "sqlite"

    def __init__(self, place: KindScene) -> None:
        self.place = place

    def name(self, seed: int) -> str:
        return str(self.place.folder / f"seed {seed}?%.db")

    def make(self, seed: int) -> int:
        maker = others.Maker("sqlite", seed)
        with contextlib.closing(self._open(self.name(seed))) as session:
            statements = maker.statements()
            for statement in statements:
                session.execute(statement)
        return len(statements)

    def dumped(self, path: str) -> Counter:
        with contextlib.closing(self._open(path)) as session:
            session.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
            pragmas = [f"{name} {session.execute(f'PRAGMA {name}').fetchall()}" for name in
                       ("page_size", "encoding", "auto_vacuum", "journal_mode", "application_id", "user_version", "integrity_check")]
            tables = [name for (name,) in session.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = [repr(row) for table in tables for row in session.execute("SELECT * FROM \"{}\"".format(table.replace('"', '""')))]
            return Counter([*pragmas, *rows, *map(repr, session.execute("SELECT * FROM sqlite_master"))])

    def restore(self, path: str, backup: str) -> str:
        self.drop(path)
        shutil.copy(backup, path)
        return ""

    def drop(self, path: str) -> None:
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{end}").unlink(missing_ok=True)

    @staticmethod
    def _open(path: str) -> sqlite3.Connection:
        """As the application does, which has a collation and a function of its own."""
        session = sqlite3.connect(path, isolation_level=None)
        session.create_collation("own", lambda one, other: (one.lower() > other.lower()) - (one.lower() < other.lower()))
        session.create_function("own", 1, lambda value: None if value is None else str(value).upper(), deterministic=True)
        return session


def written(command: list[str], environment: dict[str, str]) -> str:
    """What a program writes; what it says when it fails ends the trial of a seed."""
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="surrogateescape", check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr[:700]}")
    return done.stdout


def can(session, statement: str) -> bool:
    """Whether the server knows what a statement needs."""
    try:
        session.run(statement)
    except PostgresqlError:
        return False
    return True


def run(session, statement: str) -> None:
    """Run a statement; what failed is told with it."""
    try:
        session.run(statement)
    except Exception as error:
        raise SystemExit(f"a schema cannot be made: {error} in {statement[:700]}") from error


@contextlib.contextmanager
def trial(engine: str) -> Iterator[PostgresqlTrial | MariadbTrial | SqliteTrial]:
    """A server of that kind, which is gone afterwards."""
    if engine == "postgresql":
        with scene(1) as place:
            yield PostgresqlTrial(place)
    elif engine == "mariadb":
        with mariadb_scene(1) as place:
            yield MariadbTrial(place)
    else:
        with sqlite_scene(1) as place:
            yield SqliteTrial(place)


def judge(trial_: PostgresqlTrial | MariadbTrial | SqliteTrial, seeds: list[int], found: Found) -> None:
    """Try each seed; what is not as it should be is added to `found`."""
    for seed in seeds:
        name = trial_.name(seed)
        try:
            count = trial_.make(seed)
            found.seeds, found.statements = found.seeds + 1, found.statements + count
            before = trial_.dumped(name)
            result = trial_.place.backups(trial_.method).back_up_all([name], 1, 1)[name]
            if not result["proven"]:
                found.refused.append(f"seed {seed}: {result['why']}")
                continue
            problem = trial_.restore(name, result["path"])
            after = trial_.dumped(name) if not problem else Counter()
            if problem or before != after:
                found.differs.append(f"seed {seed}: {problem or [*(before - after)][:3]} {[*(after - before)][:3]}")
        except SystemExit as error:
            found.skipped.append(f"seed {seed}: {error}")
        finally:
            trial_.drop(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    use_driver()
    began, found = time.monotonic(), Found()
    with trial(options.engine) as trial_:
        judge(trial_, list(range(options.first, options.first + options.seeds)), found)
    for kind, sentences in (("could not be made", found.skipped), ("refused", found.refused), ("differs", found.differs)):
        for sentence in sentences:
            print(f"WRONG, {kind}: {sentence}")
    print(f"{options.engine}: {found.seeds} databases of {found.statements} statements, {len(found.refused)} refused, {len(found.differs)} differ, "
          f"seeds {options.first} to {options.first + options.seeds - 1}, {time.monotonic() - began:.0f} s")
    return 0 if found.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
