# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger of migrations, whatever kind of database keeps it: what its rows leave to do. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .ledger_row import APPLIED, BEGUN, Row
from .step import COMMAND, TRANSACTION, Step


class LedgerError(Exception):
    """Ledger and steps contradict each other; the message names the step and says what to do."""


def pending(steps: Sequence[Step], rows: Sequence[Row], table: str = "the ledger") -> list[Step]:
    """The steps that are not applied, in their order; LedgerError names what contradicts the ledger.

    :param steps: all the steps of one phase of one release.
    :param table: the ledger as a message names it; each kind of database has its own.
    """
    if not steps:
        return []
    applied = {(row.release, row.phase, row.step): row for row in rows}
    names = {step.name for step in steps}
    for row in rows:
        # A tool's command is no file: another phase does not know it.
        if (row.release, row.phase) == (steps[0].release, steps[0].phase) and row.step not in names and row.kind != COMMAND:
            raise LedgerError(
                f"the ledger has {row.phase} step {row.step} of {row.release}, which is not among the steps given: "
                "give all steps of that phase, under the names with which they were applied"
            )
    for step in steps:
        if step.key in applied:
            _check(step, applied[step.key], table)
    return [step for step in steps if step.key not in applied or applied[step.key].status == BEGUN]


def _check(step: Step, row: Row, table: str = "the ledger") -> None:
    if row.status == BEGUN and step.kind != TRANSACTION:
        return
    if row.status != APPLIED:
        raise LedgerError(
            f"{step.title} has the status {row.status}: it ended its transaction itself, so what it changed is unknown. "
            f"Inspect the database, then either set the status in {table} to {APPLIED}, or undo the change and delete the row"
        )
    if row.checksum != step.checksum:
        raise LedgerError(
            f"{step.title} was applied with the checksum {row.checksum[:12]} and has {step.checksum[:12]} now: a step that was applied must not change. "
            "Restore it, and make the change in a new step"
        )
