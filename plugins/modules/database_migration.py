#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_migration
short_description: Apply a release's schema changes to databases, each exactly once
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Applies the steps that a database does not have yet. A ledger in the same database, C(alwayson.migration), or C(alwayson_migration) in
    MariaDB and SQLite, records the applied steps. So each step is applied once, for any number of runs and controllers. After a run was killed, the next one
    continues.
  - >-
    By default, a step is one transaction, which also writes the row in the ledger. A comment at the top of the script selects another kind. With
    C(-- alwayson: batch) the step is one statement that is repeated until its query with the C(LIMIT) finds no row. Each batch is one transaction, which also
    writes the progress to the ledger. With C(-- alwayson: concurrently) the step is one C(CREATE INDEX CONCURRENTLY), C(DROP INDEX CONCURRENTLY) or C(REINDEX
    CONCURRENTLY).
  - With O(engine=mariadb), the server commits each schema change, so a step with a schema change has no other statement. After a kill, the ledger shows that
    the step was begun, and the catalog shows whether the change was made. With O(engine=sqlite), a step is one transaction. Neither engine has the directive
    C(concurrently).
  - A step does not block other sessions for long. It first looks for long transactions that hold the lock. Then it waits for the lock for O(lock_timeout_ms),
    cancels its statement, and retries. After O(attempts) it fails, and names the transactions that hold the lock.
  - All ledgers are read before anything is applied. The module refuses a step that was changed after it was applied, a phase whose earlier phases are not
    applied, and dangerous statements.
  - The databases are migrated in their order. After a failure no further database is begun, and the error gives the state of each database.
extends_documentation_fragment:
  - alwayson.upgrade.database
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Reads the ledgers and returns what would be applied.
  diff_mode:
    support: full
    description: Shows the steps that are applied, or would be applied, for each database.
