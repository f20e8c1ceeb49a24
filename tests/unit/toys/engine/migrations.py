# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations. A script has lines ``add TABLE ROW``; the ledger is a table as any other is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.interface import Applied, Engine
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.ledger_row import APPLIED, BEGUN, Row
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.sql import Dialect, token_pattern
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.migration.step import TRANSACTION, Step

from .files import LEDGER, Session, ToyError


class ToyStep(Step):
    """A step for this engine."""

    dialect = Dialect(token_pattern(comment=r"--[^\n]*", constant="'[^']*'", name='"[^"]*"', word=r"\w+"), nests=False, has_bodies=False)

    def lines(self):
        """The lines that say something."""
        return [line.split(" ", 2) for line in self.sql.splitlines() if line and not line.startswith("--")]

    def objection(self):
        if self.directives.objection or self.kind != TRANSACTION:
            return self.directives.objection or "here a step has no directive but accept"
        return next((f"{words[0]} is no verb: write add TABLE ROW" for words in self.lines() if words[0] != "add"), None)


class ToyMigrations(Engine):
    """See `Engine`."""

    step = ToyStep
    ledger_table = LEDGER

    def __init__(self, server):
        self._server = server

    def choose_databases(self, names):
        return self._server.choose_databases(names)

    @contextlib.contextmanager
    def open(self, name):
        yield Session(name)

    def become_only_runner(self, session, pace):
        """There is one."""

    def read_ledger(self, session):
        return [Row(**row) for row in session.rows(LEDGER)]

    def create_ledger(self, session, pace):
        session.write(LEDGER, session.rows(LEDGER))

    def problems(self, session, steps):
        return []

    def apply(self, session, step, pace):
        rows = self.read_ledger(session)
        if any((row.release, row.phase, row.step) == step.key for row in rows):
            return Applied(False)
        begun = Row(*step.key, BEGUN, step.checksum, time.time())
        session.write(LEDGER, [row.as_dict() for row in (*rows, begun)])
        for _verb, table, row in step.lines():
            try:
                session.write(table, [*session.rows(table), json.loads(row)])
            except ValueError as error:
                raise ToyError(f"{row} is no JSON: {error}") from error
        session.write(LEDGER, [row.as_dict() for row in (*rows, dataclasses.replace(begun, status=APPLIED))])
        return Applied(True)

    def keep_error(self, session, step, error, pace):
        session.write(LEDGER, [{**row, "error": error} if (row["release"], row["phase"], row["step"]) == step.key else row for row in session.rows(LEDGER)])
