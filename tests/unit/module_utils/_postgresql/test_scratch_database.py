# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib

import pytest

from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql import scratch_database as scratch
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError

AUTOVACUUM, SESSION = "42501", "55006"


class Server:
    """Refuses to drop a database for as long as something is in the way."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.asked: list[str] = []

    def run(self, statement: str) -> None:
        self.asked.append("force" if "FORCE" in statement else "plain")
        if self.refusals:
            raise PostgresqlError("in the way", self.refusals.pop(0))

    @contextlib.contextmanager
    def open(self, _database):
        yield self


@pytest.mark.parametrize(("refusals", "asked"), [
    ((), ["plain"]),
    ((SESSION,), ["plain", "force"]),
    ((SESSION, AUTOVACUUM), ["plain", "force", "plain"]),
    ((SESSION, AUTOVACUUM, SESSION), ["plain", "force", "plain", "force"]),
])
def test_a_session_is_ended_by_force_and_an_autovacuum_worker_without(refusals, asked):
    server = Server(*refusals)
    scratch.drop(server.open, "copy", "")
    assert server.asked == asked


@pytest.mark.parametrize(("refusals", "asked"), [((SESSION,) * 4, 4), (("0A000",), 1)])
def test_what_stays_in_the_way_is_reported_with_the_statement_that_helps(refusals, asked):
    server = Server(*refusals)
    with pytest.raises(PostgresqlError, match=r"the restore failed; the scratch database copy could not be dropped.*WITH .FORCE."):
        scratch.drop(server.open, "copy", "the restore failed; ")
    assert len(server.asked) == asked
