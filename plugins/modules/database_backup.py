#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_backup
short_description: Back up databases of PostgreSQL, MariaDB or SQLite, and prove each backup by a restore
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - For each database, exports a snapshot, computes a checksum of every table in it, and dumps the same snapshot. Other sessions can read and write meanwhile.
  - Restores the dump into a scratch database on the same server, with the same settings as the original, and compares the structure, the number of rows and
    the content of every table, large objects, and the sequences. Objects that would act by themselves, such as event triggers, are not restored. The scratch
    database is always dropped at the end. If a run is killed, the next run drops it. C(docs/database_backups.md) lists what is compared and what is not.
  - With O(engine=mariadb), commits are blocked for a moment while the dump and the session that reads the content begin, and every table must be an InnoDB
    table. The backup contains events, but the proof does not restore them, because the server would run them. The backup also contains the history of
    system-versioned tables. A database whose C(FLOAT) columns hold more digits than a dump writes is refused.
  - With O(engine=sqlite), the database is copied by SQLite's backup interface. The copy is a database, and the proof reads it in place. In journal modes
    other than WAL, writers wait meanwhile.
  - O(directory) contains only proven backups. Each is a file C(<database>-<time>.dump) (C(.sql.gz) for MariaDB, C(.sqlite) for SQLite), or with
    O(method=physical) a folder C(cluster-<time>.base). Beside it are checksums, in the format of C(sha256sum), and a manifest in JSON with the server's
    identity, the time, the structure, and the number of rows and the checksum of each table.
  - The module fails when a database has no proven backup, and names each such database. The other databases are backed up nevertheless.
  - Before it writes, it checks that the disk has enough space, and fails otherwise.
extends_documentation_fragment:
  - alwayson.upgrade.database
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Checks the login, the names, the programs and the folder like a real run, and writes nothing.
  diff_mode:
    support: none
    description: A backup adds files. There is no text to compare.
options:
  databases:
    description:
      - The databases to back up. Each must exist. With O(engine=sqlite), the absolute paths of their files.
      - When empty, every database that accepts connections, except the server's own (templates, V(postgres), V(mysql)). Names are required with
        O(engine=sqlite).
    type: list
    elements: str
    default: []
  directory:
    description:
      - Absolute path of the folder for the backups, on the host that the module runs on.
      - It is created with access for its owner only, and must not be accessible to others. One run at a time writes into it.
    type: path
    required: true
  bin_dir:
    description:
      - Folder of C(pg_dump) and C(pg_restore). They must not be older than the server.
      - With O(method=physical), the folder of the programs of a server of the same version.
      - With O(engine=mariadb), the folder of C(mariadb-dump) and C(mariadb).
      - By default, the programs on C(PATH) are used. For PostgreSQL, those in C(/usr/lib/postgresql/*/bin) and C(/usr/pgsql-*/bin) are used as well, and
        those of the server's version are preferred.
    type: path
  keep:
    description:
      - The number of proven backups that are kept in O(directory), for each database, or with O(method=physical) for the server. Older ones are removed. V(0)
        keeps all.
      - The module removes only backups that it made of the same server, and only after a newer one was proven.
    type: int
    default: 5
  parallel:
    description: With O(method=logical), how many databases are backed up at the same time. Each one needs two sessions, and one or two processors.
    type: int
    default: 1
  method:
    description:
      - V(logical) dumps each database in a snapshot and restores the dump into a scratch database on the same server. MariaDB and SQLite have only this method.
      - V(physical) copies the whole server and its WAL with C(pg_basebackup), and verifies every file with C(pg_verifybackup). It then restores the copy in a
        scratch server on this host, which accepts connections only on a socket in a private folder, and runs C(pg_amcheck) if it is installed. It compares
        every table with a snapshot that was taken after the copy, at the WAL position that corresponds to the snapshot. Unlogged tables are empty after a
        restore, and sequences may be ahead, so neither is compared. Of C(shared_preload_libraries), the scratch server loads only C(timescaledb), without its
        workers. It applies no subscriptions.
      - V(physical) needs data checksums, a server without additional tablespaces, and a login role with C(REPLICATION) and
        C(pg_monitor) that C(pg_hba.conf) allows for replication. It writes a few bytes into the server's WAL, as a logical decoding message. It uses a
        temporary replication slot, if one is free, until the WAL of the copy is fetched.
    type: str
    choices: [logical, physical]
    default: logical
    version_added: 0.3.0
  max_rate:
    description: With O(method=physical), the highest number of kilobytes per second that are read from the server, at least 32. With a limit, the checkpoint
      before the copy is spread over minutes. V(0) sets no limit.
    type: int
    default: 0
    version_added: 0.3.0
  scratch_directory:
    description:
      - With O(method=physical), absolute path of the folder in which the copy is restored. O(scratch_user) must be able to enter it.
      - By default, the path of O(directory) with the suffix C(.scratch).
    type: path
    version_added: 0.3.0
  scratch_user:
    description: With O(method=physical), the user of this host that runs the scratch server when the module runs as root. Otherwise the user of the module
      runs it.
    type: str
    default: postgres
    version_added: 0.3.0
  check_queries:
    description:
      - SQL queries that are run in each restored copy, as O(login_user). Each must return a single row that is true (V(1) in MariaDB and SQLite).
        They are part of the proof.
      - A session with a copy does not have the settings that C(ALTER DATABASE) gave the original, so qualify names outside of V(public).
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  max_age:
    description: With O(state=verified), a backup that is older than this many seconds is refused. V(0) accepts any age.
    type: int
    default: 0
    version_added: 0.3.0
  state:
    description:
      - V(proven) takes a new backup of each database and proves it.
      - V(verified) takes no backup. It proves the newest backup of each database in O(directory) again. The checksums of the backup and of its manifest must
        be right, the backup must be of this server and this database, and a restored copy must have the content that the manifest describes. Nothing is
        removed.
    type: str
    choices: [proven, verified]
    default: proven
