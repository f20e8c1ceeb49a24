# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of migrations in a MariaDB database, table alwayson_migration.

The row of a script that changes rows is written in its transaction. A change of the schema is begun before, with what the catalog said of its objects then.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ..._database.migration.ledger import LedgerError
from ..._database.migration.ledger_row import APPLIED, BEGUN
from ..._database.migration.step import STATEMENT, Step
from ..session import Connection
from .ledger_rows import TABLE
from .locks import require_only_runner

CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    `release`     varchar(100) NOT NULL,
    phase         varchar(20) NOT NULL,
    step          varchar(255) NOT NULL,
    checksum      char(64) NOT NULL,
    status        varchar(20) NOT NULL,
    attempts      integer NOT NULL,
    owner         varchar(400) NOT NULL,
    connection_id bigint NOT NULL,
    begun         datetime(6) NOT NULL,
    applied       datetime(6),
    kind          varchar(20) NOT NULL,
    progress      longtext,
    error         longtext,
    PRIMARY KEY (`release`, phase, step)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  COMMENT='Ledger of the collection alwayson.upgrade: one row for each migration step that was applied here.'
"""
COLUMNS = "(`release`, phase, step, checksum, status, attempts, kind, progress, owner, connection_id, begun)"
VALUES = "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, CURRENT_USER(), CONNECTION_ID(), UTC_TIMESTAMP(6))"
# A row that is there stays as it is. IGNORE would also cut what is too long.
CLAIM = f"INSERT INTO {TABLE} {COLUMNS} {VALUES} ON DUPLICATE KEY UPDATE step = {TABLE}.step"
# A step that is not applied yet may have been corrected since it was begun.
BEGIN = f"""
INSERT INTO {TABLE} {COLUMNS} {VALUES}
ON DUPLICATE KEY UPDATE
       checksum = IF({TABLE}.status = VALUES(status), VALUES(checksum), {TABLE}.checksum),
       kind = IF({TABLE}.status = VALUES(status), VALUES(kind), {TABLE}.kind),
       attempts = {TABLE}.attempts + ({TABLE}.status = VALUES(status)),
       progress = IF({TABLE}.status = VALUES(status), coalesce(VALUES(progress), {TABLE}.progress), {TABLE}.progress),
       error = IF({TABLE}.status = VALUES(status), NULL, {TABLE}.error),
       owner = IF({TABLE}.status = VALUES(status), VALUES(owner), {TABLE}.owner),
       connection_id = IF({TABLE}.status = VALUES(status), VALUES(connection_id), {TABLE}.connection_id)
"""
KEY = "`release` = %s AND phase = %s AND step = %s"
STATE = f"SELECT status, checksum, progress FROM {TABLE} WHERE {KEY}"
KEEP_PROGRESS = f"UPDATE {TABLE} SET progress = %s WHERE {KEY}"
KEEP_ERROR = f"UPDATE {TABLE} SET error = %s WHERE {KEY} AND status = %s"
FORGET = f"DELETE FROM {TABLE} WHERE {KEY} AND status = %s"
FINISH = f"""
UPDATE {TABLE} SET status = %s, attempts = attempts + %s, applied = UTC_TIMESTAMP(6), error = NULL, progress = IF(kind = '{STATEMENT}', NULL, progress)
 WHERE {KEY} AND status = %s
"""


class State(NamedTuple):
    """How it stands with a step that has a row."""

    status: str
    checksum: str
    progress: dict[str, Any]


def create(database: Connection) -> None:
    """Create the ledger, unless it is there."""
    database.run(CREATE)


def claim(database: Connection, step: Step, attempt: int) -> bool:
    """Write a step's row in the open transaction. False when another session's row is there; one that is just being written is waited for."""
    return database.count(CLAIM, (*step.key, step.checksum, BEGUN, attempt, step.kind, None)) == 1


def begin(database: Connection, step: Step, progress: dict[str, Any] | None = None) -> None:
    """Write, and commit, that a step is at work which is more than one transaction; one that is applied stays as it is."""
    database.run(BEGIN, (*step.key, step.checksum, BEGUN, 1, step.kind, None if progress is None else json.dumps(progress)))


def begun_state(database: Connection, step: Step) -> State | None:
    """How it stands with a step that was begun and is not applied; None when there is none such."""
    found = [State(status, checksum, json.loads(progress or "{}")) for status, checksum, progress in database.rows(STATE, step.key)]
    return found[0] if found and found[0].status == BEGUN else None


def is_begun(database: Connection, step: Step) -> bool:
    """Whether the step was begun, with this very script."""
    state = begun_state(database, step)
    return state is not None and state.checksum == step.checksum


def lock_progress(database: Connection, step: Step) -> dict[str, Any] | None:
    """The progress of a step that was begun, locked until the open transaction ends; None when it is applied. LedgerError when its row is gone."""
    rows = database.rows(f"{STATE} FOR UPDATE", step.key)
    if not rows:
        raise LedgerError(f"the row of {step.title} was deleted from {TABLE} while it was at work: inspect the database {database.database}")
    status, _checksum, progress = rows[0]
    return None if status == APPLIED else json.loads(progress or "{}")


def keep_progress(database: Connection, step: Step, progress: dict[str, Any]) -> None:
    """Write a step's progress in the open transaction; MigrationError when the lock of the session is lost."""
    require_only_runner(database)
    database.run(KEEP_PROGRESS, (json.dumps(progress), *step.key))


def keep_error(database: Connection, step: Step, error: str) -> None:
    """Write why a step that was begun is not applied."""
    database.run(KEEP_ERROR, (error, *step.key, BEGUN))


def forget(database: Connection, step: Step) -> None:
    """Take back that a step was begun, which is known to have changed nothing."""
    database.run(FORGET, (*step.key, BEGUN))


def finish(database: Connection, step: Step, more_attempts: int = 0) -> bool:
    """Mark a claimed or begun step as applied, after so many attempts more than it was begun with. False when its row is gone or changed.

    MigrationError when the lock of the session is lost.
    """
    require_only_runner(database)
    return database.count(FINISH, (APPLIED, more_attempts, *step.key, BEGUN)) == 1
