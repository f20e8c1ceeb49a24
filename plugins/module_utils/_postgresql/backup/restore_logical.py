# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases from their newest proven dumps, on a server that runs: each is restored under another name, compared, and gets its own name at the end.

So a database of that name is always whole, and one that was there before is never touched. What a killed run left is known by its name.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable

from ..._database import check_queries as checks, content, scratch_names
from ..._database.backup import restore
from ..._database.backup.disk_space import Room, free_bytes
from ..._database.backup.record import BackupError
from ..._database.backup.run import FAILURES
from ..._database.backup.store import Store
from ..._database.programs import ProgramError, Runner
from .. import content as postgresql_content, scratch_database as scratch
from ..catalog import require_primary
from ..environment import patience
from ..programs import Programs, find
from ..session import Connection, Login, PostgresqlError, connect_patiently, identifier
from ..structure import EXISTING_ONCE
from . import restore_properties as properties
from .logical import NOT_RESTORED, RESTORE_OPTIONS, ROOM_FACTOR, exists_once, listed

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('alwayson.upgrade.database_restore', 0))"


@dataclass
class LogicalRestore:
    """Restores databases from `store` on the server at `login`. :param keeps_owners: whether objects get the owners and the rights that they had."""

    store: Store
    wanted: restore.Wanted
    login: Login
    bin_dir: str | None = None
    keeps_owners: bool = True
    check_queries: Sequence[str] = ()
    parallel: int = 1
    runner: Runner = field(default_factory=Runner)
    clock: Callable[[], float] = time.time
    room: Room | None = None

    def survey(self, databases: Sequence[str]) -> dict[str, Any]:
        """What would be done, by database. Everything is looked at that can be without a change."""
        with connect_patiently(self.login) as server:
            programs = self._prepared(server)
            there = _databases(server)
        return self._result({name: self._row(name, there, lambda chosen: self._about(chosen, programs)) for name in self._names(databases)})

    def bring_back(self, databases: Sequence[str]) -> dict[str, Any]:
        """Restore those of the databases (all that there are backups of, when empty) that the server does not have; the module's result.

        One that fails does not hold up the others: its row has `restored` false, and `why`.
        """
        with restore.locked(self.store), connect_patiently(self.login) as server:
            programs = self._prepared(server)
            if not server.value(LOCK):
                raise BackupError("another run restores databases on this server: wait for its end")
            dropped = self._drop_left_behind(server)
            self.room = self._room(server)
            there = _databases(server)
            rows = self._each(self._names(databases), lambda name: self._row(name, there, lambda chosen: self._restored(chosen, programs)))
        result = self._result(rows)
        return {**result, "dropped": dropped, "changed": bool(dropped) or result["changed"]}

    def _prepared(self, server: Connection) -> Programs:
        require_primary(server, "a restore")
        return find(server.server_version // 10000, self.bin_dir)

    def _names(self, databases: Sequence[str]) -> list[str]:
        found = list(dict.fromkeys(databases)) or self.store.subjects()
        if not found:
            raise BackupError(f"there are no backups in {self.store.directory}: correct directory, or method")
        restore.the_only_server(self.store, found, self.wanted)
        return found

    def _result(self, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
        done = [row for row in rows.values() if row["restored"]]
        return {"backup": None, "system_identifier": None, "size_bytes": sum(row["size_bytes"] for row in done), "databases": rows, "timeline": None,
                "data_of": min((row["data_of"] for row in done), default=None), "seconds": {}, "dropped": [], "changed": bool(done)}

    def _each(self, names: Sequence[str], act: Callable[[str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
        with ThreadPoolExecutor(max_workers=self.parallel) as pool:
            running = {name: pool.submit(act, name) for name in names}
            try:
                return {name: future.result() for name, future in running.items()}
            except BaseException:
                # On a signal: end the programs; their threads then drop what is theirs, and the pool waits for them.
                self.runner.stop()
                for future in running.values():
                    future.cancel()
                raise

    def _row(self, name: str, there: set[str], act: Callable[[restore.Chosen], dict[str, Any]]) -> dict[str, Any]:
        nothing: dict[str, Any] = {"restored": False, "failed": False, "backup": None, "data_of": None, "size_bytes": 0, "seconds": {},
                                   "tables": None, "rows": None}
        if name in there:
            return {**nothing, "why": "the server has a database of that name, which was left alone"}
        try:
            return act(restore.choose(self.store, name, lambda path: [path], self.wanted, self.clock()))
        except FAILURES as error:
            return {**nothing, "failed": True, "why": str(error)}

    def _about(self, chosen: restore.Chosen, programs: Programs) -> dict[str, Any]:
        original = chosen.record.contents[chosen.record.subject]
        self._properties(chosen, programs)
        return {"restored": True, "failed": False, "backup": chosen.path, "data_of": chosen.record.taken, "size_bytes": chosen.record.size_bytes, "seconds": {},
                "tables": len(original.tables), "rows": original.rows, "why": "every table has the rows and the content of the backup's snapshot"}

    def _properties(self, chosen: restore.Chosen, programs: Programs) -> properties.Properties:
        """What the dump says of the database itself."""
        listed_ = self.runner.run([programs.pg_restore, "--create", "--list", chosen.path], self.login.environment())
        with listed(properties.entries(listed_.splitlines())) as wanted:
            command = [programs.pg_restore, "--create", "--no-tablespaces", f"--use-list={wanted}", "--file=-", chosen.path]
            return properties.properties(self.runner.run(command, self.login.environment()))

    def _restored(self, chosen: restore.Chosen, programs: Programs) -> dict[str, Any]:
        name, steps = chosen.record.subject, restore.Steps()
        about = self._about(chosen, programs)
        given = self._properties(chosen, programs)
        # A dump is compressed: what it becomes takes that much at the very least.
        room = self.room.claimed(ROOM_FACTOR * chosen.record.size_bytes, f"the database {name}") if self.room else contextlib.nullcontext()
        with room, self._copy(name, given.clauses) as copy:
            with steps.timed("restored"):
                once = self._restore(programs, copy, chosen.path)
            with steps.timed("compared"):
                self._compare(copy, chosen)
            with connect_patiently(self.login) as server:
                server.run("BEGIN")
                server.run(f"ALTER DATABASE {identifier(copy)} RENAME TO {identifier(name)}")
                server.run(f"GRANT CONNECT, TEMPORARY ON DATABASE {identifier(name)} TO PUBLIC")
                for statement in (*given.of_itself, *(given.of_roles if self.keeps_owners else ())):
                    server.run(statement)
                server.run("COMMIT")
        return {**about, "seconds": steps.seconds, "why": about["why"] + self._restore_once(programs, chosen, once)}

    def _restore_once(self, programs: Programs, chosen: restore.Chosen, entries: Sequence[str]) -> str:
        """Create what a server has once, which may want the database to have its name; a remark on what became of that."""
        if not entries:
            return ""
        what = " and ".join(EXISTING_ONCE)
        try:
            with listed(entries) as wanted:
                self._run_restore(programs, chosen.record.subject, chosen.path, [f"--use-list={wanted}"])
        except ProgramError as error:
            return f"; but {what} could not be created in it, and has to be by hand: {error}"
        return f"; {what} was created last"

    @contextlib.contextmanager
    def _copy(self, name: str, clauses: str) -> Iterator[str]:
        """An empty database with a scratch name; dropped on every way out, unless it was renamed by then."""
        with connect_patiently(self.login) as server:
            copy = scratch_names.new_name(name, scratch.server_time(server), prefix=scratch_names.RESTORE)
            server.run(f"CREATE DATABASE {identifier(copy)} WITH TEMPLATE = template0 {clauses}")
        try:
            with connect_patiently(self.login) as server:
                server.run(f"REVOKE CONNECT, TEMPORARY ON DATABASE {identifier(copy)} FROM PUBLIC")
            yield copy
        except BaseException as failure:
            scratch.drop(lambda database: connect_patiently(self.login, database), copy, f"{failure}; ")
            raise

    def _room(self, server: Connection) -> Room | None:
        """What the databases are claimed from, where the server's disk can be seen from here."""
        if not self.login.is_local:
            return None
        try:
            folder = server.value("SELECT current_setting('data_directory')")
            free_bytes(folder)
        except (PostgresqlError, OSError):
            return None
        return Room(folder)

    def _restore(self, programs: Programs, database: str, path: str) -> list[str]:
        """Restore all but what a server has once; the entries of that."""
        entries = self.runner.run([programs.pg_restore, "--list", path], self.login.environment()).splitlines()
        once = [entry for entry in entries if exists_once(entry, entries)]
        unwanted = () if self.keeps_owners else [entry for entry in entries if NOT_RESTORED.match(entry)]
        with listed(entry for entry in entries if entry not in once and entry not in unwanted) as wanted:
            self._run_restore(programs, database, path, [f"--use-list={wanted}"])
        return once

    def _run_restore(self, programs: Programs, database: str, path: str, more: Sequence[str]) -> None:
        options = ["--exit-on-error", "--no-subscriptions"] if self.keeps_owners else [*RESTORE_OPTIONS]
        with connect_patiently(self.login, database) as session:
            settings = patience(session.server_version)
        command = [programs.pg_restore, *options, *more, "--no-tablespaces", "--no-password", f"--dbname={self.login.conninfo(database)}", path]
        self.runner.run(command, self.login.environment(settings))

    def _compare(self, database: str, chosen: restore.Chosen) -> None:
        with connect_patiently(self.login, database) as session:
            postgresql_content.prepare_session(session)
            found = content.differences(chosen.record.contents[chosen.record.subject], postgresql_content.read(session))
        if found:
            raise BackupError(f"the restored copy is not what was backed up: {content.describe(found)}")
        with connect_patiently(self.login, database) as session:
            checks.require_true(session, self.check_queries)

    def _drop_left_behind(self, server: Connection) -> list[str]:
        """The run that made them has ended: this run has the lock."""
        names = sorted(name for name in _databases(server) if name.startswith(scratch_names.RESTORE) and scratch_names.is_scratch(name))
        for name in names:
            scratch.drop(lambda database: connect_patiently(self.login, database), name, "")
        return names


def _databases(server: Connection) -> set[str]:
    return {name for (name,) in server.rows("SELECT datname FROM pg_database")}