options:
  databases:
    description:
      - The databases to migrate. Each must exist. With O(engine=sqlite), the absolute paths of their files.
      - When empty, every database that accepts connections, except the server's own. Names are required with O(engine=sqlite).
    type: list
    elements: str
    default: []
  release:
    description: The release that the steps belong to.
    type: str
    required: true
  phase:
    description:
      - V(expand) holds changes with which the previous release keeps working. They are applied before the first member is upgraded.
      - V(backfill) fills in the values of existing rows, while the previous release keeps writing. It is applied after V(expand), before the first member is
        upgraded.
      - V(contract) holds changes with which the previous release does not work. They are applied after the last member is upgraded. A rollback is impossible
        after them.
      - V(optimise) is applied after V(contract). It builds indexes, and removes data that no release needs any more.
    type: str
    choices: [expand, backfill, contract, optimise]
    required: true
  steps:
    description:
      - All steps of this phase of this release, in their order, including those that are applied already.
      - A step is a script of one or more statements that can run in one transaction. It must not begin or end a transaction, or set C(lock_timeout).
      - >-
        A script that begins with the line C(-- alwayson: batch) is one statement that changes some rows, chosen by one query with C(LIMIT). With
        C(-- alwayson: batch after 0) it has a cursor, which is a unique column that is not null. C(:after) in the script is the largest value that the previous
        batch chose, and V(0) in the first batch. Such a script may have two statements. The first one selects values greater than C(:after). The second one
        changes the rows from there up to C(:last), the largest selected value.
      - >-
        A script that begins with the line C(-- alwayson: concurrently) is one statement that creates, drops or rebuilds an index.
      - >-
        With O(engine=mariadb) a script either only changes rows, or is one C(CREATE), C(ALTER), C(DROP) or C(RENAME). A batch with a cursor has two statements.
    type: list
    elements: dict
    required: true
    suboptions: &step
      name:
        description: Name of the step.
        type: str
        required: true
      sql:
        description: The script. Its SHA-256 is kept in the ledger.
        type: str
        required: true
  expand_steps:
    description:
      - The steps of the expand phase of the same release. Required for every later O(phase). The list may be empty.
      - A later phase is refused unless all of them are applied in all of O(databases).
    type: list
    elements: dict
    suboptions: *step
  backfill_steps:
    description: The steps of the backfill phase of the same release. Required for O(phase=contract) and O(phase=optimise).
    type: list
    elements: dict
    suboptions: *step
  contract_steps:
    description: The steps of the contract phase of the same release. Required for O(phase=optimise).
    type: list
    elements: dict
    suboptions: *step
  command:
    description:
      - The command line of a migration tool, such as Alembic, Django, Flyway or Sqitch, as a list of words. It is run for each database after O(steps), on the
        host that the module runs on. It is a step of its own with the name V(command).
      - It gets the database in libpq's environment variables, such as V(PGDATABASE), and C({database}) in its words is replaced by the name. V(PGOPTIONS) sets
        C(lock_timeout) to O(max_lock_timeout_ms). When the tool fails because of that timeout, it is run again, up to O(attempts) times.
      - With O(engine=mariadb) the variables are V(MYSQL_HOST), V(MYSQL_TCP_PORT) or V(MYSQL_UNIX_PORT), V(MYSQL_PWD), V(MYSQL_USER) and V(MYSQL_DATABASE). With
        O(engine=sqlite) only C({database}) is available.
      - When the command line differs from the one in the ledger for the same release and phase, it is refused.
    type: list
    elements: str
    default: []
  status_command:
    description:
      - A command line that exits with 0 when the tool has nothing left to apply. It is run after O(command). When an earlier run was killed, it is also run
        before.
      - Without it, O(command) is run again after a kill. The tool must then keep its own record of what it has applied.
    type: list
    elements: str
    default: []
  command_directory:
    description: Absolute path of the folder in which both commands run.
    type: path
  command_environment:
    description: Further environment variables of both commands.
    type: dict
    default: {}
  lock_timeout_ms:
    description: How long a step waits for a lock in its first attempts, in milliseconds. Other sessions that need the same table wait as long.
    type: int
    default: 50
  max_lock_timeout_ms:
    description: How long a step waits for a lock at most, in milliseconds. The time increases up to this while only short transactions hold the lock.
    type: int
    default: 200
  attempts:
    description: The number of attempts of a step in each database.
    type: int
    default: 150
  retry_delay_ms:
    description: The time between two attempts in milliseconds.
    type: int
    default: 500
  batch_pause_ms:
    description: The time between two batches in milliseconds.
    type: int
    default: 50
  max_replica_lag_bytes:
    description:
      - No batch begins while a replica lags behind by more than this.
      - The login role needs C(pg_monitor). Without it, the lag is not visible, and batches do not wait.
      - Not used with O(engine=mariadb), whose primary cannot report the lag.
    type: int
    default: 67108864
  wait_timeout:
    description:
      - The seconds to wait for another runner that migrates the same database, for a runner with an older token, and for a replica that lags.
      - An index build waits as long for transactions that were open before it.
    type: int
    default: 300
  parallel:
    description: How many databases are migrated at the same time.
    type: int
    default: 1
  linter:
    description:
      - V(auto) checks pending steps with C(squawk), if it is installed on the host that the module runs on. V(off) does not use it. Any other value is the path
        of the program.
      - A step with a finding is refused, except for findings about style and findings that this module handles itself. C(squawk) supports PostgreSQL only.
      - C(LOCK TABLE), and an C(UPDATE) or C(DELETE) of a table of 100,000 rows or more outside of a batch step, are refused with and without C(squawk).
      - >-
        To allow a finding, write C(-- alwayson: accept) and the name of the rule into the comments at the top of the script.
    type: str
    default: auto
notes:
  - The login role needs the rights that the steps need, and in each database the right to create the schema C(alwayson).
  - The session holds a lock and has settings, so a connection through a pooler in transaction or statement mode is refused.
  - >-
    With O(engine=mariadb), C(ALTER TABLE) and C(CREATE INDEX) are run with C(LOCK=NONE), so the server refuses them if they would block writers.
    C(-- alwayson: accept blocking-alter) allows such a statement. The user needs C(PROCESS) to see the transactions that hold locks.
  - Roles with C(pg_read_all_stats), which C(pg_monitor) includes, see the transactions that hold locks. With other roles, steps try to get a lock without
    looking for them.
  - An invalid index that no session is building is dropped and built again.
seealso:
  - module: alwayson.upgrade.fleet_lock
  - module: alwayson.upgrade.database_backup
  - module: alwayson.upgrade.database_info
"""

EXAMPLES = r"""
- name: Expand the schema of two tenants
  alwayson.upgrade.database_migration:
    login_host: 127.0.0.1
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    databases:
      - tenant_a
      - tenant_b
    release: 2.0.0
    phase: expand
    steps:
      - name: 001_order_currency
        sql: ALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';

- name: Fill in existing rows, 2000 at a time, while the previous release keeps writing
  alwayson.upgrade.database_migration:
    login_host: 127.0.0.1
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    release: 2.0.0
    phase: backfill
    parallel: 8
    expand_steps:
      - name: 001_order_currency
        sql: ALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';
    steps:
      - name: 001_swiss_orders
        sql: |
          -- alwayson: batch
          UPDATE orders SET currency = 'CHF'
           WHERE id IN (SELECT id FROM orders WHERE country = 'CH' AND currency <> 'CHF' ORDER BY id LIMIT 2000 FOR UPDATE SKIP LOCKED);
      - name: 002_orders_by_currency
        sql: |
          -- alwayson: concurrently
          CREATE INDEX CONCURRENTLY orders_by_currency ON orders (currency, taken);

