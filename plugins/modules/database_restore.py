#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore
short_description: Restore a PostgreSQL server or its databases on another host from the newest proven backup
version_added: 0.3.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Finds the newest backup of a server that M(alwayson.upgrade.database_backup) made, and checks that it is complete, of the right server, and not too old.
  - With O(method=physical), copies the backup into an empty data directory, verifies every file there with C(pg_verifybackup), and resets settings that would
    be harmful on another host. It then starts the server, which recovers to the end of the WAL in the backup on a new timeline, waits until it takes writes,
    and compares its databases with the backup's manifest.
  - With O(method=logical), restores each database that the server does not have under a temporary name, compares it with the backup's manifest, and then
    renames it.
  - Nothing is overwritten. The data directory must be empty, and the databases must not exist.
  - Nothing is changed when the server in O(data_directory) was restored by this module and takes writes, or when all databases exist.
  - After a run was killed, the next one recognises what it left, and removes it or continues with it.
extends_documentation_fragment:
  - alwayson.upgrade.postgresql
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Finds the backup, verifies its checksums, checks everything that could prevent the restore, returns the backup, and changes nothing.
  diff_mode:
    support: none
    description: A restore only creates new data, so there is no text to compare.
options:
  directory:
    description:
      - Absolute path of the folder of the backups, on the host that the module runs on. It may be read only.
    type: path
    required: true
  method:
    description:
      - V(physical) restores a whole server from a backup that C(database_backup) made with C(method=physical).
      - V(logical) restores databases from their dumps on a running server. A dump contains no roles, so create them first.
    type: str
    choices: [physical, logical]
    default: physical
  system_identifier:
    description: The system identifier of the server to restore, as returned by M(alwayson.upgrade.database_info). Required when O(directory) has backups of
      several servers.
    type: str
  backup:
    description: The file name of a backup in O(directory) to restore instead of the newest one. With O(method=logical), also give one name in O(databases).
    type: str
  max_age:
    description: A backup that is older than this many seconds is refused. V(0) accepts any age.
    type: int
    default: 0
  bin_dir:
    description: Folder of PostgreSQL's programs. By default, those on C(PATH) or in C(/usr/lib/postgresql/*/bin) or C(/usr/pgsql-*/bin) are used. With
      O(method=physical) their version must be that of the server in the backup.
    type: path
  check_queries:
    description: SQL queries that are run in each restored database, as O(login_user). Each must return a single row that is true. Qualify names outside of
      V(public).
    type: list
    elements: str
    default: []
  parallel:
    description: How many databases are restored or compared at the same time.
    type: int
    default: 2
  data_directory:
    description: With O(method=physical), the folder that becomes the data directory. It must be absent or empty.
    type: path
  owner:
    description: With O(method=physical), the user of this host who owns the data directory when the module runs as root.
    type: str
    default: postgres
  start_command:
    description: With O(method=physical), the command that starts the server, as a list of words. It must return when the server has been started.
    type: list
    elements: str
  settings:
    description:
      - With O(method=physical), settings that must differ from those in the backup, such as C(port), C(listen_addresses) or C(shared_buffers). They are
        written to C(postgresql.auto.conf), like those of C(ALTER SYSTEM).
      - The settings for archiving, for synchronous standbys and for the connection to a primary, and C(default_transaction_read_only), are reset unless they
        are given here. Recovery settings are always reset and cannot be given.
    type: dict
    default: {}
  compare:
    description:
      - With O(method=physical), what is compared with the backup's manifest in each restored database. V(structure) is fast. V(rows) also counts the rows of
        every table. V(content) also computes the checksums of all tables, which takes about as long as reading all data.
      - The files are always verified by their checksums, and the timeline proves that the WAL was replayed to its end.
    type: str
    choices: [structure, rows, content]
    default: rows
  timeout:
    description: With O(method=physical), the seconds within which the server must take writes.
    type: float
    default: 600
  databases:
    description: With O(method=logical), the databases to restore. When empty, all databases that have backups.
    type: list
    elements: str
    default: []
  keep_owners:
    description: With O(method=logical), whether owners, privileges and publications are restored. The roles must exist.
      With V(false), O(login_user) owns all objects, and the settings of roles in the database are not restored. Subscriptions are never restored.
    type: bool
    default: true
