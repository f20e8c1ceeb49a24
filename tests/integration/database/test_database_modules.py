# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules and roles as Ansible runs them, against a real server."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
RUN_MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.alwayson.upgrade.plugins.modules.database_backup import main
with patch_module_args({**json.load(sys.stdin), "_ansible_remote_tmp": "/tmp"}):
    main()
"""
CURRENCY = {"name": "001_currency", "sql": "ALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';\n"}
DROP = {"name": "001_drop", "sql": "ALTER TABLE products DROP COLUMN price"}


@pytest.fixture
def ansible(server, tmp_path):
    """Runs a module by the command line tool; `ansible("database_info", ..., check=True)` returns its result, the exit status as `rc`."""
    login = {"login_host": "127.0.0.1", "login_port": server.port, "login_user": server.login.user, "login_password": server.login.password}

    def run(module, check=False, diff=False, **options):
        arguments = ["-m", f"alwayson.upgrade.{module}", "-a", json.dumps({**login, **options}), *["--check"] * check, *["--diff"] * diff]
        done = tool("ansible", tmp_path, "localhost", *arguments)
        before, arrow, result = done.stdout.partition(" => ")
        assert arrow and before.splitlines()[-1].startswith("localhost | "), done.stdout + done.stderr
        return {**json.loads(result), "rc": done.returncode, "output": done.stdout + done.stderr}

    return run


def tool(name, home, *arguments):
    """One of Ansible's programs of this very environment; `home` takes what it leaves."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    command = [str(Path(sys.executable).parent / name), "-i", "localhost,", "-c", "local", *arguments]
    return subprocess.run(command, env=environment, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)


def watched_programs(server, folder: Path, restore: str = 'exec "{real}" "$@"') -> Path:
    """A folder with pg_dump and pg_restore that write down their command lines, and then are the real ones."""
    folder.mkdir()
    for name, act in (("pg_dump", 'exec "{real}" "$@"'), ("pg_restore", restore)):
        real = server.binaries / name
        script = f'#!/bin/bash\n[ "$1" = --version ] && exec "{real}" "$@"\ntr "\\0" " " < /proc/$$/cmdline >> "{folder}/seen"\n{act.format(real=real)}\n'
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def test_info(ansible, server, tenants):
    first, second = tenants(2)
    result = ansible("database_info")
    assert result["rc"] == 0 and not result["changed"] and result["primary"] and result["replicas"] == []
    assert result["version_number"] // 10000 == int(result["version"].split(".")[0])
    assert set(result["databases"]) == {first, second}
    assert result["databases"][first]["tables"] == 2 and result["databases"][first]["size_bytes"] > 1_000_000
    assert result["databases"][first]["migrations"] == []
    assert result["databases"][first]["tenants"] is None
    asked = ansible("database_info", databases=[first], tenants_query="SELECT name FROM products WHERE id < 3 UNION ALL SELECT 'product 1'")
    assert asked["databases"][first]["tenants"] == ["product 1", "product 2"]
    unknown = ansible("database_info", databases=[first, "nowhere"])
    assert unknown["rc"] != 0 and "no such database, or none that takes sessions: nowhere" in unknown["msg"]


def test_backup(ansible, server, tenants, tmp_path):
    names = tenants(2)
    directory = tmp_path / "backups"
    programs = watched_programs(server, tmp_path / "programs")
    options = {"directory": str(directory), "bin_dir": str(programs), "parallel": 2}
    checked = ansible("database_backup", check=True, **options)
    assert checked["rc"] == 0 and checked["changed"] and not directory.exists() and set(checked["backups"]) == set(names)
    result = ansible("database_backup", **options)
    assert result["rc"] == 0 and result["changed"] and result["dropped"] == []
    assert {name: backup["proven"] for name, backup in result["backups"].items()} == dict.fromkeys(names, True)
    assert all(Path(backup["path"]).stat().st_size == backup["size_bytes"] for backup in result["backups"].values())
    seen = (programs / "seen").read_text()
    assert seen.count("pg_dump") >= 2 and seen.count("pg_restore") >= 2 and "dbname='tenant_1'" in seen
    assert "s3cret" not in seen and "s3cret" not in result["output"]
    assert server.scratch_databases() == []


