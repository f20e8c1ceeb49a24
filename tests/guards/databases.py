# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of what changes a host or a database beneath the release: packages, the team's migration tool, hooks, the login role."""

from __future__ import annotations

from guards.guard import Guard

LOCK = "tests/unit/module_utils/_postgresql/switchover/test_run_lock.py"
SURVEY = "tests/unit/module_utils/_postgresql/switchover/test_survey.py"
SWITCHOVER = "tests/unit/module_utils/_postgresql/switchover/test_planned.py"
POOLERS = "tests/unit/module_utils/_postgresql/pooler/test_pgbouncer.py"
POOLER_SURVEY = "tests/unit/module_utils/_postgresql/pooler/test_survey.py"
DATABASE = "tests/integration/database"
CHOICE = "tests/unit/module_utils/_database/migration/test_choice.py"
CORE, PLAN = "plugins/module_utils", "plugins/plugin_utils"
BACKUPS, UNIT = "tests/integration/database/test_backup_proof.py", "tests/unit/module_utils"
TOOL = f"{UNIT}/_release/test_migration_tool.py"
TOOL_IN_PLAN = "tests/unit/plugin_utils/_plan/test_migration_tool.py"

DATABASES = (
    Guard("packages, excluded", "an excluded package comes along as a dependency", ("tests/integration/packages",), (
        (f"{CORE}/_packages/apt.py", "        if not unwanted:\n            return possible\n",
         "        if True:\n            return [update for update in possible if update.name not in unwanted]\n"),)),
    Guard("packages, pinned", "a pin that cannot be exceeded is asked about for ever", (f"{UNIT}/_packages/test_manager.py",), (
        (f"{CORE}/_packages/apt.py", "        for name in unwanted.keys() & pins.keys():\n", "        for name in ():\n"),)),
    Guard("packages, encoding", "a comment in another encoding than UTF-8 keeps updates out", (f"{UNIT}/_packages/test_manager.py",), (
        (f"{CORE}/_packages/apt.py", 'open(PREFERENCES, encoding="utf-8", errors="surrogateescape")', 'open(PREFERENCES, encoding="utf-8")'),)),
    Guard("packages, held", "a held package forbids the updates of others", ("tests/integration/packages",), (
        (f"{CORE}/_packages/apt.py", "possible = parse_simulation(_simulate(pins.values()), set())",
         'possible = parse_simulation(_simulate(pins.values(), "--ignore-hold"), set())'),)),
    Guard("migration tool, orphan", "a tool whose runner is dead does not hold the lock", (TOOL,), (
        (f"{CORE}/_release/migration_tool.py", "pass_fds=() if lock is None else (lock,)", "pass_fds=()"),)),
    Guard("migration tool, resume", "the status command is not asked before the tool runs", (TOOL,), (
        (f"{CORE}/_release/migration_tool.py", "            if self.is_pending() is False:\n", "            if False:\n"),)),
    Guard("migration, end of a batch", "a batch that changed nothing ends the step, although rows are left", (CHOICE,), (
        (f"{CORE}/_database/migration/batch.py", "left = [] if changed else rows(plan.choice.sql)", "left = []"),)),
    Guard("migration, no progress", "a step that changes nothing goes on for ever", (CHOICE,), (
        (f"{CORE}/_database/migration/batch.py", "if before and before.left == seen:", "if before and before.left == seen == 0:"),)),
    Guard("migration, cursor", "a cursor passes by rows that share its value", (CHOICE,), (
        (f"{CORE}/_database/migration/batch.py", "if found is not None and found._replace(is_unique=found.is_unique or plan.is_range).is_key:", "if True:"),)),
    Guard("migration, concurrent writes", "a backfill overwrites what the application commits meanwhile", (f"{DATABASE}/test_migration_batches.py",), (
        (f"{CORE}/_postgresql/migration/batch.py", "is None else REPEATABLE_READ)", "is None else READ_COMMITTED)"),)),
    Guard("migration, concurrent writes, MariaDB", "a backfill overwrites what the application commits meanwhile", (f"{DATABASE}/test_migration_batches.py",), (
        (f"{CORE}/_mariadb/migration/locks.py", "if locks_what_it_reads else", "if locks_what_it_reads is None else"),)),
    Guard("migration, pooler", "a lock and settings of a session are set through a pooler of transactions",
          ("tests/unit/module_utils/_database/test_own_session.py",), (
              (f"{CORE}/_postgresql/session.py", "if is_shared(own, others):", "if not own:"),)),
    Guard("migration, lock", "a step is recorded although other runners were let in", (f"{DATABASE}/test_migration_sessions.py",), (
        (f"{CORE}/_postgresql/migration/locks.py", "if not database.value(HOLDS, _key()):", "if database.value(HOLDS, _key()) is None:"),)),
    Guard("migration, index by name", "another index of the same name is taken for the step's", (f"{DATABASE}/test_migration_kinds.py",), (
        (f"{CORE}/_postgresql/migration/index.py", "    _require_same(database, step, statement, found)\n    return True\n", "    return True\n"),)),
    Guard("migration tool, way back", "a rollback goes behind a migration", (TOOL_IN_PLAN,), (
        (f"{PLAN}/_plan/refusals.py", "        *tool_refusals(service, observed, plan),\n", ""),)),
    Guard("hooks, way back", "the hooks of an upgrade run in a rollback", ("tests/unit/plugin_utils/_plan/test_hooks.py",), (
        (f"{PLAN}/_plan/hooks.py", 'FORWARD = ("install", "upgrade", "patch")', "FORWARD = DIRECTIONS"),)),
    Guard("rejoin, the wrong host", "the new primary is stopped to follow itself", ("tests/unit/module_utils/_postgresql/rejoin/test_survey.py",), (
        (f"{CORE}/_postgresql/rejoin/survey.py", "    if target.timeline == source.timeline and not target.is_standby:\n", "    if False:\n"),)),
    Guard("rejoin, files of the host", "pg_rewind replaces the files of the host", ("tests/unit/module_utils/_postgresql/rejoin/test_host_files.py",), (
        (f"{CORE}/_postgresql/rejoin/host_files.py", '        own = _of_the_host(os.listdir(self.path))\n', '        own = []\n'),)),
    Guard("rejoin, barred", "a server starts from data that are rewound in part", ("tests/unit/module_utils/_postgresql/rejoin/test_host_files.py",), (
        (f"{CORE}/_postgresql/rejoin/host_files.py", "OTHERS_MAY_ENTER = 0o001", "OTHERS_MAY_ENTER = 0"),)),
    Guard("rejoin, two at once", "two runs rewind one data directory", ("tests/unit/module_utils/_postgresql/rejoin/test_stopped_server.py",), (
        (f"{CORE}/_postgresql/data_directory.py", "                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "                pass\n"),)),
    Guard("managers", "a run works against the program that runs the cluster", ("tests/unit/module_utils/_postgresql/managers/test_detection.py",), (
        (f"{CORE}/_postgresql/managers/detection.py", "        if one.name != driven:\n", "        if False:\n"),)),
    Guard("managers, repmgr", "a refusal of repmgr's is taken for an exchange", ("tests/unit/module_utils/_postgresql/managers/test_repmgr.py",), (
        (f"{CORE}/_postgresql/managers/repmgr.py", "if status in (0, INCOMPLETE) else self._incomplete", "if True else self._incomplete"),)),
    Guard("rejoin, the way", "a server is stopped that has no way to stream", ("tests/unit/module_utils/_postgresql/rejoin/test_replication_login.py",), (
        (f"{CORE}/_postgresql/rejoin/replication_login.py", '    if "problem" in found:\n', '    if False:\n'),)),
    Guard("login role", "a role without the privileges goes on to the backups", ("tests/unit/plugin_utils/_plan/test_plan.py",), (
        (f"{PLAN}/_plan/refusals.py", "        *_missing_privileges(observed),\n", ""),)),
    Guard("switchover, two at once", "a second run gets the lock of the first", (LOCK,), (
        (f"{CORE}/_postgresql/switchover/run_lock.py", "        if not wait_for(has_it,", "        if False and not wait_for(has_it,"),)),
    Guard("switchover, two databases", "a run whose session is in another database is not seen", (LOCK,), (
        (f"{CORE}/_postgresql/switchover/run_lock.py", "return [holder for holder in holders if holder.pid != pid and",
         "return [holder for holder in holders if False and"),)),
    Guard("switchover, last look", "a run that has lost its lock promotes", (LOCK,), (
        (f"{CORE}/_postgresql/switchover/run_lock.py", "        for node, pid in self._pids.items():\n", "        for node, pid in {}.items():\n"),)),
    Guard("failover, two standbys", "the poolers' file is not locked", (LOCK,), (
        (f"{CORE}/_postgresql/switchover/window.py", "sorted({pooler.lock_file for pooler in self.poolers})", "[]"),)),
    Guard("poolers, own answer", "a RELOAD that only logs its error is a success", (POOLERS,), (
        (f"{CORE}/_postgresql/pooler/pgbouncer.py", "        self.require_followed(reason)\n", ""),)),
    Guard("poolers, readers", "entries of readers go with the others", (POOLERS,), (
        (f"{CORE}/_postgresql/pooler/pgbouncer.py", "with_server(text, old, new, self._moved)", "with_server(text, old, new)"),)),
    Guard("poolers, two processes", "a pause and a resume reach different processes", (POOLERS,), (
        (f"{CORE}/_postgresql/pooler/pgbouncer.py", "            if not self._sees([own]):\n", "            if False:\n"),)),
    Guard("poolers, entry for everything else", "what was made of the entry * is looked for once, and may be hidden then", (POOLERS,), (
        (f"{CORE}/_postgresql/pooler/pgbouncer.py", "if not is_made or any(", "if True or any("),)),
    Guard("poolers, shared port", "processes that share a port with others are not counted", (POOLER_SURVEY,), (
        (f"{CORE}/_postgresql/pooler/survey.py", "*_processes(facts, exchange), ", ""),)),
    Guard("poolers, other entries", "an entry of the old primary stays in another file", (POOLER_SURVEY,), (
        (f"{CORE}/_postgresql/pooler/survey.py", "    if foreign:\n", "    if False:\n"),)),
    Guard("poolers, way out", "clients stay paused when a RELOAD is refused", ("tests/unit/module_utils/_postgresql/switchover/test_recovery.py",), (
        (f"{CORE}/_postgresql/switchover/recovery.py", "            do(pooler.follow)\n", "            pooler.follow()\n"),)),
    Guard("switchover, fence", "what was written past the fence is not looked for before the promotion", (SWITCHOVER,), (
        (f"{CORE}/_postgresql/switchover/planned.py", ("if self.IS_FENCED and (self.old.is_in_recovery() or not self.old.is_fenced() "
         "or self.old.snapshot() != self._seen):"), "if False:"),)),
    Guard("switchover, writers", "the end of the log is taken once, whoever writes behind it", (SWITCHOVER,), (
        (f"{CORE}/_postgresql/switchover/planned.py", "return not self.old.writers() and self.old.snapshot() == self._seen", "return True"),)),
    Guard("switchover, survey", "a prepared transaction is no reason to refuse", (SURVEY,), (
        (f"{CORE}/_postgresql/switchover/survey.py", "    if old.prepared:\n", "    if False:\n"),)),
    Guard("failover, fence of the fleet", "a run that was taken over goes on with a failover", ("tests/integration/upgrade/test_failover.py",), (
        ("playbooks/failover.yml", "          fence: \"{{ alwayson_database_fence | default({}) }}\"\n", "          fence: {}\n"),
        ("playbooks/failover.yml", "    group/alwayson.upgrade.fenced_databases: {fence: \"{{ alwayson_database_fence | default(omit) }}\"}\n", ""))),
    Guard("failover, old names", "a variable of version 0.2 is read without a word", ("tests/unit/plugin_utils/_plan/test_failover.py",), (
        ("plugins/filter/failover.py", "        warn_of_old_name(old, new)\n", "        pass\n"),)),
    Guard("failover, no host", "a name that is no host of the inventory is taken", ("tests/unit/plugin_utils/_plan/test_failover.py",), (
        (f"{PLAN}/_plan/failover.py", "        for name in required if request[name] not in groups[\"all\"]]", "        for name in required if False]"),)),
    Guard("failover, levels", "commits that wait for nobody are taken for safe", (SURVEY,), (
        (f"{CORE}/_postgresql/switchover/survey.py", "        if level.lower() not in DURABLE_LEVELS:\n", "        if False:\n"),)),
    Guard("failover, names", "a name that every standby has by default is one", (SURVEY,), (
        (f"{CORE}/_postgresql/switchover/survey.py", "    if not has_own_name:\n", "    if False:\n"),)),
    Guard("failover, streaming", "a primary that refuses connections is dead, whoever streams from it", (SWITCHOVER,), (
        (f"{CORE}/_postgresql/switchover/failover.py", "            if self.new.is_fed():\n", "            if False:\n"),)),
    Guard("proof, schedulers", "the libraries of the original's start are loaded by the copy", (f"{UNIT}/_postgresql/test_scratch_server.py",), (
        (f"{CORE}/_postgresql/scratch_server.py", " if os.path.splitext(os.path.basename(name))[0] in LIBRARIES)", ")"),)),
    Guard("proof, subscriptions", "the copy applies the original's subscriptions", (f"{UNIT}/_postgresql/test_scratch_server.py",), (
        (f"{CORE}/_postgresql/scratch_server.py", '"max_logical_replication_workers": "0", ', ""),)),
    Guard("proof, event triggers", "event triggers of the copy run", (f"{UNIT}/_database/backup/test_run.py",), (
        (f"{CORE}/_postgresql/backup/logical.py", "(?:(?:COMMENT - )?EVENT TRIGGER |", "(?:"),)),
    Guard("proof, history", "the history of a table is not compared", (f"{UNIT}/_mariadb/test_content.py",), (
        (f"{CORE}/_mariadb/content.py", '        history = " FOR SYSTEM_TIME ALL"\n', '        history = ""\n'),)),
    Guard("proof, rounded numbers", "a FLOAT is compared by its six digits", (f"{UNIT}/_mariadb/test_content.py",), (
        (f"{CORE}/_mariadb/content.py", 'if kind == "float" else column', "if False else column"),)),
    Guard("proof, patience", "a session of a proof ends by the server's own limits", (f"{UNIT}/_postgresql/test_environment.py",), (
        (f"{CORE}/_postgresql/session.py", '            connection.run(f"SET {name} = {literal(value)}")\n', "            pass\n"),)),
    Guard("proof, environment", "a driver takes another server from the environment", (f"{UNIT}/_postgresql/test_environment.py",), (
        (f"{CORE}/_postgresql/session.py", "        with surroundings.own_environment():\n", "        if True:\n"),)),
    Guard("proof, partitions by hash", "rows in other partitions are other rows", (BACKUPS,), (
        (f"{CORE}/_postgresql/content.py", "p.partstrat = 'h'", "p.partstrat = '-'"),)),
    Guard("messages, rows", "what a program says is shown with the rows in it", (f"{UNIT}/_database/test_messages.py",), (
        (f"{CORE}/_database/programs.py", 'of_program(said.read().decode("utf-8", "replace"))', 'said.read().decode("utf-8", "replace")'),)),
    Guard("restore, properties", "a property of a database is left out without a word", (f"{UNIT}/_database/backup/test_restore.py",), (
        (f"{CORE}/_postgresql/backup/restore_properties.py", "        elif not OF_THE_SESSION.match(statement):\n", "        elif False:\n"),)),
)
