#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_restore
short_description: Bring a PostgreSQL server or its databases back on other hardware, from the newest proven backup
version_added: 0.3.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Finds the newest backup that M(alwayson.upgrade.database_backup) kept of a server, and looks whether it is whole, of the right server, and young enough.
  - With O(method=physical), copies it into an empty data directory, verifies every file there by C(pg_verifybackup), takes away the settings that would harm,
    starts the server, has it recover to the end of the log in the backup on a timeline of its own, waits until it takes writes, and compares its databases
    with the backup's manifest.
  - With O(method=logical), restores each database that the server lacks under another name, compares it with the backup's manifest, and gives it its own
    name then.
  - Nothing is ever overwritten. A data directory must be empty, and a database must not exist.
  - Nothing is changed when the server in O(data_directory) was restored by this module and takes writes, or when all databases exist.
  - A run that was killed leaves nothing that the next one does not recognise, and clear or go on with.
extends_documentation_fragment:
  - alwayson.upgrade.postgresql
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Finds the backup, looks at its checksums and at all that could be in the way, says which backup it would take, and changes nothing.
  diff_mode:
    support: none
    description: A restore makes what was not there. There is no text to compare.
options:
  directory:
    description:
      - Absolute path of the folder of the backups, on the host that the module runs on. It may be read only.
    type: path
    required: true
  method:
    description:
      - V(physical) brings a whole server back from the copy that C(database_backup method=physical) made of it.
      - V(logical) brings databases back from their dumps, on a server that runs. Roles are not in a dump, so create them before.
    type: str
    choices: [physical, logical]
    default: physical
  system_identifier:
    description: What names the server that is to be brought back, as M(alwayson.upgrade.database_info) tells. It is needed where O(directory) has backups of
      several servers.
    type: str
  backup:
    description: The file name of a backup in O(directory) that is taken in place of the newest one. With O(method=logical), give one name in O(databases), too.
    type: str
  max_age:
    description: A backup that is older than so many seconds is refused. V(0) takes any age.
    type: int
    default: 0
  bin_dir:
    description: Folder of PostgreSQL's programs. Without it, those on C(PATH) or in C(/usr/lib/postgresql/*/bin) or C(/usr/pgsql-*/bin) are taken. With
      O(method=physical) they must be of the version of the server that was backed up.
    type: path
  check_queries:
    description: Queries in SQL that each restored database is asked, as O(login_user), and that must each answer with exactly one true. Names outside of
      V(public) are to be qualified.
    type: list
    elements: str
    default: []
  parallel:
    description: How many databases are restored, or compared, at once.
    type: int
    default: 2
  data_directory:
    description: With O(method=physical), the folder that becomes the data directory. It must be absent or empty.
    type: path
  owner:
    description: With O(method=physical), the user of this host whom the data directory is given to when the module runs as root.
    type: str
    default: postgres
  start_command:
    description: With O(method=physical), what starts the server, as a list of words. It must return once the server is on its way.
    type: list
    elements: str
  settings:
    description:
      - With O(method=physical), settings of the server that must be other than before, such as C(port), C(listen_addresses) or C(shared_buffers). They are
        written to C(postgresql.auto.conf), as C(ALTER SYSTEM) does.
      - Archiving, synchronous standbys, C(default_transaction_read_only) and all that is about a primary or a recovery are set to nothing unless they are
        given here. What is about the recovery cannot be given.
    type: dict
    default: {}
  compare:
    description:
      - With O(method=physical), how much of each restored database is compared with the backup's manifest. V(structure) is fast, V(rows) counts the rows of
        every table, and V(content) sums them up, which takes about as long as reading all.
      - That the files are those that were backed up is proven by their checksums before, and that the log was replayed to its end by the timeline.
    type: str
    choices: [structure, rows, content]
    default: rows
  timeout:
    description: With O(method=physical), seconds that the server may take until it takes writes.
    type: float
    default: 600
  databases:
    description: With O(method=logical), the databases to restore. When empty, all that there are backups of.
    type: list
    elements: str
    default: []
  keep_owners:
    description: With O(method=logical), whether objects get the owners, the rights and the publications that they had. Their roles must exist.
      With V(false), all belongs to O(login_user), and settings of roles in the database are left out. Subscriptions are never restored.
    type: bool
    default: true
notes:
  - With O(method=physical), run it as root or as O(owner), on the host that the server is to run on. The login is one of the restored server's, which has the
    previous roles and passwords. It needs the right to read every table.
  - Where C(pg_hba.conf) and C(postgresql.conf) are not in the data directory (Debian), they are this host's own, and must be there.
  - The new server has the system identifier of the old one. The old one must not come back as it was.
  - Unlogged tables come back empty, and sequences may come back ahead, so both are left out of the comparison with O(method=physical).
seealso:
  - module: alwayson.upgrade.database_backup
  - module: alwayson.upgrade.database_switchover
"""

EXAMPLES = r"""
- name: Bring the server back on this host
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

- name: Restore the databases that this server lacks, two at a time
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
  description: With O(method=physical), the backup that was taken. In check mode, the one that would be. V(null) with O(method=logical).
  returned: success
  type: str
  sample: /var/backups/alwayson/cluster-20270101T000000.000Z.base
databases:
  description:
    - By database, what was compared. With O(method=physical), C(exact) says that no transaction that may have changed the database ended between the moment
      of the log that the manifest describes and the end of the log. It must equal the manifest then, or the module fails. Where transactions did
      (C(later_transactions)), the restored database holds these as well, and C(differences) tells what they changed.
    - With O(method=logical), C(restored), C(failed), C(why), and of which backup it is. The content always equals the manifest exactly. In check mode,
      C(restored) says what would be.
    - C(tables) and C(rows) are those of the manifest. In check mode with O(method=physical), nothing else is known.
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
    - The time that the restored data is of, in epoch seconds. Everything that was committed later is lost. With O(method=physical), it is the end of the last
      transaction in the log, by the old server's clock. With O(method=logical), the beginning of the oldest of the backups.
    - V(null) in check mode with O(method=physical), and when nothing was restored.
  returned: success
  type: float
  sample: 1798761600.5
lost_seconds:
  description: How long before the end of the restore that was. What was committed within these seconds is lost. V(null) where RV(data_of) is.
  returned: success
  type: float
  sample: 3600.2
seconds:
  description: With O(method=physical), what each step took. C(took_writes) is the recovery. Those of each database are in RV(databases) with O(method=logical).
  returned: success
  type: dict
  sample: {found: 0.1, copied: 0.4, verified: 0.6, started: 0.1, took_writes: 0.5, compared: 0.2}
size_bytes:
  description: The size of the backups that were taken.
  returned: success
  type: int
  sample: 322961408
system_identifier:
  description: What names the server, with O(method=physical).
  returned: success
  type: str
  sample: "7578237019120937433"
timeline:
  description: The timeline that the restored server is on, with O(method=physical).
  returned: success
  type: int
  sample: 2
dropped:
  description: With O(method=logical), half-restored databases of a killed run that were dropped.
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
    """Bring back what is asked for, or see whether that could be done; the module's result."""
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
    """Which backup is asked for."""
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