- name: Have Django migrate every database of the server
  alwayson.upgrade.database_migration:
    login_host: 127.0.0.1
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    release: 2.0.0
    phase: expand
    steps: []
    command: [/srv/shop/venv/bin/python, manage.py, migrate, --noinput]
    status_command: [/srv/shop/venv/bin/python, manage.py, migrate, --check]
    command_directory: /srv/shop

- name: Expand the schema of two tenants in MariaDB
  alwayson.upgrade.database_migration:
    engine: mariadb
    login_host: 127.0.0.1
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    databases:
      - tenant_a
      - tenant_b
    release: 2.0.0
    phase: expand
    steps:
      - name: 001_order_currency
        sql: ALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';
      - name: 002_orders_by_currency
        sql: CREATE INDEX orders_by_currency ON orders (currency, taken);

- name: Do the same in SQLite
  alwayson.upgrade.database_migration:
    engine: sqlite
    databases:
      - /srv/shop/tenant_a.db
      - /srv/shop/tenant_b.db
    release: 2.0.0
    phase: expand
    steps:
      - name: 001_order_currency
        sql: |
          ALTER TABLE orders ADD COLUMN currency TEXT NOT NULL DEFAULT 'EUR';
          CREATE INDEX orders_by_currency ON orders (currency, taken);

- name: Contract the schema when no member runs the previous release
  alwayson.upgrade.database_migration:
    login_host: 127.0.0.1
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    databases:
      - tenant_a
      - tenant_b
    release: 2.0.0
    phase: contract
    expand_steps:
      - name: 001_order_currency
        sql: ALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';
    backfill_steps: []
    steps:
      - name: 001_drop_legacy_code
        sql: ALTER TABLE products DROP COLUMN legacy_code;
"""

RETURN = r"""
migrations:
  description:
    - For each database, all steps with their status. V(applied) was applied by this run, V(already) by an earlier one. Others are V(pending) or V(failed).
    - In check mode, V(pending) steps would be applied. Returned on failure, too, unless nothing was begun.
    - C(kind) is V(transaction), V(batch), V(index), V(command), or V(statement) for a change of the schema in MariaDB.
    - A batch step that this run applied also has the number of its C(batches), and of the C(rows) that they changed.
  returned: always
  type: dict
  sample:
    tenant_a:
      - step: 001_order_currency
        phase: expand
        release: 2.0.0
        kind: transaction
        status: applied
        attempts: 1
        seconds: 0.012
linter:
  description: Path of the program that checked the steps. Empty when none was used.
  returned: success
  type: str
  sample: /usr/local/bin/squawk
