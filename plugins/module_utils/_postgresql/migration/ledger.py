# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of migrations in each PostgreSQL database, table alwayson.migration: what was applied, and what thus is left to do.

The row of a step in one transaction is written in that very transaction, so it is there exactly when the change is. A step that is more than one has
the status `begun` until it is applied: a batch step its progress in the transaction of each batch, an index step what the catalog says.
"""

from __future__ import annotations

import json
from typing import Any

from ..._database.migration.ledger import LedgerError
from ..._database.migration.ledger_row import APPLIED, BEGUN
from ..._database.migration.step import PHASES, Step
from ..session import Connection
from .ledger_rows import TABLE, exists
from .locks import require_only_runner

PHASE_CHECK = "CHECK (phase IN ({}))".format(", ".join(f"'{phase}'" for phase in PHASES))
CREATE = f"""
CREATE SCHEMA IF NOT EXISTS alwayson;
CREATE TABLE IF NOT EXISTS alwayson.migration (
    release       text NOT NULL,
    phase         text NOT NULL CONSTRAINT migration_phase_check {PHASE_CHECK},
    step          text NOT NULL,
    checksum      text NOT NULL,
    status        text NOT NULL,
    attempts      integer NOT NULL,
    owner         text NOT NULL DEFAULT session_user,
    backend_pid   integer NOT NULL DEFAULT pg_backend_pid(),
    begun         timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied       timestamptz,
    kind          text NOT NULL DEFAULT 'transaction',
    progress      jsonb,
    error         text,
    backend_start timestamptz,
    PRIMARY KEY (release, phase, step)
);
COMMENT ON TABLE alwayson.migration IS 'Ledger of the collection alwayson.upgrade: one row for each migration step that was applied here.';
"""
# What ledgers of release 0.1.0 lack. One script, so one transaction: where the last column is, all of it is.
WIDEN = f"""
ALTER TABLE alwayson.migration
    DROP CONSTRAINT IF EXISTS migration_phase_check,
    ADD CONSTRAINT migration_phase_check {PHASE_CHECK},
    ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'transaction',
    ADD COLUMN IF NOT EXISTS progress jsonb,
    ADD COLUMN IF NOT EXISTS error text,
    ADD COLUMN IF NOT EXISTS backend_start timestamptz;
"""
IS_WIDE = """
SELECT count(*) = 1 FROM pg_attribute WHERE attrelid = to_regclass('alwayson.migration') AND attname = 'backend_start' AND NOT attisdropped
"""
BACKEND_START = "(SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
CLAIM = f"""
INSERT INTO alwayson.migration (release, phase, step, checksum, status, attempts, kind, backend_start)
VALUES (%s, %s, %s, %s, %s, %s, %s, {BACKEND_START}) ON CONFLICT DO NOTHING RETURNING true
"""
# A step that is not applied yet may have been corrected since it was begun.
BEGIN = f"""
INSERT INTO alwayson.migration AS m (release, phase, step, checksum, status, attempts, kind, backend_start)
VALUES (%s, %s, %s, %s, %s, 1, %s, {BACKEND_START})
ON CONFLICT (release, phase, step) DO UPDATE
   SET checksum = excluded.checksum, kind = excluded.kind, attempts = m.attempts + 1, error = NULL,
       owner = excluded.owner, backend_pid = excluded.backend_pid, backend_start = excluded.backend_start
 WHERE m.status = excluded.status
"""
IS_BEGUN = "SELECT count(*) > 0 FROM alwayson.migration WHERE (release, phase, step) = (%s, %s, %s) AND status = %s AND checksum = %s"
LOCK_PROGRESS = "SELECT status, progress FROM alwayson.migration WHERE (release, phase, step) = (%s, %s, %s) FOR UPDATE"
KEEP_PROGRESS = "UPDATE alwayson.migration SET progress = %s::jsonb WHERE (release, phase, step) = (%s, %s, %s)"
KEEP_ERROR = "UPDATE alwayson.migration SET error = %s WHERE (release, phase, step) = (%s, %s, %s) AND status = %s"
FINISH = """
UPDATE alwayson.migration SET status = %s, applied = clock_timestamp(), error = NULL
 WHERE (release, phase, step) = (%s, %s, %s) AND status = %s RETURNING true
"""


def is_current(database: Connection) -> bool:
    """Whether the session's database has a ledger with every column."""
    return database.value(IS_WIDE)


def create(database: Connection) -> None:
    """Create the ledger, or widen an older one, unless it is there."""
    if not exists(database):
        database.run(CREATE)
    if not is_current(database):
        database.run(WIDEN)


def claim(database: Connection, step: Step, attempt: int) -> bool:
    """Write a step's row in the open transaction. False when another session's row is there; one that is just being written is waited for."""
    return bool(database.value(CLAIM, (*step.key, step.checksum, BEGUN, attempt, step.kind)))


def begin(database: Connection, step: Step) -> None:
    """Write, and commit, that a step is at work which is more than one transaction; one that is applied stays as it is."""
    database.run(BEGIN, (*step.key, step.checksum, BEGUN, step.kind))


def is_begun(database: Connection, step: Step) -> bool:
    """Whether the step was begun, with this very script."""
    return database.value(IS_BEGUN, (*step.key, BEGUN, step.checksum))


def lock_progress(database: Connection, step: Step) -> dict[str, Any] | None:
    """The progress of a step that was begun, locked until the open transaction ends; None when it is applied. LedgerError when its row is gone."""
    rows = database.rows(LOCK_PROGRESS, step.key)
    if not rows:
        raise LedgerError(f"the row of {step.title} was deleted from {TABLE} while it was at work: inspect the database {database.database}")
    status, progress = rows[0]
    return None if status == APPLIED else progress or {}


def keep_progress(database: Connection, step: Step, progress: dict[str, Any]) -> None:
    """Write a step's progress in the open transaction; MigrationError when the lock of the session is lost."""
    require_only_runner(database)
    database.run(KEEP_PROGRESS, (json.dumps(progress), *step.key))


def keep_error(database: Connection, step: Step, error: str) -> None:
    """Write why a step that was begun is not applied."""
    database.run(KEEP_ERROR, (error, *step.key, BEGUN))


def finish(database: Connection, step: Step) -> bool:
    """Mark a claimed or begun step as applied. False when its row is gone or changed. MigrationError when the lock of the session is lost."""
    require_only_runner(database)
    return bool(database.value(FINISH, (APPLIED, *step.key, BEGUN)))