notes:
  - With O(method=physical), run it as root or as O(owner), on the host of the new server. The login is a role of the restored server, which has the roles
    and passwords in the backup. The role needs the right to read every table.
  - When C(pg_hba.conf) and C(postgresql.conf) are outside of the data directory (Debian), they are not in the backup, and must exist on this host.
  - The restored server has the system identifier of the old one. The old server must not be started as it was.
  - With O(method=physical), unlogged tables are empty after the restore, and sequences may be ahead, so neither is compared.
seealso:
  - module: alwayson.upgrade.database_backup
  - module: alwayson.upgrade.database_switchover
"""

EXAMPLES = r"""
- name: Restore the server on this host
  alwayson.upgrade.database_restore:
    directory: /var/backups/alwayson
    data_directory: /var/lib/postgresql/15/main
    start_command: [systemctl, start, postgresql@15-main]
    login_unix_socket: /run/postgresql
    max_age: 86400
    check_queries:
      - SELECT count(*) > 0 FROM pg_class
  become: true
  register: restored

- name: Restore the databases that this server does not have, two at a time
  alwayson.upgrade.database_restore:
    method: logical
    directory: /var/backups/alwayson
    login_unix_socket: /run/postgresql
    parallel: 2
  become: true
  become_user: postgres
"""

RETURN = r"""
backup:
  description: With O(method=physical), the restored backup. In check mode, the backup that would be restored. V(null) with O(method=logical).
  returned: success
  type: str
  sample: /var/backups/alwayson/cluster-20270101T000000.000Z.base
databases:
  description:
    - The result for each database. With O(method=physical), C(exact) is V(true) when no transaction that may have changed the database ended between the WAL
      position that the manifest describes and the end of the WAL. The database must then equal the manifest, or the module fails. Otherwise
      C(later_transactions) is the number of these transactions, the restored database contains them, and C(differences) lists what they changed.
    - With O(method=logical), C(restored), C(failed), C(why) and the backup. The content always equals the manifest. In check mode, C(restored) is whether the
      database would be restored.
    - C(tables) and C(rows) are those of the manifest. In check mode with O(method=physical), only these are returned.
  returned: always
  type: dict
  sample:
    tenant_a:
      exact: true
      later_transactions: 0
      differences: []
      tables: 2
      rows: 550
data_of:
  description:
    - The time up to which the restored data is complete, in epoch seconds. Everything that was committed later is lost. With O(method=physical), it is the
      end of the last transaction in the WAL, by the old server's clock. With O(method=logical), it is the start of the oldest of the backups.
    - V(null) in check mode with O(method=physical), and when nothing was restored.
  returned: success
  type: float
  sample: 1798761600.5
lost_seconds:
  description: The seconds between RV(data_of) and the end of the restore. What was committed in this time is lost. V(null) when RV(data_of) is V(null).
  returned: success
  type: float
  sample: 3600.2
seconds:
  description: With O(method=physical), the seconds of each step. C(took_writes) is the recovery. With O(method=logical), the seconds of each database are in
    RV(databases).
  returned: success
  type: dict
  sample: {found: 0.1, copied: 0.4, verified: 0.6, started: 0.1, took_writes: 0.5, compared: 0.2}
size_bytes:
  description: The size of the restored backups.
  returned: success
  type: int
  sample: 322961408
system_identifier:
  description: With O(method=physical), the system identifier of the server.
  returned: success
  type: str
  sample: "7578237019120937433"
timeline:
  description: With O(method=physical), the timeline of the restored server.
  returned: success
  type: int
  sample: 2
dropped:
  description: With O(method=logical), partly restored databases of a killed run that were dropped.
  returned: success
  type: list
  elements: str
  sample: []
