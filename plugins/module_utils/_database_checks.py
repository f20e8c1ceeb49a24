# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own questions to a restored copy. Each must be answered by exactly one true."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_backup_record import BackupError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import Connection, PostgresqlError

SHOWN_LENGTH = 80


def require_true(copy: Connection, queries: Sequence[str]) -> None:
    """Raise BackupError for the first query whose answer is anything but one true."""
    for query in queries:
        try:
            copy.run("BEGIN READ ONLY")
            answer = copy.rows(query)
            copy.run("ROLLBACK")
        except PostgresqlError as error:
            raise BackupError(f"the check query {_shown(query)} failed in the restored copy of {copy.database}: {error}") from error
        if len(answer) != 1 or len(answer[0]) != 1 or answer[0][0] is not True:
            raise BackupError(f"the check query {_shown(query)} answered {_told(answer)} in the restored copy of {copy.database}, not one true")


def _shown(query: str) -> str:
    line = " ".join(query.split())
    return repr(line if len(line) <= SHOWN_LENGTH else line[:SHOWN_LENGTH] + "...")


def _told(answer: list[tuple]) -> str:
    if len(answer) == 1 and len(answer[0]) == 1:
        return repr(answer[0][0])
    return f"{len(answer)} rows" if len(answer) != 1 else f"{len(answer[0])} columns"