"""

from functools import partial
from typing import Any

from ..module_utils import _database_engines as engines
from ..module_utils._database.errors import DatabaseError
from ..module_utils._database.migration.command import command_step
from ..module_utils._database.migration.hazards import AUTO, refuse_dangerous
from ..module_utils._database.migration.interface import Engine
from ..module_utils._database.migration.ledger import LedgerError
from ..module_utils._database.migration.lock_retries import MigrationError, Policy
from ..module_utils._database.migration.run import Migrator, planned, report, survey
from ..module_utils._database.migration.step import PHASES, Step, StepError, steps_of
from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._locking import fence

STEP_ARGUMENTS = {"name": {"type": "str", "required": True}, "sql": {"type": "str", "required": True}}
ARGUMENTS = {
    "databases": {"type": "list", "elements": "str", "default": []},
    "release": {"type": "str", "required": True},
    "phase": {"type": "str", "required": True, "choices": list(PHASES)},
    "steps": {"type": "list", "elements": "dict", "required": True, "options": STEP_ARGUMENTS},
    **{f"{phase}_steps": {"type": "list", "elements": "dict", "options": STEP_ARGUMENTS} for phase in PHASES[:-1]},
    "command": {"type": "list", "elements": "str", "default": []},
    "status_command": {"type": "list", "elements": "str", "default": []},
    "command_directory": {"type": "path"},
    # Passwords may be among them.
    "command_environment": {"type": "dict", "default": {}, "no_log": True},
    "lock_timeout_ms": {"type": "int", "default": 50},
    "max_lock_timeout_ms": {"type": "int", "default": 200},
    "attempts": {"type": "int", "default": 150},
    "retry_delay_ms": {"type": "int", "default": 500},
    "batch_pause_ms": {"type": "int", "default": 50},
    "max_replica_lag_bytes": {"type": "int", "default": 64 * 1024 * 1024},
    "wait_timeout": {"type": "int", "default": 300},
    "parallel": {"type": "int", "default": 1},
    "linter": {"type": "str", "default": AUTO},
}
LEAST = {"attempts": 1, "retry_delay_ms": 0, "batch_pause_ms": 0, "max_replica_lag_bytes": 0, "wait_timeout": 0, "parallel": 1}


def policy_of(options: dict[str, Any]) -> Policy:
    """The options that say how long others may wait, checked."""
    if not 1 <= options["lock_timeout_ms"] <= options["max_lock_timeout_ms"]:
        raise MigrationError("lock_timeout_ms must be 1 or more, and max_lock_timeout_ms not less than it: without a limit, others would wait for ever")
    for name, least in LEAST.items():
        if options[name] < least:
            raise MigrationError(f"{name} must be {least} or more")
    return Policy(
        lock_timeout_ms=options["lock_timeout_ms"],
        max_lock_timeout_ms=options["max_lock_timeout_ms"],
        attempts=options["attempts"],
        retry_delay_ms=options["retry_delay_ms"],
        wait_seconds=options["wait_timeout"],
        batch_pause_ms=options["batch_pause_ms"],
        max_replica_lag_bytes=options["max_replica_lag_bytes"],
    )


def phases_before(phase: str) -> tuple[Any, ...]:
    """The phases that must be applied before a phase, in their order."""
    return PHASES[:PHASES.index(phase)]


def steps_given(options: dict[str, Any], engine: Engine[Any]) -> list[Step]:
    """The steps of the phase, the tool's command at their end."""
    steps = steps_of(options["release"], options["phase"], options["steps"], engine.step)
    if not options["command"]:
        return steps
    command = command_step(options["release"], options["phase"], options["command"], options["status_command"], options["command_environment"],
                           options["command_directory"])
    if command.name in (step.name for step in steps):
        raise StepError(f"{command.title} is that of the option command: give the file another name")
    return [*steps, command]


def differences(pending: dict[str, list[Step]]) -> list[dict[str, Any]]:
    """For each database the scripts that it gets, in the form of a diff."""
    return [
        {"before_header": database, "after_header": f"{database}: {step.title}", "before": "", "after": step.sql.rstrip("\n") + "\n"}
        for database, steps in pending.items()
        for step in steps
    ]


def migrate(module: AnsibleModule) -> tuple[str, dict[str, Any]]:
    """What failed (empty when nothing did), and the module's result."""
    options = module.params
    engine = engines.of(options).migrations()
    policy, steps = policy_of(options), steps_given(options, engine)
    earlier = [steps_of(options["release"], phase, options[f"{phase}_steps"], engine.step) for phase in phases_before(options["phase"])]
    linter = engine.find_linter(options["linter"])
    databases = engine.choose_databases(options["databases"])
    if not databases:
        raise MigrationError("the server has no database to migrate: look at login_host and login_port")
    pending = survey(engine, databases, steps, earlier, options["parallel"])
    refuse_dangerous([step for step in steps if any(step in left for left in pending.values())], partial(engine.lint, linter=linter))
    result: dict[str, Any] = {"linter": linter or "", **({"diff": differences(pending)} if module._diff else {})}
    if module.check_mode or not any(pending.values()):
        migrations = {database: planned(steps, pending[database]) for database in databases}
        return "", {**result, "changed": any(pending.values()), "migrations": migrations}
    outcomes = Migrator(engine, steps, policy).migrate_all(pending, options["parallel"])
    result["changed"] = any(outcome.is_changed for outcome in outcomes.values())
    result["migrations"] = {database: outcome.rows for database, outcome in outcomes.items()}
    return report(outcomes), result


def main() -> None:
    module = AnsibleModule(
        argument_spec={**engines.ARGUMENTS, **fence.ARGUMENTS, **ARGUMENTS},
        mutually_exclusive=engines.LOGIN_EXCLUSIVE,
        required_if=[("phase", phase, [f"{before}_steps" for before in phases_before(phase)]) for phase in PHASES[1:]],
        supports_check_mode=True,
    )
    try:
        with fence.admitted(module.params["fence"], module.check_mode, module.params["wait_timeout"]):
            message, result = migrate(module)
    except (MigrationError, LedgerError, StepError, DatabaseError, fence.FenceError) as error:
        module.fail_json(msg=str(error), changed=False, migrations={})
    if message:
        module.fail_json(msg=message, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
