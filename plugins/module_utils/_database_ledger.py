# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of migrations in each database, table alwayson.migration: what was applied, and what thus is left to do.

A step's row is written in the transaction that applies the step, so a row with the status `applied` is there exactly when the change is.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection
from ansible_collections.alwayson.upgrade.plugins.module_utils._sql_script import objection

PHASES = ("expand", "contract")
APPLIED = "applied"
BEGUN = "begun"
TABLE = "alwayson.migration"
CREATE = """
CREATE SCHEMA IF NOT EXISTS alwayson;
CREATE TABLE IF NOT EXISTS alwayson.migration (
    release     text NOT NULL,
    phase       text NOT NULL CHECK (phase IN ('expand', 'contract')),
    step        text NOT NULL,
    checksum    text NOT NULL,
    status      text NOT NULL,
    attempts    integer NOT NULL,
    owner       text NOT NULL DEFAULT session_user,
    backend_pid integer NOT NULL DEFAULT pg_backend_pid(),
    begun       timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied     timestamptz,
    PRIMARY KEY (release, phase, step)
);
COMMENT ON TABLE alwayson.migration IS 'Ledger of the collection alwayson.upgrade: one row for each migration step that was applied here.';
"""
READ = """
SELECT release, phase, step, status, checksum, extract(epoch FROM coalesce(applied, begun))::float8
  FROM alwayson.migration ORDER BY coalesce(applied, begun), step
"""
CLAIM = """
INSERT INTO alwayson.migration (release, phase, step, checksum, status, attempts) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING true
"""
FINISH = """
UPDATE alwayson.migration SET status = %s, applied = clock_timestamp() WHERE (release, phase, step) = (%s, %s, %s) AND status = %s RETURNING true
"""


class LedgerError(Exception):
    """Ledger and steps contradict each other, or a step cannot be one; the message names the step and says what to do."""


@dataclass(frozen=True)
class Step:
    """One step of a phase of a release: a script that is applied in one transaction."""

    release: str
    phase: str
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the script as it stands in its file."""
        return hashlib.sha256(self.sql.encode("utf-8")).hexdigest()

    @property
    def key(self) -> tuple[str, str, str]:
        """What names the step in a database."""
        return (self.release, self.phase, self.name)

    @property
    def title(self) -> str:
        """The step as a message names it."""
        return f"{self.phase} step {self.name} of {self.release}"


@dataclass(frozen=True)
class Row:
    """A row of the ledger; `applied` is in epoch seconds."""

    release: str
    phase: str
    step: str
    status: str
    checksum: str
    applied: float

    def as_dict(self) -> dict:
        """The row as a module returns it."""
        return asdict(self)


def steps_of(release: str, phase: str, given: Sequence[dict]) -> list[Step]:
    """The steps of `[{name, sql}]`, in their order; LedgerError names one that cannot be a step."""
    found: list[Step] = []
    for entry in given:
        step = Step(release, phase, entry["name"], entry["sql"])
        if not step.name.strip():
            raise LedgerError(f"a {phase} step of {release} has no name")
        if step.name in (other.name for other in found):
            raise LedgerError(f"there are two: {step.title}; give each a name of its own")
        try:
            step.checksum
        except UnicodeEncodeError as error:
            raise LedgerError(f"{step.title} is not text in UTF-8: {error.reason}") from error
        why = "it has a null character" if "\0" in step.sql else objection(step.sql)
        if why:
            raise LedgerError(f"{step.title}: {why}")
        found.append(step)
    return found


def read(database: Connection) -> list[Row]:
    """The ledger of the session's database in the order of time; empty when there is none."""
    if not exists(database):
        return []
    return [Row(*row) for row in database.rows(READ)]


def exists(database: Connection) -> bool:
    """Whether the session's database has a ledger."""
    return database.value(f"SELECT to_regclass('{TABLE}') IS NOT NULL")


def create(database: Connection) -> None:
    """Create the ledger unless it is there."""
    if not exists(database):
        database.run(CREATE)


def claim(database: Connection, step: Step, attempt: int) -> bool:
    """Write a step's row in the open transaction. False when another session's row is there; one that is just being written is waited for."""
    return bool(database.value(CLAIM, (*step.key, step.checksum, BEGUN, attempt)))


def finish(database: Connection, step: Step) -> bool:
    """Mark a claimed step as applied in the open transaction. False when its row is gone or changed."""
    return bool(database.value(FINISH, (APPLIED, *step.key, BEGUN)))


def pending(steps: Sequence[Step], rows: Sequence[Row]) -> list[Step]:
    """The steps that are not applied, in their order; LedgerError names what contradicts the ledger.

    :param steps: all the steps of one phase of one release.
    """
    if not steps:
        return []
    applied = {(row.release, row.phase, row.step): row for row in rows}
    names = {step.name for step in steps}
    for row in rows:
        if (row.release, row.phase) == (steps[0].release, steps[0].phase) and row.step not in names:
            raise LedgerError(
                f"the ledger has {row.phase} step {row.step} of {row.release}, which is not among the steps given: "
                "give all steps of that phase, under the names with which they were applied"
            )
    for step in steps:
        if step.key in applied:
            _check(step, applied[step.key])
    return [step for step in steps if step.key not in applied]


def _check(step: Step, row: Row) -> None:
    if row.status != APPLIED:
        raise LedgerError(
            f"{step.title} has the status {row.status}: it ended its transaction by itself, so that nobody knows what it changed. "
            f"Inspect the database, then either set the status in {TABLE} to {APPLIED}, or undo the change and delete the row"
        )
    if row.checksum != step.checksum:
        raise LedgerError(
            f"{step.title} was applied with the checksum {row.checksum[:12]} and has {step.checksum[:12]} now: a step that was applied must not change. "
            "Put it back as it was, and make the change in a new step"
        )
