# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of migrations in a SQLite database, table alwayson_migration. The row of a script is written in its transaction."""

from __future__ import annotations

import json
import os
import pwd
import socket
import time
from typing import Any

from ..._database.migration.ledger import LedgerError
from ..._database.migration.ledger_row import APPLIED, BEGUN
from ..._database.migration.step import Step
from ..session import Connection
from .ledger_rows import TABLE

# Times are in epoch seconds.
CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    "release"  TEXT NOT NULL,
    phase      TEXT NOT NULL,
    step       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    status     TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    owner      TEXT NOT NULL,
    process_id INTEGER NOT NULL,
    begun      REAL NOT NULL,
    applied    REAL,
    kind       TEXT NOT NULL,
    progress   TEXT,
    error      TEXT,
    PRIMARY KEY ("release", phase, step)
)
"""
INSERT = f"""
INSERT OR IGNORE INTO {TABLE} ("release", phase, step, checksum, status, attempts, kind, owner, process_id, begun) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
KEY = '"release" = ? AND phase = ? AND step = ?'
# A step that is not applied yet may have been corrected since it was begun.
BEGIN_AGAIN = f"""
UPDATE {TABLE} SET checksum = ?, kind = ?, owner = ?, process_id = ?, attempts = attempts + 1, error = NULL WHERE {KEY} AND status = ?
"""
STATE = f"SELECT status, checksum, progress FROM {TABLE} WHERE {KEY}"
KEEP_PROGRESS = f"UPDATE {TABLE} SET progress = ? WHERE {KEY}"
KEEP_ERROR = f"UPDATE {TABLE} SET error = ? WHERE {KEY} AND status = ?"
FINISH = f"UPDATE {TABLE} SET status = ?, applied = ?, error = NULL WHERE {KEY} AND status = ?"


def create(database: Connection) -> None:
    """Create the ledger, unless it is there."""
    database.run(CREATE)


def claim(database: Connection, step: Step, attempt: int) -> bool:
    """Write a step's row in the open transaction. False when another session's row is there."""
    return database.count(INSERT, (*step.key, step.checksum, BEGUN, attempt, step.kind, _owner(), os.getpid(), time.time())) == 1


def begin(database: Connection, step: Step) -> None:
    """Write that a step is at work which is more than one transaction; one that is applied stays as it is."""
    if not claim(database, step, 1):
        database.run(BEGIN_AGAIN, (step.checksum, step.kind, _owner(), os.getpid(), *step.key, BEGUN))


def is_begun(database: Connection, step: Step) -> bool:
    """Whether the step was begun, with this very script."""
    return [row[:2] for row in database.rows(STATE, step.key)] == [(BEGUN, step.checksum)]


def is_applied(database: Connection, step: Step) -> bool:
    """Whether the step is applied."""
    return [status for status, *_rest in database.rows(STATE, step.key)] == [APPLIED]


def progress_of(database: Connection, step: Step) -> dict[str, Any] | None:
    """The progress of a step that was begun; None when it is applied. LedgerError when its row is gone."""
    rows = database.rows(STATE, step.key)
    if not rows:
        raise LedgerError(f"the row of {step.title} was deleted from {TABLE} while it was at work: inspect the database {database.database}")
    status, _checksum, progress = rows[0]
    return None if status == APPLIED else json.loads(progress or "{}")


def keep_progress(database: Connection, step: Step, progress: dict[str, Any]) -> None:
    """Write a step's progress in the open transaction."""
    database.run(KEEP_PROGRESS, (json.dumps(progress), *step.key))


def keep_error(database: Connection, step: Step, error: str) -> None:
    """Write why a step that was begun is not applied."""
    database.run(KEEP_ERROR, (error, *step.key, BEGUN))


def finish(database: Connection, step: Step) -> bool:
    """Mark a claimed or begun step as applied. False when its row is gone or changed."""
    return database.count(FINISH, (APPLIED, time.time(), *step.key, BEGUN)) == 1


def _owner() -> str:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container need not know its own account.
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