notes:
  - In PostgreSQL the login role needs the right to read every table, and C(CREATEDB) for the scratch database. Roles with C(pg_monitor) also see the
    free space on the server's disk. The disk must have space for a copy of the largest database and its WAL.
  - The login role must be able to create the databases' extensions, because a restore creates them.
  - In MariaDB the login role needs all privileges on the databases and on those whose names begin with C(alwayson_proof_), and C(PROCESS), C(RELOAD) and
    C(SET USER).
  - In check mode there is no proof, so RV(backups) has no paths.
seealso:
  - module: alwayson.upgrade.database_info
  - module: alwayson.upgrade.fleet_lock
  - module: alwayson.upgrade.database_migration
"""

EXAMPLES = r"""
- name: Back up every database of this server, and prove it
  alwayson.upgrade.database_backup:
    login_host: 127.0.0.1
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    directory: /var/backups/alwayson
  register: backup

- name: Back up two tenants at the same time, and keep the last ten backups
  alwayson.upgrade.database_backup:
    login_unix_socket: /run/postgresql
    databases:
      - tenant_a
      - tenant_b
    directory: /var/backups/alwayson
    parallel: 2
    keep: 10
  become: true
  become_user: postgres

- name: Copy a large server at 50 MB a second, and prove the copy
  alwayson.upgrade.database_backup:
    login_unix_socket: /run/postgresql
    directory: /var/backups/alwayson
    method: physical
    max_rate: 51200
    keep: 2
  become: true
  become_user: postgres

- name: Back up all databases of a MariaDB server
  alwayson.upgrade.database_backup:
    engine: mariadb
    login_unix_socket: /run/mysqld/mysqld.sock
    login_user: root
    directory: /var/backups/alwayson
  become: true

- name: Back up an application's own database
  alwayson.upgrade.database_backup:
    engine: sqlite
    databases:
      - /srv/shop/shop.db
    directory: /srv/shop/backups
  become: true
  become_user: shop

- name: Prove last night's backups again, and that they contain orders
  alwayson.upgrade.database_backup:
    login_unix_socket: /run/postgresql
    directory: /var/backups/alwayson
    state: verified
    max_age: 86400
    check_queries:
      - SELECT count(*) > 0 FROM orders
  become: true
  become_user: postgres
"""

RETURN = r"""
backups:
  description:
    - The backup of each database and its proof. Returned on failure, too.
    - Times are in epoch seconds. C(seconds_dump) includes reading the original's content, C(seconds_restore) the comparison.
    - With O(method=physical), C(path), C(sha256), C(size_bytes) and the times are those of the one copy that holds all databases.
    - C(why) describes what was proven. When C(proven) is false, it is the reason, and all figures are V(null). C(removed) are the older backups that were
      removed.
  returned: always
  type: dict
  sample:
    tenant_a:
      proven: true
      why: a restored copy has the same structure, and in every table the same rows and the same content (owners, privileges, publications, subscriptions
        and event triggers are in the backup, and were not restored)
      path: /var/backups/alwayson/tenant_a-20270101T000000.000Z.dump
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      size_bytes: 48211
      tables: 2
      rows: 2200
      taken: 1798761600.0
      seconds_dump: 0.31
      seconds_restore: 0.54
      removed: []
created_meanwhile:
  description: When O(databases) is empty, the databases that were created while the others were backed up. They have no backup, and the module fails.
  returned: always
  type: list
  elements: str
  sample: []
  version_added: 0.3.0
dropped:
  description: Scratch databases of killed runs that were dropped.
  returned: always
  type: list
  elements: str
  sample: []
