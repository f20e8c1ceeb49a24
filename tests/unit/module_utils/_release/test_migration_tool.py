# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A team's migration tool: run once, by its status command and its ledger, also after kills, with a time limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.flock import LockError
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import migration_tool
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.migration_tool import MigrationTool, MigrationToolError, rows_of, words_of

# Applies what is left in a folder: "done" there means that nothing is.
TOOL = """\
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
if sys.argv[2] == "status":
    sys.exit(0 if (folder / "done").exists() else 1)
with (folder / "runs").open("a") as runs:
    runs.write("run\\n")
print("upgrading", os.environ.get("DATABASE", ""), flush=True)
time.sleep(float(os.environ.get("SECONDS", "0")))
if os.environ.get("EXIT"):
    print("no such column"); sys.exit(int(os.environ["EXIT"]))
if not os.environ.get("LEAVES"):
    (folder / "done").touch()
"""


@pytest.fixture
def tool(tmp_path):
    program = tmp_path / "tool.py"
    program.write_text(TOOL, encoding="utf-8")
    words = [sys.executable, str(program), str(tmp_path)]
    return MigrationTool(str(tmp_path / "state" / "ledger.json"), "2.0.0", [*words, "up"], [*words, "status"], str(tmp_path), {"DATABASE": "shop"}, 20.0)


def runs(tool: MigrationTool) -> int:
    file = Path(tool.directory) / "runs"
    return len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0


def with_environment(tool: MigrationTool, **more) -> MigrationTool:
    return replace(tool, environment={**tool.environment, **more})


def test_the_tool_runs_once_for_a_release(tool):
    first, second = tool.migrate(), tool.migrate()
    assert (first.ran, first.output, first.row["status"], first.row["exit_status"]) == (True, ["upgrading shop"], "applied", 0)
    assert (second.ran, second.row) == (False, first.row) and runs(tool) == 1
    assert os.stat(f"{tool.ledger}.log").st_mode & 0o077 == 0 and os.stat(tool.ledger).st_mode & 0o077 == 0


def test_without_a_status_command_the_ledger_decides(tool):
    alone = replace(tool, status=[])
    assert [alone.migrate().ran, alone.migrate().ran, replace(alone, command=[*alone.command, "--other"]).migrate().ran] == [True, False, True]
    assert runs(tool) == 2


def test_a_status_command_that_finds_something_runs_the_tool_again(tool):
    tool.migrate()
    (Path(tool.directory) / "done").unlink()
    assert tool.migrate().ran and runs(tool) == 2


def test_nothing_to_apply_is_told_from_applied(tool):
    (Path(tool.directory) / "done").touch()
    assert tool.migrate().row["status"] == "unneeded" and runs(tool) == 0


def test_a_failure_is_kept_and_told_with_what_the_tool_wrote(tool):
    with pytest.raises(MigrationToolError, match=r"ended with 3: upgrading shop / no such column. All that it wrote is in .*ledger.json.log"):
        with_environment(tool, EXIT="3").migrate()
    assert (rows_of(tool.ledger)["2.0.0"]["status"], rows_of(tool.ledger)["2.0.0"]["exit_status"]) == ("failed", 3)
    again = tool.migrate()
    assert again.ran and again.row["attempts"] == 2


def test_a_tool_that_reports_success_and_leaves_something_has_failed(tool):
    with pytest.raises(MigrationToolError, match=r"ended with 0, but the status command .* reports that something is left"):
        with_environment(tool, LEAVES="1").migrate()
    assert rows_of(tool.ledger)["2.0.0"]["status"] == "failed"


def test_a_tool_that_does_not_end_is_ended_with_all_that_it_started(tool, monkeypatch):
    monkeypatch.setattr(migration_tool, "GRACE_SECONDS", 1.0)
    child = f"import subprocess, sys; subprocess.run(['sh', '-c', 'echo $$ > {tool.directory}/pid; exec sleep 60'])"
    with pytest.raises(MigrationToolError, match="has not ended within 4 s, and was ended"):
        replace(tool, command=[sys.executable, "-c", child], status=[], timeout=4).migrate()
    pid = int((Path(tool.directory) / "pid").read_text(encoding="ascii"))
    give_up = time.monotonic() + 60
    while runs_on(pid):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert rows_of(tool.ledger)["2.0.0"] | {"ended": 0, "started": 0} == {
        "status": "failed", "exit_status": None, "attempts": 1, "ended": 0, "started": 0,
        "command": replace(tool, command=[sys.executable, "-c", child]).checksum}


def runs_on(pid: int) -> bool:
    """Whether a process is there that nobody needs only to collect."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False


KILLED = """\
import json, sys
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.migration_tool import MigrationTool
MigrationTool(**json.loads(sys.argv[1])).migrate()
"""


def test_a_tool_whose_runner_was_killed_is_waited_for_and_not_run_again(tool):
    slow = with_environment(tool, SECONDS="5")
    options = {name: getattr(slow, name) for name in ("ledger", "release", "command", "status", "directory", "environment", "timeout")}
    with subprocess.Popen([sys.executable, "-c", KILLED, json.dumps(options)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as runner:
        give_up = time.monotonic() + 60
        while not runs(tool):
            assert time.monotonic() < give_up
            time.sleep(0.02)
        runner.send_signal(signal.SIGKILL)
    with pytest.raises(LockError, match="another run is at work"):
        replace(tool, timeout=0.1).migrate()
    outcome = tool.migrate()
    assert (outcome.ran, outcome.row["status"], runs(tool)) == (False, "applied", 1)


def test_what_is_absent_and_what_is_left(tool):
    assert tool.absent() == [] and tool.is_pending() is True
    (Path(tool.directory) / "done").touch()
    assert tool.is_pending() is False and replace(tool, status=[]).is_pending() is None
    lost = replace(tool, command=["/nonexistent/alembic"], status=[], directory="/nonexistent")
    assert lost.absent() == ["/nonexistent/alembic", "/nonexistent"]
    with pytest.raises(MigrationToolError, match="/nonexistent/alembic does not start on this host"):
        replace(lost, directory=None).migrate()
    assert replace(tool, command=["alembic"], status=[], environment={"PATH": "/nonexistent"}).absent() == ["alembic"]


def test_a_command_line_is_a_list_or_a_text():
    assert words_of("alembic -x 'a b' upgrade head", "command") == ["alembic", "-x", "a b", "upgrade", "head"]
    assert words_of(["alembic", 3], "command") == ["alembic", "3"] and words_of(None, "command") == []
    for wrong in ("alembic 'up", ["", "up"], 3):
        with pytest.raises(MigrationToolError, match="command"):
            words_of(wrong, "command")
