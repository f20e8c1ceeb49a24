# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole server from its newest proven backup: copied into a data directory, verified there, recovered to the end of its log, started, and looked at.

Up to the copy's last check a failure leaves nothing behind. From the first start on the copy stays, stopped and named, and the next run continues from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable

from ..._database import check_queries as checks, content
from ..._database.backup import restore
from ..._database.backup.disk_space import Room, free_bytes
from ..._database.backup.record import BackupError
from ..._database.backup.store import Store
from ..._database.programs import Runner
from ..._host.programs import run
from ..._host.waiting import wait_for
from .. import auto_conf, content as postgresql_content
from ..catalog import identity
from ..programs import find_all
from ..session import Connection, Login, PostgresqlError, connect, connect_patiently
from . import consistent_lsn, restore_settings as configuration, restore_target as places, restore_wal as log
from .physical import LOG, SUBJECT, folder_size, sealed, segments

PROGRAMS = ("postgres", "pg_verifybackup", "pg_waldump")
POLL_SECONDS = 0.05
# The time from the end of the start command to the server's lock file, and the time in which a failing start ends.
APPEARS_SECONDS = 10.0
GONE = -1
OTHER_COLLATIONS = """
SELECT datname FROM pg_database WHERE datallowconn AND datcollversion <> pg_database_collation_actual_version(oid) ORDER BY datname
"""