directory:
  description: The folder of the backups.
  returned: always
  type: str
  sample: /var/backups/alwayson
"""

import signal
from typing import Any

from ..module_utils import _database_engines as engines
from ..module_utils._database.backup.record import BackupError
from ..module_utils._database.backup.run import FAILURES, BackupRun, unproven
from ..module_utils._database.backup.store import Store
from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import HANGING_UP, unwind_when_ended
from ..module_utils._locking import fence

ARGUMENTS = {
    "databases": {"type": "list", "elements": "str", "default": []},
    "directory": {"type": "path", "required": True},
    "bin_dir": {"type": "path"},
    "keep": {"type": "int", "default": 5},
    "parallel": {"type": "int", "default": 1},
    "check_queries": {"type": "list", "elements": "str", "default": []},
    "max_age": {"type": "int", "default": 0},
    "state": {"type": "str", "default": "proven", "choices": ["proven", "verified"]},
    "method": {"type": "str", "default": "logical", "choices": ["logical", "physical"]},
    "max_rate": {"type": "int", "default": 0},
    "scratch_user": {"type": "str", "default": "postgres"},
    "scratch_directory": {"type": "path"},
}
STOPPING_SIGNALS = (*HANGING_UP, signal.SIGINT)


def stopped_by(number: signal.Signals) -> str:
    """What is said of a signal that ended the module: scratch databases and partial files are cleared up."""
    return f"stopped by {number.name}; nothing half done is left, run this again"


def check(module: AnsibleModule, engine: engines.Engine) -> tuple[BackupRun, list[str]]:
    """All that can be checked without a change: the run that is ready to begin, and its databases."""
    options = module.params
    if options["keep"] < 0 or options["parallel"] < 1 or options["max_age"] < 0:
        raise BackupError("keep and max_age must be 0 or more, and parallel 1 or more")
    with engine.opened() as server:
        identity = server.identity()
        databases = server.choose_databases(options["databases"])
        if not databases:
            raise BackupError("the server has no database to back up: look at login_host and login_port")
        method = server.method(options)
    store = Store(options["directory"], method.suffix)
    store.inspect()
    return BackupRun(method, identity, store), databases


def prove(module: AnsibleModule, engine: engines.Engine) -> dict[str, Any]:
    """Back up and prove, or prove what is there; the module's result."""
    options = module.params
    verifies = options["state"] == "verified"
    run, databases = check(module, engine)
    result: dict[str, Any] = {"directory": run.store.directory, "dropped": [], "created_meanwhile": [], "changed": not verifies}
    if module.check_mode:
        return {**result, "backups": {database: unproven("not restored: this is check mode") for database in databases}}
    run.store.prepare()
    with run.store.exclusive(clear_up=not verifies):
        with engine.opened() as server:
            result["dropped"], stay = server.drop_left_behind()
        for sentence in (*stay, *run.store.left):
            module.warn(sentence)
        if verifies:
            result["backups"] = run.verify_all(databases, options["max_age"], options["parallel"])
        else:
            result["backups"] = run.back_up_all(databases, options["keep"], options["parallel"])
    if not options["databases"]:
        with engine.opened() as server:
            result["created_meanwhile"] = [name for name in server.user_databases() if name not in databases]
    result["changed"] = bool(result["dropped"]) or (not verifies and any(backup["proven"] for backup in result["backups"].values()))
    return result


def failure(result: dict[str, Any]) -> str:
    """Which databases have no proven backup and why, and how it stands with the others; empty when all have one."""
    backups = result["backups"]
    failed = [f"{database}: {backup['why']}" for database, backup in backups.items() if not backup["proven"]]
    failed += [f"{database}: it was created while the others were backed up" for database in result["created_meanwhile"]]
    if not failed:
        return ""
    proven = [database for database, backup in backups.items() if backup["proven"]]
    return f"no proven backup of {'; '.join(failed)}. Proven: {', '.join(proven) or 'none'}. Remove the cause, then run this again"


def main() -> None:
    module = AnsibleModule(
        argument_spec={**engines.ARGUMENTS, **fence.ARGUMENTS, **ARGUMENTS}, mutually_exclusive=engines.LOGIN_EXCLUSIVE, supports_check_mode=True
    )
    unwind_when_ended(BackupError, STOPPING_SIGNALS, stopped_by)
    try:
        with fence.admitted(module.params["fence"], module.check_mode):
            result = prove(module, engines.of(module.params))
    except (*FAILURES, fence.FenceError) as error:
        module.fail_json(msg=str(error), backups={}, dropped=[], created_meanwhile=[], directory=module.params["directory"])
    message = "" if module.check_mode else failure(result)
    if message:
        module.fail_json(msg=message, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