def test_backups_are_proven_once_more(ansible, server, tenants, tmp_path):
    first, second = tenants(2)
    options = {"directory": str(tmp_path / "backups"), "bin_dir": str(server.binaries)}
    made = ansible("database_backup", databases=[first], **options)
    assert made["rc"] == 0
    result = ansible("database_backup", state="verified", **options)
    assert result["rc"] != 0 and not result["changed"] and f"{second}: there is no backup of {second}" in result["msg"] and f"Proven: {first}." in result["msg"]
    assert result["backups"][first]["proven"] and result["backups"][first]["path"] == made["backups"][first]["path"]
    again = ansible("database_backup", state="verified", databases=[first], max_age=600, check_queries=["SELECT count(*) = 500 FROM orders"], **options)
    assert again["rc"] == 0 and not again["changed"] and again["backups"][first]["rows"] == 550


def test_a_database_that_was_created_meanwhile_has_no_backup(ansible, server, tenant, tmp_path):
    create = f'"{server.binaries}/createdb" --host=127.0.0.1 --port={server.port} --username=upgrade created_late; exec "{{real}}" "$@"'
    programs = watched_programs(server, tmp_path / "programs", restore=create)
    try:
        result = ansible("database_backup", directory=str(tmp_path / "backups"), bin_dir=str(programs))
    finally:
        server.run("DROP DATABASE created_late")
    assert result["rc"] != 0 and result["created_meanwhile"] == ["created_late"] and result["changed"]
    assert "created_late: it was created while" in result["msg"] and f"Proven: {tenant}." in result["msg"] and "run this again" in result["msg"]


def test_a_copy_of_the_whole_server(ansible, server, tenants, tmp_path):
    names = tenants(2)
    scratch = tempfile.mkdtemp(prefix="alwayson-")
    os.chmod(scratch, 0o711)
    options = {"directory": str(tmp_path / "backups"), "bin_dir": str(server.binaries), "method": "physical",
               "scratch_user": "nobody", "scratch_directory": scratch}
    refused = ansible("database_backup", **options)
    assert refused["rc"] != 0 and "ALTER ROLE ... REPLICATION" in refused["msg"] and refused["backups"] == {}
    with server.connect() as session:
        session.execute("ALTER ROLE upgrade REPLICATION")
    try:
        made = ansible("database_backup", **options)
        again = ansible("database_backup", state="verified", **options)
    finally:
        left = os.listdir(scratch)
        shutil.rmtree(scratch)
        with server.connect() as session:
            session.execute("ALTER ROLE upgrade NOREPLICATION")
    assert made["rc"] == 0 and made["changed"], made
    assert again["rc"] == 0 and not again["changed"], again
    assert {name: backup["proven"] for name, backup in again["backups"].items()} == dict.fromkeys(names, True)
    assert len({backup["path"] for backup in made["backups"].values()}) == 1 and left == []


def test_backup_that_is_not_proven(ansible, server, tenants, tmp_path):
    good, bad = tenants(2)
    with server.connect(bad) as admin:
        admin.execute("CREATE TABLE secret (x int)")
    result = ansible("database_backup", directory=str(tmp_path / "backups"), bin_dir=str(server.binaries))
    assert result["rc"] != 0 and f"no proven backup of {bad}: permission denied for table secret" in result["msg"] and f"Proven: {good}." in result["msg"]
    assert result["backups"][good]["proven"] and not result["backups"][bad]["proven"] and result["changed"]