@dataclass
class PhysicalRestore:
    """Brings a server back at `place`, from `store`. `login` reaches it once it runs; `depth` is how much is compared, see `_database.content.DEPTHS`."""

    store: Store
    wanted: restore.Wanted
    place: places.Place
    login: Login
    settings: Mapping[str, str]
    start_command: Sequence[str]
    bin_dir: str | None = None
    depth: str = content.ROWS
    check_queries: Sequence[str] = ()
    parallel: int = 1
    timeout: float = 600
    runner: Runner = field(default_factory=Runner)
    clock: Callable[[], float] = time.time
    warnings: list[str] = field(default_factory=list)

    def survey(self) -> dict[str, Any]:
        """What would be done. Everything is looked at that can be without a change; errors as from `bring_back`."""
        if (held := self.place.record()).get("state") == places.RUNNING:
            return self._already(held["result"])
        chosen = self._chosen()
        if not self._is_copy_of(held, chosen):
            self._require_possible(chosen)
        databases = {name: {"tables": len(known.tables), "rows": known.rows} for name, known in chosen.record.contents.items()}
        return {**self._about(chosen), "databases": databases, "changed": True}

    def bring_back(self) -> dict[str, Any]:
        """Have the server run here; the module's result. BackupError and its like say what is wrong, and what is left."""
        with restore.locked(self.store), self.place.exclusive():
            held = self.place.record()
            if held.get("state") == places.RUNNING:
                return self._already(held["result"])
            steps = restore.Steps()
            with steps.timed("found"):
                chosen = self._chosen()
            if not self._is_copy_of(held, chosen):
                self._make_copy(chosen, steps)
            result = self._bring_up(chosen, steps)
            self.place.write_down(places.RUNNING, {"result": result})
            return {**result, "changed": True}

    def _chosen(self) -> restore.Chosen:
        return restore.choose(self.store, SUBJECT, sealed, self.wanted, self.clock())

    def _is_copy_of(self, held: Mapping[str, Any], chosen: restore.Chosen) -> bool:
        return held.get("state") == places.COPIED and held.get("sha256") == chosen.record.sha256

    def _about(self, chosen: restore.Chosen) -> dict[str, Any]:
        return {"backup": chosen.path, "system_identifier": chosen.system_identifier, "size_bytes": chosen.record.size_bytes, "databases": {},
                "data_of": None, "seconds": {}, "timeline": None}

    def _require_possible(self, chosen: restore.Chosen) -> dict[str, str]:
        """PostgreSQL's programs; an error when something is in the way."""
        self.place.require_free()
        self._require_unused()
        self._require_nobody_there()
        above = self.place.directory
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        # What a killed run left is cleared first.
        already = folder_size(self.place.directory) if self.place.record() else 0
        with Room(above, lambda folder: free_bytes(folder) + already).claimed(folder_size(chosen.path), "the server's files"):
            return find_all(chosen.major, PROGRAMS, self.bin_dir)

    def _require_unused(self) -> None:
        """Raise BackupError when the folder holds a restored server that may have taken writes: it is never removed."""
        held = self.place.record()
        if held.get("state") == places.COPIED and self._histories():
            raise BackupError(f"{self.place.directory} holds a server from {held['backup']} that has been up and may have taken writes: name that backup as "
                              "backup to go on with it, or move the folder away")

    def _require_nobody_there(self) -> None:
        try:
            connect(self.login).close()
        except PostgresqlError:
            return
        raise BackupError(f"a server answers at {self.login.host or 'the local socket'}, port {self.login.port}, already: give the address and the port "
                          "that the restored one is to have (login_port, and port in settings)")

    def _make_copy(self, chosen: restore.Chosen, steps: restore.Steps) -> None:
        programs = self._require_possible(chosen)
        self.place.clear()
        about = {"backup": chosen.path, "sha256": chosen.record.sha256, "histories": _histories(chosen.path)}
        self.place.write_down(places.COPYING, about)
        try:
            with steps.timed("copied"):
                self._copy(chosen.path)
            with steps.timed("verified"):
                ignored = [f"--ignore={places.RECORD}"]
                self.runner.run([programs["pg_verifybackup"], "--quiet", *ignored, self.place.directory], self.login.environment())
            self.place.write_down(places.COPIED, about)
        except BaseException:
            self.place.clear()
            raise

    def _copy(self, source: str) -> None:
        names = [os.path.join(source, name) for name in sorted(os.listdir(source)) if name != places.RECORD]
        self.runner.run(["cp", "--archive", "--reflink=auto", f"--target-directory={self.place.directory}", *names], dict(os.environ))
        os.chmod(self.place.directory, 0o700)
        self.place.account.own(self.place.directory)

    def _bring_up(self, chosen: restore.Chosen, steps: restore.Steps) -> dict[str, Any]:
        try:
            with steps.timed("started"):
                self._start()
            with steps.timed("took_writes"):
                timeline = self._wait_for_writes(chosen)
            self._write_settings(configuration.recovered)
            with steps.timed("compared"):
                tail = self._tail(chosen, timeline)
                databases = self._compare(chosen, tail)
        except BaseException as error:
            self.place.stop()
            raise BackupError(f"{error}. The copy of {chosen.path} stays in {self.place.directory}, and no server runs in it: remove the cause and run this "
                              "again, it continues from there") from error
        return {**self._about(chosen), "databases": databases, "data_of": tail.last or chosen.record.taken, "seconds": steps.seconds, "timeline": timeline}

    def _start(self) -> None:
        if self.place.server():
            return
        self._write_settings(configuration.recovering)
        # One whose recovery had ended before it was stopped begins no second one.
        if not self._histories():
            self.place.write("recovery.signal", "")
        done = run(self.start_command)
        if done.status:
            raise BackupError(f"start_command ended with {done.status}: {done.said or 'no output'}")

    def _write_settings(self, changed: Callable[[str, Mapping[str, str]], str]) -> None:
        with open(self.place.path(auto_conf.FILE), encoding="utf-8") as file:
            self.place.write(auto_conf.FILE, changed(file.read(), self.settings))

    def _histories(self) -> list[str]:
        """The timelines of the copy that the backup does not have."""
        known = self.place.record()["histories"]
        return [name for name in _histories(self.place.directory) if name not in known]

    def _wait_for_writes(self, chosen: restore.Chosen) -> int:
        """Wait until the server takes writes; the timeline that it is on."""
        why = [""]

        def timeline() -> int | None:
            try:
                with connect(self.login) as session:
                    self._require_that_one(session, chosen.system_identifier)
                    return None if session.value("SELECT pg_is_in_recovery()") else _write(session)
            except PostgresqlError as error:
                why[0] = str(error)
                return None

        def found_or_gone() -> int | None:
            return timeline() or (None if self.place.server() else GONE)

        wait_for(self.place.server, APPEARS_SECONDS, POLL_SECONDS)
        found = wait_for(found_or_gone, self.timeout, POLL_SECONDS)
        if found is None or found == GONE:
            what = "ended, or start_command did not start it" if found else f"takes no writes within {self.timeout:g} s"
            raise BackupError(f"the server in {self.place.directory} {what}: see its log ({why[0]})")
        return found

    def _require_that_one(self, session: Connection, system_identifier: str) -> None:
        found = identity(session)["system_identifier"]
        if found != system_identifier:
            raise BackupError(f"another server answers at {self.login.host or 'the local socket'}, port {self.login.port}: its system identifier is {found}, "
                              f"not {system_identifier}. Correct login_port, or port in settings")

    def _already(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The result of the run that brought back what runs here; BackupError when that does not take writes any more."""
        where = f"{self.place.directory} holds the server that was restored from {result['backup']}"
        if self.wanted.system_identifier not in (None, result["system_identifier"]):
            raise BackupError(f"{where}, which is {result['system_identifier']}, not {self.wanted.system_identifier}: give another data_directory")
        if not self.place.server():
            raise BackupError(f"{where}, and it does not run. It may have taken writes: start it, or move the folder away to restore again")
        with connect(self.login) as session:
            self._require_that_one(session, result["system_identifier"])
            if session.value("SELECT pg_is_in_recovery()"):
                raise BackupError(f"{where}, and it is a standby by now: give the one that takes writes")
        return {**result, "changed": False}

    def _tail(self, chosen: restore.Chosen, timeline: int) -> log.Tail:
        """What the log held behind the manifest's consistent LSNs. It is the backup's: the server does not keep its own."""
        with open(self.place.path(os.path.join(LOG, f"{timeline:08X}.history")), encoding="ascii", errors="replace") as file:
            end = log.end_of_history(file.read())
        targets = chosen.record.details["targets"]
        first, last = (choice((at for at, _names in targets), key=consistent_lsn.position_of) for choice in (min, max))
        if consistent_lsn.position_of(end) < consistent_lsn.position_of(last):
            raise BackupError(f"the recovery ended at {end} of the log, before {last}, up to which it was proven: see the server's log")
        folder = os.path.join(chosen.path, LOG)
        program = find_all(chosen.major, PROGRAMS, self.bin_dir)["pg_waldump"]
        between = _segment_before(folder, consistent_lsn.position_of(first))
        said = self.runner.run([program, f"--path={folder}", *between, f"--end={end}"], {**os.environ, "TZ": "UTC"})
        with connect(self.login) as session:
            oids = dict(session.rows("SELECT datname, oid::bigint FROM pg_database"))
            self._warn_of_collations(session)
        return log.tail_of(said.splitlines(), targets, oids)

    def _warn_of_collations(self, session: Connection) -> None:
        names = [name for (name,) in session.rows(OTHER_COLLATIONS)] if session.server_version >= 150000 else []
        if names:
            self.warnings.append(f"text sorts in another order here than where {', '.join(names)} came from, so indexes on it may be wrong: "
                                 "REINDEX DATABASE, then ALTER DATABASE ... REFRESH COLLATION VERSION")

    def _compare(self, chosen: restore.Chosen, tail: log.Tail) -> dict[str, dict[str, Any]]:
        with ThreadPoolExecutor(max_workers=self.parallel) as pool:
            rows = pool.map(lambda name: self._look_at(name, chosen.record.contents[name], tail.later.get(name, 0)), chosen.record.contents)
            return dict(zip(chosen.record.contents, rows))

    def _look_at(self, database: str, original: content.Content, later: int) -> dict[str, Any]:
        with connect_patiently(self.login, database) as session:
            postgresql_content.prepare_session(session)
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            found = content.differences(content.reduced(original, self.depth), postgresql_content.read_logged(session, self.depth))
            session.run("COMMIT")
        if found and not later:
            raise BackupError(f"the restored {database} is not what was backed up: {content.describe(found)}")
        # A separate session: this one no longer has the search path that a user's query expects.
        with connect_patiently(self.login, database) as session:
            checks.require_true(session, self.check_queries)
        return {"exact": not later, "later_transactions": later, "differences": found, "tables": len(original.tables), "rows": original.rows}


def _segment_before(folder: str, position: int) -> list[str]:
    """Where pg_waldump is to begin, so that it sees what transactions did which ended about that position: one file of the log earlier, if there is one."""
    names = [name for name in segments(folder) if "." not in name]
    size = os.path.getsize(os.path.join(folder, names[0]))
    timeline, _end = consistent_lsn.end_of_segment(names[-1], size)
    _timeline, oldest = consistent_lsn.end_of_segment(names[0], size)
    return [f"--timeline={timeline}", f"--start={consistent_lsn.text_of(max(oldest - size, (position // size - 1) * size))}"]


def _histories(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(os.path.join(folder, LOG)) if name.endswith(".history"))


def _write(session: Connection) -> int:
    """Have something written; the timeline that it is on."""
    session.run("SELECT pg_current_xact_id()")
    return int(session.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")[:consistent_lsn.FIRST_SEGMENT_DIGITS], 16)
