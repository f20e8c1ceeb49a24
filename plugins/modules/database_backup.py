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
  - For each database, exports a snapshot, sums up every table in it, and dumps the same snapshot. Other sessions keep reading and writing.
  - Restores the dump into a scratch database on the same server, made like the original, and compares the structure, the number of rows and the
    content of every table, large objects, and the sequences. The copy contains nothing that would act on its own. The scratch database is always dropped
    at the end. What a killed run left is dropped by the next one. C(docs/database_backups.md) says what is compared and what is not.
  - With O(engine=mariadb) commits are blocked for a moment, while the dump and the session that sums up begin, and every table must be of InnoDB. Events
    are in the backup, and are not restored for the proof, since the server would run them. The history of system-versioned tables is in it, too. A database
    whose C(FLOAT) columns hold more digits than a dump writes is refused. With O(engine=sqlite) the database is copied by SQLite's own
    backup interface. The copy is a database itself, and the proof reads it in place. In journal modes other than WAL, writers wait
    meanwhile.
  - A file C(<database>-<time>.dump) (C(.sql.gz) of MariaDB, C(.sqlite) of SQLite), or with O(method=physical) a folder C(cluster-<time>.base), is in
    O(directory) only if it was proven. Beside it are checksums, in the format of C(sha256sum), and a manifest in JSON with the server's identity, the
    time, the structure, and the rows and the sum of each table.
  - The module fails when any database has no proven backup, and names each one. The others are backed up nevertheless.
  - Before it writes, it checks that the disk has enough space, and refuses otherwise.
extends_documentation_fragment:
  - alwayson.upgrade.database
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Checks the login, the names, the programs and the folder as a real run does, and writes nothing.
  diff_mode:
    support: none
    description: A backup adds files. There is no text to compare.
options:
  databases:
    description:
      - The databases to back up. Each must exist. With O(engine=sqlite), the absolute paths of their files.
      - When empty, every database that takes sessions, and is not the server's own (templates, V(postgres), V(mysql)). With
        O(engine=sqlite) there must be names.
    type: list
    elements: str
    default: []
  directory:
    description:
      - Absolute path of the folder for the backups, on the host that the module runs on.
      - It is made for its owner alone, and must not be open to others. One run at a time writes into it.
    type: path
    required: true
  bin_dir:
    description:
      - Folder of C(pg_dump) and C(pg_restore). They must not be older than the server.
      - With O(method=physical), the folder of the programs that come with a server of the same version.
      - With O(engine=mariadb), the folder of C(mariadb-dump) and C(mariadb). Without it, those on C(PATH) are taken.
      - Without it, those on C(PATH) or in C(/usr/lib/postgresql/*/bin) or C(/usr/pgsql-*/bin) are taken, those of the server's own version first.
    type: path
  keep:
    description:
      - How many proven backups of each database, or with O(method=physical) of the server, stay in O(directory), the newest ones. V(0) keeps all.
      - Only backups that this module made of the same server are ever removed, and only after a newer one was proven.
    type: int
    default: 5
  parallel:
    description: With O(method=logical), how many databases are backed up at once. Each one takes two sessions, and a processor or two.
    type: int
    default: 1
  method:
    description:
      - V(logical), the one way for MariaDB and SQLite, dumps each database in a snapshot and restores the dump into a scratch database on the same server.
      - V(physical) copies the whole server and its log by C(pg_basebackup), verifies every file by C(pg_verifybackup), restores a copy of it in a scratch
        server on this host, which is reached by a socket in a private folder only, runs C(pg_amcheck) where it is installed, and compares every table
        with a snapshot that was taken after the copy, at the position of the log that equals the snapshot.
        Unlogged tables are empty after a restore, and sequences may be ahead, so neither is compared. The scratch server loads none of the
        libraries of C(shared_preload_libraries) but C(timescaledb), without its workers, and applies no subscriptions.
      - V(physical) needs data checksums, no tablespaces of the server's own, and a login role with C(REPLICATION) and
        C(pg_monitor) that C(pg_hba.conf) allows for replication. It writes a few bytes into the server's log, as a logical decoding message, and takes a
        temporary replication slot, if one is free, until the log behind the copy is fetched.
    type: str
    choices: [logical, physical]
    default: logical
    version_added: 0.3.0
  max_rate:
    description: With O(method=physical), how many kilobytes a second are read from the server at most, from 32 on. The checkpoint before
      is then spread over minutes. V(0) sets no limit.
    type: int
    default: 0
    version_added: 0.3.0
  scratch_directory:
    description:
      - With O(method=physical), absolute path of the folder in which a copy of the backup is restored. O(scratch_user) must be able to enter it.
      - Without it, the folder O(directory) with C(.scratch) behind its name.
    type: path
    version_added: 0.3.0
  scratch_user:
    description: With O(method=physical), the user of this host that the scratch server runs as when the module runs as root. Else it runs as the module does.
    type: str
    default: postgres
    version_added: 0.3.0
  check_queries:
    description:
      - Queries in SQL that each restored copy is asked, as O(login_user), and that must each answer with exactly one true (V(1) of MariaDB and SQLite).
        They are part of the proof.
      - A session with a copy has none of the settings that the original has by C(ALTER DATABASE), so names outside of V(public) are to be qualified.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  max_age:
    description: With O(state=verified), a backup that is older than so many seconds is refused. V(0) takes any age.
    type: int
    default: 0
    version_added: 0.3.0
  state:
    description:
      - V(proven) takes a new backup of each database and proves it.
      - V(verified) takes none. The newest backup of each database in O(directory) is proven once more. Its checksums and those of its manifest must be right,
        it must be of this server and this database, and a restored copy must hold what the manifest says. Nothing is removed.
    type: str
    choices: [proven, verified]
    default: proven
notes:
  - In PostgreSQL the login role needs the right to read every table, and C(CREATEDB) for the scratch database. Roles with C(pg_monitor) also see how much
    room is left on the server's disk. There must be room there for a copy of the largest database and its log.
  - Extensions must be such that the login role can create them, since a restore does so.
  - In MariaDB the login role needs every right on the databases and on those whose names begin with C(alwayson_proof_), and C(PROCESS), C(RELOAD) and
    C(SET USER).
  - In check mode there is no proof to show, so RV(backups) holds no paths.
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

- name: Two tenants at once, the last ten backups kept
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

- name: Prove last night's backups once more, and that there are orders in them
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
    - By database, what was backed up and how it was proven. Returned on failure too.
    - Times are in epoch seconds. C(seconds_dump) includes reading the original's content, C(seconds_restore) the comparison.
    - With O(method=physical), C(path), C(sha256), C(size_bytes) and the times are those of the one copy that holds all databases.
    - C(why) is what was proven, and the reason when C(proven) is false, and all figures are then V(null). C(removed) are older backups that are gone now.
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
  description: With empty O(databases), those that were created while the others were backed up. They have no backup, and the module fails.
  returned: always
  type: list
  elements: str
  sample: []
  version_added: 0.3.0
dropped:
  description: Scratch databases that killed runs had left on the server, and that are dropped now.
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
