# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dump says of its database as a whole: how it is created, its settings, limits and comment, whose it is, and who may do what with it. Pure: text in.

Nothing that the dump says is left out without a word: a statement of an unknown kind is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..._database.backup.record import BackupError
from ..._database.migration.sql import statements
from ..migration.dialect import POSTGRESQL

# An entry of a dump's list that is about the database.
OF_THE_DATABASE = re.compile(r"\d+; \d+ \d+ (?:DATABASE(?: PROPERTIES)? - |(?:ACL|COMMENT) - DATABASE )")
# psql's own commands. In a constant a backslash is doubled.
OF_PSQL = re.compile(r"(?m)^\\(?:restrict|unrestrict|connect|encoding) .*$")
NAME = r'(?:"(?:[^"]|"")+"|[^\s"]+)'
CREATE = re.compile(rf"CREATE DATABASE {NAME} WITH TEMPLATE = template0 (?P<clauses>.*)", re.DOTALL)
# Session settings of the script itself.
OF_THE_SESSION = re.compile(r"SET |SELECT pg_catalog\.set_config\(")
# Those that name roles, which the server may not have.
OF_ROLES = re.compile(rf"ALTER DATABASE {NAME} OWNER TO |ALTER ROLE {NAME} IN DATABASE |(?:GRANT|REVOKE) ")
OF_ITSELF = re.compile(rf"ALTER DATABASE {NAME} |COMMENT ON DATABASE ")


@dataclass(frozen=True)
class Properties:
    """`clauses` of CREATE DATABASE, and the statements that give a database its properties; those in `of_roles` name roles."""

    clauses: str
    of_itself: tuple[str, ...]
    of_roles: tuple[str, ...]


def entries(listed: Iterable[str]) -> list[str]:
    """Of a dump's entries those that are about its database."""
    return [entry for entry in listed if OF_THE_DATABASE.match(entry)]


def properties(script: str) -> Properties:
    """Of what pg_restore writes for those entries; BackupError when something in it is not understood."""
    text = OF_PSQL.sub("", script)
    clauses: list[str] = []
    of_itself: list[str] = []
    of_roles: list[str] = []
    for found in statements(text, POSTGRESQL):
        statement = text[found.begin:found.end]
        created = CREATE.match(statement)
        if created:
            clauses.append(created["clauses"])
        elif OF_ROLES.match(statement):
            of_roles.append(statement)
        elif OF_ITSELF.match(statement):
            of_itself.append(statement)
        elif not OF_THE_SESSION.match(statement):
            raise BackupError(f"the dump gives its database a property of an unknown kind ({' '.join(found.words[:4])}): restore it by hand with pg_restore")
    if len(clauses) != 1:
        raise BackupError("the dump does not say how its database is created: restore it by hand with pg_restore")
    return Properties(clauses[0], tuple(of_itself), tuple(of_roles))
