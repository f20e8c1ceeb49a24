#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_info
short_description: Return a database server's version, role, replicas and databases
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Returns the server's version and role, its replicas, and for each database its size, the number of its tables and its migration ledger.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
  - alwayson.upgrade.database
options:
  databases:
    description:
      - The databases to describe. Each must exist. With O(engine=sqlite), the absolute paths of their files.
      - When empty, every database that accepts connections, except the server's own. Names are required with O(engine=sqlite).
    type: list
    elements: str
    default: []
  tenants_query:
    description: An SQL query that returns the tenants in a database, one per row. It is run in each database. Qualify names outside of V(public).
    type: str
    version_added: 0.3.0
  purposes:
    description:
      - The purposes for which the login role is used. RV(missing_privileges) lists the privileges that it lacks for them.
      - V(logical) and V(physical) are the methods of M(alwayson.upgrade.database_backup), V(migrations) is M(alwayson.upgrade.database_migration), V(standbys)
        is reading the lag of replicas, and V(switchover) is M(alwayson.upgrade.database_switchover).
      - Used with O(engine=postgresql) only.
    type: list
    elements: str
    choices: [logical, physical, migrations, standbys, switchover]
    default: []
    version_added: 0.3.0
seealso:
  - module: alwayson.upgrade.database_backup
  - module: alwayson.upgrade.database_migration
"""

EXAMPLES = r"""
- name: Read the server and all its databases
  alwayson.upgrade.database_info:
    login_host: 127.0.0.1
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
  register: databases

- name: Stop when there is no replica
  ansible.builtin.assert:
    that: databases.replicas | selectattr('state', 'equalto', 'streaming') | length > 0
    fail_msg: No standby streams from this server. Repair that first.
"""

RETURN = r"""
missing_privileges:
  description:
    - The privileges that the login role lacks for O(purposes). C(database) is V(null) for a privilege on the whole server.
    - C(grant) is the SQL statement with which a superuser grants the privilege in that database.
  returned: success
  type: list
  elements: dict
  sample:
    - purpose: logical
      privilege: CREATEDB
      database: null
      role: upgrade
      grant: ALTER ROLE "upgrade" CREATEDB
version:
  description: Version of the server, or of SQLite's library on the host.
  returned: success
  type: str
  sample: "18.1"
version_number:
  description: The version as a number.
  returned: success
  type: int
  sample: 180001
system_identifier:
  description: The identifier of the server's data. A standby of PostgreSQL has the identifier of its primary. V(sqlite) with O(engine=sqlite).
  returned: success
  type: str
  sample: "7578237019120937433"
primary:
  description: Whether the server takes writes. A standby does not.
  returned: success
  type: bool
  sample: true
read_only:
  description: Whether transactions are read only by default, as on a primary that M(alwayson.upgrade.database_switchover) has replaced.
  returned: success
  type: bool
  sample: false
replicas:
  description:
    - The replicas that stream from the server. A lag is V(null) when the server does not know it or does not show it to this role.
    - A role needs the rights of C(pg_monitor) to see more than the names.
    - C(kind) is V(standby), or V(receiver) for C(pg_receivewal), which writes the WAL to files and replays nothing. The lag of a receiver is the WAL
      that is not on its disk. Clients cannot connect to it.
  returned: success
  type: list
  elements: dict
  sample:
    - name: standby1
      address: 192.0.2.12
      state: streaming
      sync_state: async
      lag_bytes: 0
      lag_seconds: 0.002
      kind: standby
databases:
  description:
    - For each database, the size in bytes, the number of tables, and the rows of the ledger in the order in which they were applied.
    - A step of more than one transaction has the status V(begun) until it is applied. A batch step has its C(progress), and a failed step its
      C(error).
    - The time of a migration is in epoch seconds.
    - C(tenants) are the answers to O(tenants_query), V(null) without it. P(alwayson.upgrade.tenants_affected#filter) makes a list of them.
  returned: success
  type: dict
  sample:
    tenant_a:
      size_bytes: 8004067
      tables: 3
      tenants: [acme, globex]
      migrations:
        - release: 2.0.0
          phase: expand
          step: 001_order_currency
          status: applied
          checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
          applied: 1798761600.0
          progress: null
          error: null
          kind: transaction
"""

from typing import Any

from ..module_utils import _database_engines as engines
from ..module_utils._database.errors import DatabaseError
from ..module_utils._database.interface import PURPOSES
from ..module_utils._host.ansible_module import AnsibleModule

ARGUMENTS = {
    **engines.ARGUMENTS, "databases": {"type": "list", "elements": "str", "default": []}, "tenants_query": {"type": "str"},
    "purposes": {"type": "list", "elements": "str", "default": [], "choices": list(PURPOSES)},
}
RULES: dict[str, Any] = {"mutually_exclusive": engines.LOGIN_EXCLUSIVE}
ERRORS = (DatabaseError,)


def answer(options: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """The server and its databases, see RETURN; raises DatabaseError."""
    with engines.of({**options, "is_brief": True}).opened() as server:
        chosen = server.choose_databases(options["databases"])
        lacking = server.missing_privileges(options["purposes"], chosen)
        if any(lack.privilege == "CONNECT" for lack in lacking):
            raise DatabaseError("; ".join(f"the role has no CONNECT on {lack.database}: {lack.grant}" for lack in lacking if lack.privilege == "CONNECT"))
        databases = {name: server.describe(name, options["tenants_query"]) for name in chosen}
        return {"changed": False, **server.identity(), "read_only": server.is_read_only(), "replicas": server.replicas(), "databases": databases,
                "missing_privileges": [lack._asdict() for lack in lacking]}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, **RULES)
    try:
        result = answer(module.params, module.check_mode)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