"""

import signal
import time
from typing import Any

from ..module_utils._database.backup.record import BackupError
from ..module_utils._database.backup.restore import Wanted
from ..module_utils._database.backup.run import FAILURES
from ..module_utils._database.backup.store import Store
from ..module_utils._database.content import DEPTHS
from ..module_utils._database.interface import LOGIN_EXCLUSIVE
from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import HANGING_UP, unwind_when_ended
from ..module_utils._host.small_files import SmallFileError
from ..module_utils._locking import fence
from ..module_utils._postgresql.backup import restore_settings as settings
from ..module_utils._postgresql.backup.logical import Logical
from ..module_utils._postgresql.backup.physical import Physical
from ..module_utils._postgresql.backup.restore_logical import LogicalRestore
from ..module_utils._postgresql.backup.restore_physical import PhysicalRestore
from ..module_utils._postgresql.backup.restore_target import Place
from ..module_utils._postgresql.scratch_server import Account
from ..module_utils._postgresql.session import LOGIN_ARGUMENTS, Login

ARGUMENTS = {
    "directory": {"type": "path", "required": True},
    "method": {"type": "str", "choices": ["physical", "logical"], "default": "physical"},
    "system_identifier": {"type": "str"},
    "backup": {"type": "str"},
    "max_age": {"type": "int", "default": 0},
    "bin_dir": {"type": "path"},
    "check_queries": {"type": "list", "elements": "str", "default": []},
    "parallel": {"type": "int", "default": 2},
    "data_directory": {"type": "path"},
    "owner": {"type": "str", "default": "postgres"},
    "start_command": {"type": "list", "elements": "str"},
    "settings": {"type": "dict", "default": {}},
    "compare": {"type": "str", "choices": list(DEPTHS), "default": "rows"},
    "timeout": {"type": "float", "default": 600},
    "databases": {"type": "list", "elements": "str", "default": []},
    "keep_owners": {"type": "bool", "default": True},
}
STOPPING_SIGNALS = (*HANGING_UP, signal.SIGINT)


def stopped_by(number: signal.Signals) -> str:
    """The message when a signal ends the module: what is half done is removed, or continued by the next run."""
    return f"stopped by {number.name}; run this again"


def restore(module: AnsibleModule) -> dict[str, Any]:
    """Restore the requested backup, or check whether that is possible; returns the module's result."""
    options = module.params
    if options["max_age"] < 0 or options["parallel"] < 1 or options["timeout"] <= 0:
        raise BackupError("max_age must be 0 or more, parallel 1 or more, and timeout more than 0")
    result = physical(module) if options["method"] == "physical" else logical(module)
    lost = None if result["data_of"] is None else round(max(0.0, time.time() - result["data_of"]), 3)
    return {"dropped": [], "lost_seconds": lost, **result}


def physical(module: AnsibleModule) -> dict[str, Any]:
    """A whole server."""
    options = module.params
    task = PhysicalRestore(
        store=Store(options["directory"], Physical.suffix),
        wanted=wanted(options),
        place=Place(options["data_directory"], Account.for_servers(options["owner"], "owner")),
        login=Login.of(options),
        settings=settings.checked(options["settings"]),
        start_command=options["start_command"],
        bin_dir=options["bin_dir"],
        depth=options["compare"],
        check_queries=options["check_queries"],
        parallel=options["parallel"],
        timeout=options["timeout"],
    )
    result = task.survey() if module.check_mode else task.bring_back()
    for warning in task.warnings:
        module.warn(warning)
    return result


def logical(module: AnsibleModule) -> dict[str, Any]:
    """Databases on a server that runs."""
    options = module.params
    if options["backup"] and len(options["databases"]) != 1:
        raise BackupError("backup is of one database: give its name, and no other, as databases")
    task = LogicalRestore(
        store=Store(options["directory"], Logical.suffix),
        wanted=wanted(options),
        login=Login.of(options),
        bin_dir=options["bin_dir"],
        keeps_owners=options["keep_owners"],
        check_queries=options["check_queries"],
        parallel=options["parallel"],
    )
    return task.survey(options["databases"]) if module.check_mode else task.bring_back(options["databases"])


def wanted(options: dict[str, Any]) -> Wanted:
    """The requested backup."""
    return Wanted(options["system_identifier"], options["backup"], options["max_age"])


def failure(result: dict[str, Any]) -> str:
    """Which databases were not restored and why, and how it stands with the others; empty when all are there."""
    failed = [f"{name}: {row['why']}" for name, row in result["databases"].items() if row.get("failed")]
    if not failed:
        return ""
    done = [name for name, row in result["databases"].items() if row["restored"]]
    return f"not restored: {'; '.join(failed)}. Restored: {', '.join(done) or 'none'}. Remove the cause, then run this again"


def main() -> None:
    module = AnsibleModule(
        argument_spec={**LOGIN_ARGUMENTS, **fence.ARGUMENTS, **ARGUMENTS},
        mutually_exclusive=LOGIN_EXCLUSIVE,
        required_if=[("method", "physical", ("data_directory", "start_command"))],
        supports_check_mode=True,
    )
    unwind_when_ended(BackupError, STOPPING_SIGNALS, stopped_by)
    try:
        with fence.admitted(module.params["fence"], module.check_mode):
            result = restore(module)
    except (*FAILURES, SmallFileError, fence.FenceError) as error:
        module.fail_json(msg=str(error), databases={})
    message = failure(result)
    if message:
        module.fail_json(msg=message, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