def test_a_backup_that_is_stopped_leaves_nothing(server, tenant, tmp_path):
    programs = watched_programs(server, tmp_path / "programs", restore="exec sleep 60")
    options = {
        "login_host": "127.0.0.1", "login_port": server.port, "login_user": server.login.user, "login_password": server.login.password,
        "databases": [tenant], "directory": str(tmp_path / "backups"), "bin_dir": str(programs),
    }
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "build" / "collections")}
    process = subprocess.Popen([sys.executable, "-c", RUN_MODULE], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write(json.dumps(options))
        process.stdin.close()
        wait_for(lambda: (programs / "seen").exists() and "pg_restore" in (programs / "seen").read_text())
        assert len(server.scratch_databases()) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1
    finally:
        process.kill()
    assert "stopped by SIGTERM" in json.loads(process.stdout.read())["msg"]
    assert server.scratch_databases() == [] and os.listdir(tmp_path / "backups") == [".lock"]


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.thorough
def test_migration(ansible, server, tenants):
    names = tenants(2)
    expand = {"release": "2.0.0", "phase": "expand", "steps": [CURRENCY], "databases": names}
    contract = {"release": "2.0.0", "phase": "contract", "steps": [DROP], "expand_steps": [CURRENCY], "backfill_steps": [], "databases": names}
    checked = ansible("database_migration", check=True, diff=True, **expand)
    assert checked["changed"] and [row["status"] for row in checked["migrations"][names[0]]] == ["pending"]
    for name in names:
        assert f"+++ after: {name}: expand step 001_currency of 2.0.0" in checked["output"]
    assert checked["output"].count(f"\n+{CURRENCY['sql']}") == 2
    early = ansible("database_migration", **contract)
    assert early["rc"] != 0 and not early["changed"] and "run the expand phase before" in early["msg"]
    assert server.value("SELECT to_regclass('alwayson.migration') IS NULL", names[0])
    first = ansible("database_migration", **expand)
    assert first["rc"] == 0 and first["changed"] and first["migrations"][names[1]][0]["status"] == "applied"
    again = ansible("database_migration", **expand)
    assert again["rc"] == 0 and not again["changed"] and again["migrations"][names[1]][0]["status"] == "already"
    assert ansible("database_migration", **contract)["changed"]
    info = ansible("database_info", databases=names[:1])["databases"][names[0]]["migrations"]
    assert [(row["phase"], row["step"], row["status"]) for row in info] == [("expand", "001_currency", "applied"), ("contract", "001_drop", "applied")]
    assert abs(info[0]["applied"] - time.time()) < 120


BATCH = {"name": "001_fill", "sql": "-- alwayson: batch\n"
                                    "UPDATE orders SET currency = 'CHF' WHERE id IN (SELECT id FROM orders WHERE currency <> 'CHF' LIMIT 300)"}
INDEX = {"name": "001_index", "sql": "-- alwayson: concurrently\nCREATE INDEX CONCURRENTLY by_currency ON orders (currency)"}


def test_migration_of_all_phases(ansible, server, tenant):
    common = {"release": "2.0.0", "databases": [tenant], "batch_pause_ms": 0}
    earlier = {}
    expected = {"expand": (CURRENCY, "transaction"), "backfill": (BATCH, "batch"), "contract": (DROP, "transaction"), "optimise": (INDEX, "index")}
    for phase, (step, kind) in expected.items():
        done = ansible("database_migration", phase=phase, steps=[step], **common, **earlier)
        assert done["rc"] == 0, done["output"]
        (row,) = done["migrations"][tenant]
        assert (row["kind"], row["status"], row.get("rows")) == (kind, "applied", 500 if kind == "batch" else None)
        earlier[f"{phase}_steps"] = [step]
    missing = ansible("database_migration", phase="optimise", steps=[INDEX], **common, expand_steps=[CURRENCY])
    assert missing["rc"] != 0 and "backfill_steps" in missing["msg"]
    late = {**earlier, "backfill_steps": [BATCH, {**BATCH, "name": "002_late"}]}
    refused = ansible("database_migration", phase="contract", steps=[DROP], **common, expand_steps=[CURRENCY], backfill_steps=late["backfill_steps"])
    assert refused["rc"] != 0 and "not applied yet: backfill step 002_late of 2.0.0; run the backfill phase before" in refused["msg"]
    info = ansible("database_info", databases=[tenant])["databases"][tenant]["migrations"]
    assert [(row["phase"], row["kind"], row["progress"]) for row in info] == [
        ("expand", "transaction", None), ("backfill", "batch", {"batches": 2, "rows": 500}), ("contract", "transaction", None), ("optimise", "index", None)]


def test_a_dangerous_step_is_refused_before_anything_is_applied(ansible, server, tenant):
    options = {"release": "2.0.0", "phase": "expand", "databases": [tenant], "linter": "off"}
    lock = {"name": "002_lock", "sql": "LOCK TABLE orders"}
    refused = ansible("database_migration", steps=[CURRENCY, lock], **options)
    assert refused["rc"] != 0 and not refused["changed"] and "expand step 002_lock of 2.0.0: lock-table in line 1" in refused["msg"]
    assert server.value("SELECT to_regclass('alwayson.migration') IS NULL", tenant)
    accepted = ansible("database_migration", steps=[CURRENCY, {**lock, "sql": "-- alwayson: accept lock-table\nLOCK TABLE orders"}], **options)
    assert accepted["rc"] == 0 and accepted["linter"] == ""


def test_the_command_of_a_tool(ansible, server, tenant):
    options = {"release": "2.0.0", "phase": "expand", "databases": [tenant], "steps": [], "command_environment": {"TOOL_PASSWORD": "do not tell"},
               "command": ["sh", "-c", "test \"$PGDATABASE $TOOL_PASSWORD\" = '{database} do not tell' && echo \"$TOOL_PASSWORD\" && exit ${0#sh}", "sh3"]}
    failed = ansible("database_migration", **options)
    assert failed["rc"] != 0 and "expand step command of 2.0.0: sh ended with 3: ****" in failed["msg"] and "do not tell'" not in failed["msg"]
    options["command"][-1] = "sh0"
    assert ansible("database_migration", **options)["migrations"][tenant][0]["status"] == "applied"
    assert not ansible("database_migration", **options)["changed"]


def test_roles(server, tenants, tmp_path):
    names = tenants(2)
    scripts = {"001_b.sql": b"SELECT 1;\r\n-- {{ not_a_template }}\n\n", "010_a.sql": "CREATE TABLE \"ä\" (x int)".encode(), "002_C.sql": b"SELECT 2\n"}
    folder = tmp_path / "migrations" / "2.0.0" / "expand"
    folder.mkdir(parents=True)
    for name, content in scripts.items():
        (folder / name).write_bytes(content)
    (folder / "README.md").write_text("no step")
    expand = role("migration", server, directory=str(tmp_path / "migrations"), release="2.0.0", phase="expand", names=names)
    contract = role("migration", server, directory=str(tmp_path / "migrations"), release="2.0.0", phase="contract", names=names)
    backup = role("database_backup", server, directory=str(tmp_path / "backups"), bin_dir=str(server.binaries), names=names)
    keep = [{"ansible.builtin.copy": {"content": f"{{{{ {name} | to_json }}}}", "dest": f"{tmp_path}/{name}.json", "mode": "0600"}}
            for name in ("migration_result", "database_backup_result")]
    done = play(tmp_path, expand, backup, *keep, contract)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "s3cret" not in done.stdout
    migrations = json.loads((tmp_path / "migration_result.json").read_text())["migrations"]
    assert [(row["step"], row["status"]) for row in migrations[names[0]]] == [("001_b", "applied"), ("002_C", "applied"), ("010_a", "applied")]
    with server.connect(names[0]) as session:
        checksums = dict(session.execute("SELECT step || '.sql', checksum FROM alwayson.migration"))
    assert checksums == {name: hashlib.sha256(content).hexdigest() for name, content in scripts.items()}
    backups = json.loads((tmp_path / "database_backup_result.json").read_text())["backups"]
    assert {name: row["proven"] for name, row in backups.items()} == dict.fromkeys(names, True)


def test_a_migration_folder_that_is_not_there_is_refused(server, tenants, tmp_path):
    (name,) = tenants(1)
    done = play(tmp_path, role("migration", server, directory=str(tmp_path / "nowhere"), release="2.0.0", phase="expand", names=[name]))
    assert done.returncode != 0 and f"{tmp_path}/nowhere is not the absolute path of a folder on the controller" in " ".join(done.stdout.split())


def role(name, server, **options) -> dict:
    login = {"login_host": "127.0.0.1", "login_port": server.port, "login_user": server.login.user, "login_password": server.login.password}
    variables = {f"{name}_{option}": value for option, value in {**login, **options}.items()}
    return {"ansible.builtin.include_role": {"name": f"alwayson.upgrade.{name}"}, "vars": variables}


def play(folder, *tasks):
    book = folder / "play.yml"
    book.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}]), encoding="utf-8")
    return tool("ansible-playbook", folder, str(book))
