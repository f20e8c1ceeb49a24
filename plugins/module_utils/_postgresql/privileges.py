# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the login role lacks of the privileges that a run needs, each with the SQL that grants it. docs/database_role.md has the whole role.

Asked of the server by its own functions, so that a privilege by membership, by ownership or by a grant counts alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Callable, NamedTuple

from .._database.interface import LOGICAL, MIGRATIONS, PHYSICAL, STANDBYS, SWITCHOVER
from .session import Connection, identifier

ALTER_SYSTEM_IS_GRANTED = CHECKPOINT_IS_GRANTED = 150000
READS_ALL_DATA = 140000
ROLE = "SELECT rolname, rolsuper, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = current_user"
# Those of extensions are recreated by their extensions.
OWN = """
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
    SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
UNREADABLE = f"""
SELECT min(format('%I.%I', n.nspname, c.relname)), count(*) {OWN} AND c.relkind IN ('r', 'p', 'm', 'S') AND NOT (
    has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END)
"""
# pg_dump refuses to dump what row security may hide; of the owner that is so only where it is forced.
HIDDEN = f"""
SELECT min(format('%I.%I', n.nspname, c.relname)), count(*) {OWN} AND c.relkind IN ('r', 'p') AND c.relrowsecurity
    AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
"""
LEDGER = "SELECT pg_has_role(nspowner, 'USAGE'), pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'alwayson'"
FUNCTIONS = ("pg_promote(boolean, integer)", "pg_reload_conf()")
PARAMETERS = ("default_transaction_read_only", "synchronous_standby_names")


class Lack(NamedTuple):
    """A privilege that the role has not. `database` is None for one of the server as a whole; `grant` is run there by a superuser or the owner."""

    purpose: str
    privilege: str
    database: str | None
    grant: str
    role: str = ""


def missing_privileges(
    server: Connection, purposes: Sequence[str], databases: Sequence[str], open_session: Callable[[str], AbstractContextManager[Connection]]
) -> list[Lack]:
    """What the role of the session lacks for these purposes, in these databases."""
    name, is_superuser, *attributes = server.rows(ROLE)[0]
    if is_superuser:
        return []
    role = identifier(name)
    found = [lack for purpose in dict.fromkeys(purposes) for lack in _of_the_server(server, purpose, role, *attributes[:2])]
    for database in databases:
        if not server.value("SELECT has_database_privilege(%s, 'CONNECT')", (database,)):
            found.append(Lack(purposes[0], "CONNECT", database, f"GRANT CONNECT ON DATABASE {identifier(database)} TO {role}"))
        elif {LOGICAL, PHYSICAL, MIGRATIONS} & set(purposes):
            with open_session(database) as session:
                found += [lack for purpose in dict.fromkeys(purposes) for lack in _of_a_database(session, purpose, role, bypasses=attributes[2])]
    return [lack._replace(role=name) for lack in found]


def _of_the_server(server: Connection, purpose: str, role: str, creates: bool, replicates: bool) -> Iterator[Lack]:
    if purpose == LOGICAL and not creates:
        yield Lack(purpose, "CREATEDB", None, f"ALTER ROLE {role} CREATEDB")
    if purpose == PHYSICAL and not replicates:
        yield Lack(purpose, "REPLICATION", None, f"ALTER ROLE {role} REPLICATION")
    groups = {PHYSICAL: ("pg_monitor",), STANDBYS: ("pg_monitor",), SWITCHOVER: ("pg_monitor", "pg_signal_backend", "pg_checkpoint")}.get(purpose, ())
    for group in groups:
        if server.server_version < CHECKPOINT_IS_GRANTED and group == "pg_checkpoint":
            yield Lack(purpose, "SUPERUSER (to run CHECKPOINT before PostgreSQL 15)", None, f"ALTER ROLE {role} SUPERUSER")
        elif not server.value("SELECT pg_has_role(%s, 'USAGE')", (group,)):
            yield Lack(purpose, group, None, f"GRANT {group} TO {role}")
    if purpose == SWITCHOVER:
        yield from _for_a_switchover(server, role)


def _for_a_switchover(server: Connection, role: str) -> Iterator[Lack]:
    for function in FUNCTIONS:
        if not server.value("SELECT has_function_privilege(%s, 'EXECUTE')", (function,)):
            yield Lack(SWITCHOVER, f"EXECUTE on {function}", None, f"GRANT EXECUTE ON FUNCTION {function} TO {role}")
    for parameter in PARAMETERS if server.server_version >= ALTER_SYSTEM_IS_GRANTED else ():
        if not server.value("SELECT has_parameter_privilege(%s, 'ALTER SYSTEM')", (parameter,)):
            yield Lack(SWITCHOVER, f"ALTER SYSTEM on {parameter}", None, f"GRANT ALTER SYSTEM ON PARAMETER {parameter} TO {role}")


def _of_a_database(session: Connection, purpose: str, role: str, bypasses: bool) -> Iterator[Lack]:
    database = session.database
    if purpose in (LOGICAL, PHYSICAL):
        example, number = session.rows(UNREADABLE)[0]
        if number:
            grant = (f"GRANT pg_read_all_data TO {role}" if session.server_version >= READS_ALL_DATA
                     else f"GRANT USAGE ON SCHEMA ... TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA ... TO {role}; "
                          f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA ... TO {role}")
            yield Lack(purpose, f"SELECT on {_described(example, number)}", database, grant)
        example, number = (None, 0) if bypasses else session.rows(HIDDEN)[0]
        if number:
            yield Lack(purpose, f"BYPASSRLS for {_described(example, number)} with row security", database, f"ALTER ROLE {role} BYPASSRLS")
    if purpose == MIGRATIONS:
        ledger = session.rows(LEDGER)
        if ledger and not ledger[0][0]:
            yield Lack(purpose, f"ownership of the ledger, which {ledger[0][1]} has", database,
                       f"ALTER SCHEMA alwayson OWNER TO {role}; ALTER TABLE IF EXISTS alwayson.migration OWNER TO {role}")
        elif not ledger and not session.value("SELECT has_database_privilege(current_database(), 'CREATE')"):
            yield Lack(purpose, "CREATE, for the ledger's schema", database, f"GRANT CREATE ON DATABASE {identifier(database)} TO {role}")


def _described(example: str, number: int) -> str:
    return example if number == 1 else f"{example} and {number - 1} more"
