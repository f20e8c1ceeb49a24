# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old primary that its service manager starts again as it was: its guard keeps it away, or its fence keeps it from writing, and nothing else does."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.rejoin.demote import DatabaseFenceError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.failover import Failover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError
from integration.by_ansible import ansible
from integration.switchover import guard as guards
from integration.switchover.guard import PROGRAM, Direct, asked, fence_options, fenced, guard, override
from integration.switchover.pair import Pair

TRYING_SECONDS = 1.0
HOLD_SECONDS = 20


@pytest.fixture
def pair():
    # The guard goes on as the owner of the data, and has to get there.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with Pair(Path(folder) / "run") as made:
            yield made


def failover(pair) -> Failover:
    return Failover(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits())


def writes(pair, name: str) -> Direct:
    """Clients that try for a moment, and often enough however busy the machine is."""
    with Direct(pair.servers[name].endpoint) as direct:
        time.sleep(TRYING_SECONDS)
        assert wait_for(lambda: direct.attempts > 40, 60, 0.05)
    return direct


def test_an_old_primary_takes_no_write_again(pair):
    pair.be_synchronous()
    pair.kill("db1")
    result = failover(pair).apply()
    named = {"system_identifier": result.system_identifier, "new_timeline": result.timeline}
    # Its guard keeps it from starting: nobody listens.
    status, said = asked(pair, "db1")
    assert status == 3 and "db2 takes writes in its place. Make it a standby with database_rejoin" in said
    assert not pair.restart_by_itself("db1", *guard(pair, "db1"))
    direct = writes(pair, "db1")
    assert (direct.acknowledged, direct.answered) == (0, 0)
    # Not the new one, and not without a word on which server it is.
    for wrong, why in (
        ({"system_identifier": "7"}, "the system identifier .*, and 7 is to be fenced"),
        ({"port": pair.servers["db2"].endpoint.port}, f"listens on port {pair.servers['db1'].endpoint.port}, and that on port"),
        ({"port": pair.servers["db1"].endpoint.port, "stop_command": ["true"]}, "stop_command is given without new_timeline"),
    ):
        with pytest.raises(DatabaseFenceError, match=why):
            fenced(pair, "db1", **wrong)
    for stop in ([], ["false"]):
        with pytest.raises(DatabaseFenceError, match="is on timeline 2, and the new primary's is 2: this is the new primary"):
            fenced(pair, "db2", **named, stop_command=stop)
    with pytest.raises(DatabaseFenceError, match=r"runs \(.*, process \d+\) and is not a standby: stop it first"):
        fenced(pair, "db2", system_identifier=result.system_identifier)
    # Fenced, it starts without a guard, and takes nothing.
    status, done, _shown = ansible("database_fence", "--check", **fence_options(pair, "db1", **named))
    assert (status, done["changed"], asked(pair, "db1")[0]) == (0, True, 3)
    status, done, _shown = ansible("database_fence", **fence_options(pair, "db1", **named, port=pair.servers["db1"].endpoint.port))
    assert (status, done["changed"], done["running"], done["timeline"]) == (0, True, False, 1)
    assert (fenced(pair, "db1", **named)["changed"], asked(pair, "db1")[0]) == (False, 0)
    assert pair.restart_by_itself("db1")
    direct = writes(pair, "db1")
    assert direct.acknowledged == 0 and direct.answered > 20 and pair.value("db1", "SELECT pg_is_in_recovery()")
    assert fenced(pair, "db1", **named)["changed"] is False


def test_without_guard_and_fence_it_does_until_the_failover_is_run_again_or_it_is_stopped(pair):
    pair.kill("db1")
    task = failover(pair)
    task.accept_loss = True
    named = {"new_timeline": task.apply().timeline, "port": pair.servers["db1"].endpoint.port}
    assert pair.restart_by_itself("db1")
    direct = writes(pair, "db1")
    assert direct.acknowledged > 20
    again = failover(pair).apply()
    assert again.changed and any("ran again beside db2" in warning for warning in again.warnings) and pair.node_is_fenced("db1")
    direct = writes(pair, "db1")
    assert direct.acknowledged == 0 and direct.answered > 20
    assert not failover(pair).apply().changed
    process = pair.processes["db1"]
    done = fenced(pair, "db1", **named, stop_command=["kill", "-INT", str(process.pid)])
    # It refuses connections before its process has ended.
    assert done["changed"] and not done["running"] and wait_for(lambda: not process.is_alive, 30, 0.05)


def test_a_guard_that_lets_it_start_keeps_the_standby_from_being_promoted_meanwhile(pair, monkeypatch):
    # As the program, with twice the time for a busy machine to do all this meanwhile.
    program, text = pair.folder / "guard.py", PROGRAM.read_text(encoding="utf-8")
    assert text.count("\nHOLD_SECONDS = 10\n") == 1
    program.write_text(text.replace("\nHOLD_SECONDS = 10\n", f"\nHOLD_SECONDS = {HOLD_SECONDS}\n"), encoding="utf-8")
    monkeypatch.setattr(guards, "PROGRAM", program)
    pair.kill("db1")
    began = time.monotonic()
    status, said = asked(pair, "db1")
    assert status == 0 and "the server may start: db2 is a standby" in said
    task = failover(pair)
    task.accept_loss = True
    with pytest.raises(SwitchoverError, match=r"db1 .* is being started now: its guard has asked db2"):
        task.apply()
    # Another one that would start as a primary is not let, either.
    assert asked(pair, "db1")[0] == 4 and time.monotonic() - began < HOLD_SECONDS
    assert pair.restart_by_itself("db1") and pair.value("pooler", "SELECT 1") == 1
    with pytest.raises(SwitchoverError, match=r"db1 .* runs: replace it by state=switched"):
        failover(pair).apply()
    # And the other way round: while a promotion is claimed, no guard lets anybody start.
    pair.kill("db1")
    with pair.node("db2").opened() as node:
        # From when the first guard's session has ended, which nothing but its time ends.
        assert wait_for(node.claim_promotion, HOLD_SECONDS + 30, 0.2)
        status, said = asked(pair, "db1")
        assert status == 4 and "db2 is being promoted, or another server is starting (busy)" in said
    assert asked(pair, "db1")[0] == 0


def test_when_nobody_answers_it_is_refused_unless_an_operator_says_so_once(pair):
    for name in ("db1", "db2"):
        pair.kill(name)
    status, said = asked(pair, "db1")
    assert status == 4 and "db2 does not answer" in said and f"touch {override(pair, 'db1')}" in said
    override(pair, "db1").touch()
    assert [asked(pair, "db1")[0] for _attempt in range(2)] == [0, 4]
    assert asked(pair, "db1", unknown="start")[0] == 0 and asked(pair, "db1", "check")[0] == 4
    assert asked(pair, "db2")[0] == 0
    # A standby that comes up within the wait is heard; then the override is used up, needed or not.
    override(pair, "db1").touch()
    pair.start_server("db2")
    assert asked(pair, "db1", "check") == (0, "database_guard: db2 is a standby")
    assert asked(pair, "db1")[0] == 0 and not override(pair, "db1").exists()
    status, said = asked(pair, "db1", peers=[{"name": "db2"}])
    assert status == 2 and "each with name and host" in said
