# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment and the settings of the sessions that the collection opens with PostgreSQL, for its programs and its drivers alike.

libpq takes whatever a login leaves open from variables like PGHOSTADDR, PGSERVICE, PGOPTIONS or PGCLIENTENCODING: another server, another database, another
text. Only those are kept that say who logs in and how the way is encrypted. Source: PostgreSQL's documentation of libpq, "Environment Variables".
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping

PREFIX = "PG"
KEPT = frozenset({
    "PGHOST", "PGPASSWORD", "PGPASSFILE", "PGREQUIREPEER", "PGREQUIREAUTH", "PGCHANNELBINDING", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLROOTCERT",
    "PGSSLCRL", "PGSSLCRLDIR", "PGSSLSNI", "PGSSLNEGOTIATION", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION", "PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION",
})
# No time ends a session with these, whatever the server, the database or the role has set.
UNLIMITED = dict.fromkeys(("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"), "0")
# A backup, a proof and a restore take their time, and some of their sessions wait for another one meanwhile.
PATIENCE = {**UNLIMITED, "lock_timeout": "30s"}
SINCE = {"idle_session_timeout": 140000, "transaction_timeout": 170000}

_changing = threading.Lock()


def of_programs(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment for PostgreSQL's programs: `environment` without what would redirect a session, and `settings` for the session."""
    ours = {name: value for name, value in environment.items() if not _is_foreign(name)}
    options = " ".join("-c {}={}".format(name, value.replace("\\", "\\\\").replace(" ", "\\ ")) for name, value in settings.items())
    return {**ours, "LC_MESSAGES": "C", **({"PGOPTIONS": options} if options else {})}


def patience(server_version: int) -> dict[str, str]:
    """The settings of a patient session, as far as a server of that version (150004 is 15.4) has them."""
    return {name: value for name, value in PATIENCE.items() if server_version >= SINCE.get(name, 0)}


def setting_statement(settings: Mapping[str, str]) -> str:
    """The statement that gives its session these settings, as far as its server has them. Neither names nor values have quotes in them."""
    values = ", ".join(f"('{name}', '{value}')" for name, value in settings.items())
    return (f"SELECT pg_catalog.set_config(name, given.value, false) FROM (VALUES {values}) AS given (name, value) "
            "JOIN pg_catalog.pg_settings AS known USING (name)")


@contextlib.contextmanager
def own_environment() -> Iterator[None]:
    """Within the block a driver of this process finds no variable that would redirect its session."""
    with contextlib.ExitStack() as stack:
        _changing.acquire()
        stack.callback(_changing.release)
        foreign = {name: value for name, value in os.environ.items() if _is_foreign(name)}
        if not foreign:
            # Nothing to hide, so that many sessions can be opened at once.
            stack.close()
        stack.callback(os.environ.update, foreign)
        for name in foreign:
            del os.environ[name]
        yield


def _is_foreign(name: str) -> bool:
    return name.startswith(PREFIX) and name not in KEPT
