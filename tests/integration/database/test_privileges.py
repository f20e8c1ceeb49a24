# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role lacks, as a real server tells it; and that the SQL which is named grants just that."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.engine import Postgresql
from ansible_collections.alwayson.upgrade.plugins.module_utils._database.interface import PURPOSES
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import LOGIN_ARGUMENTS

PASSWORD = "plain"
NUMBERS = itertools.count(1)
TABLES = """
CREATE SCHEMA inner_part;
CREATE TABLE inner_part.orders (id bigserial PRIMARY KEY);
CREATE TABLE public.plain (id integer);
"""


class Asked:
    """A new role without any privilege, in a database whose tables belong to another one."""

    def __init__(self, server, name: str) -> None:
        self.server, self.role, self.database = server, name, f"{name}_db"
        self.admin(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        self.admin(f"CREATE DATABASE {self.database}")
        self.admin(TABLES, self.database)

    def admin(self, script: str, database: str = "postgres") -> None:
        with self.server.connect(database) as session:
            session.execute(script)

    def lacks(self, *purposes: str) -> list:
        options = {name: argument.get("default") for name, argument in LOGIN_ARGUMENTS.items()}
        options |= {"login_host": "127.0.0.1", "login_port": self.server.port, "login_user": self.role, "login_password": PASSWORD}
        with Postgresql(options).opened() as opened:
            return opened.missing_privileges(purposes, [self.database])

    def names_of_lacks(self, *purposes: str) -> list[str]:
        return [lack.privilege for lack in self.lacks(*purposes)]

    def grant_all_that_is_named(self, *purposes: str) -> int:
        """Run the SQL of what is lacking; how many statements that were."""
        found = self.lacks(*purposes)
        for lack in found:
            self.admin(lack.grant, lack.database or "postgres")
        return len(found)

    def drop(self) -> None:
        self.admin(f"DROP DATABASE {self.database} WITH (FORCE)")
        self.admin(f"DROP OWNED BY {self.role}")
        self.admin(f"DROP ROLE {self.role}")


@pytest.fixture
def asked(server):
    found = Asked(server, f"poor{next(NUMBERS)}")
    try:
        yield found
    finally:
        found.drop()


def test_a_backup_needs_createdb_and_every_table(asked):
    assert asked.names_of_lacks("logical") == ["CREATEDB", "SELECT on inner_part.orders and 2 more"]
    asked.admin(f"GRANT USAGE ON SCHEMA inner_part TO {asked.role}; GRANT SELECT ON ALL TABLES IN SCHEMA inner_part, public TO {asked.role}", asked.database)
    assert asked.names_of_lacks("logical") == ["CREATEDB", "SELECT on inner_part.orders_id_seq"]


def test_row_security_hides_what_a_dump_needs(asked):
    asked.admin(f"ALTER ROLE {asked.role} CREATEDB; GRANT pg_read_all_data TO {asked.role}")
    assert asked.lacks("logical") == []
    asked.admin("ALTER TABLE public.plain ENABLE ROW LEVEL SECURITY", asked.database)
    assert [(lack.privilege, lack.grant) for lack in asked.lacks("logical")] == [
        ("BYPASSRLS for public.plain with row security", f'ALTER ROLE "{asked.role}" BYPASSRLS')]


def test_a_database_that_cannot_be_entered_is_named(asked):
    asked.admin(f"REVOKE CONNECT ON DATABASE {asked.database} FROM PUBLIC")
    assert ("CONNECT", asked.database) in [(lack.privilege, lack.database) for lack in asked.lacks("migrations")]


def test_the_ledger_needs_create_or_its_owner(asked):
    assert asked.names_of_lacks("migrations") == ["CREATE, for the ledger's schema"]
    asked.admin("CREATE SCHEMA alwayson", asked.database)
    assert asked.names_of_lacks("migrations") == ["ownership of the ledger, which postgres has"]
    asked.admin(f"ALTER SCHEMA alwayson OWNER TO {asked.role}", asked.database)
    assert asked.lacks("migrations") == []


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_sql_that_is_named_grants_all_that_is_lacking(asked, purpose):
    assert asked.grant_all_that_is_named(purpose) > 0
    assert asked.lacks(purpose) == []


def test_a_superuser_lacks_nothing(asked):
    asked.admin(f"ALTER ROLE {asked.role} SUPERUSER")
    assert asked.lacks(*PURPOSES) == []
