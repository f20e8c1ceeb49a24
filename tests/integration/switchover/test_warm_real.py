# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Primary and standby are dead: a third server takes over that lives from a received log, and nothing that was acknowledged is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import SwitchoverError
from integration.by_ansible import ansible
from integration.switchover.controller import PROMOTING, WARM_LOG, times_of_steps
from integration.switchover.pair import Load, Loading, lost, wait_writable
from integration.switchover.test_switchover_module import arguments
from integration.switchover.trio import NAMES, RECEIVER, WARM, Trio

CONTROLLER = Path(__file__).with_name("controller.py")
STEPS = ("paused", "received", "replayed", "promoted")


@pytest.fixture
def trio(tmp_path_factory):
    with Trio(tmp_path_factory.mktemp("trio") / "run") as made:
        made.be_synchronous()
        yield made


def warm_arguments(trio, **more) -> dict:
    given = arguments(trio, state="failed_over", **more)
    new = {"name": WARM, "host": trio.warm.endpoint.address, "port": trio.warm.endpoint.port}
    return {**given, "new_primary": new, "warm_log": {"directory": str(trio.received), "name": RECEIVER, "bin_dir": str(trio.warm.binaries)}}


def restore(trio, command: str) -> None:
    with open(trio.warm.data / "postgresql.conf", "a", encoding="utf-8") as configuration:
        configuration.write(f"restore_command = '{command}'\n")
    with trio.session(WARM, "postgres") as session:
        session.execute("SELECT pg_reload_conf()")


def test_a_third_server_takes_over_when_both_are_dead_and_nothing_is_lost(trio):
    load = Load(trio.pooler.endpoint)
    with Loading(load):
        with pytest.raises(SwitchoverError, match=r"db1 .* runs: replace it by state=switched"):
            trio.failover().apply()
        trio.kill_both()
        taking_over = trio.failover("kill", str(trio.processes["receiver"].pid))
        resumed = times_of_steps(taking_over, "resumed")
        result = taking_over.apply()
        assert wait_writable(trio) == WARM and load.failed_since(resumed[0]) == 0
    assert result.changed and result.synchronous and result.timeline == 2 and list(result.steps) == [*STEPS, "resumed"]
    assert lost(trio, load, WARM) == set() and len(load.acknowledged) > 100
    assert load.failed_at
    assert not trio.log().receivers() and not list(trio.received.glob("*.partial"))
    assert not trio.failover().apply().changed


@pytest.mark.thorough
def test_the_module_foresees_it_does_it_and_has_done_it(trio):
    trio.kill_both()
    for flags, changed, timeline in ((["--check"], True, None), ([], True, 2), ([], False, 2)):
        status, result, _shown = ansible("database_switchover", *flags, **warm_arguments(trio))
        assert (status, result["changed"], result["primary"], result["timeline"]) == (0, changed, WARM, timeline), result
        assert len(list(trio.received.glob("*.partial"))) == (1 if flags else 0)
    status, result, _shown = ansible("database_switchover", **{**warm_arguments(trio), "state": "switched"})
    assert status == 2 and "warm_log is for state=failed_over" in result["msg"]


@pytest.mark.thorough
@pytest.mark.parametrize("step", [*STEPS, PROMOTING])
def test_a_controller_that_is_killed_in_the_window_leaves_clients_that_go_on_with_everything(trio, step):
    load = Load(trio.pooler.endpoint)
    with Loading(load):
        trio.kill_both()
        places = [str(endpoint) for endpoint in (trio.servers["db1"].endpoint, trio.warm.endpoint, trio.pooler.endpoint)]
        command = [sys.executable, str(CONTROLLER), step, *places, str(trio.pooler.databases), WARM_LOG, str(trio.received), str(trio.warm.binaries)]
        assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
        assert wait_writable(trio) == WARM
    assert lost(trio, load, WARM) == set() and len(load.acknowledged) > 100
    assert not trio.failover().apply().changed


@pytest.mark.thorough
def test_what_may_lose_something_is_refused(trio):
    stranger = trio.folder / "empty"
    stranger.mkdir()
    trio.be_synchronous(f"ANY 1 (db2, {RECEIVER})")
    trio.kill_both()
    with pytest.raises(SwitchoverError, match=f"is 'ANY 1 .*', which has not every commit wait for {RECEIVER}, so db1 .* may have acknowledged writes"):
        trio.failover().apply()
    with trio.node(WARM).opened() as node:
        node.configure("synchronous_standby_names", NAMES)
    wrong = trio.failover()
    wrong.new.log.directory = str(stranger)
    with pytest.raises(PostgresqlError, match="has no segment of a log: correct the folder"):
        wrong.apply()
    assert trio.log().receivers() and list(trio.received.glob("*.partial"))


@pytest.mark.thorough
def test_a_log_that_recovery_does_not_get_to_the_end_of_promotes_nobody_and_is_put_back(trio):
    """A restore_command that reads another folder: the server has not all of it, and is not promoted; its last segment is a partial one again."""
    restore(trio, "false")
    load = Load(trio.pooler.endpoint)
    with Loading(load):
        trio.kill_both()
        before = sorted(path.name for path in trio.received.iterdir())
        with pytest.raises(SwitchoverError, match=r"does not replay the record at .*see its log.*clients read from db3.*no process receives the log into"):
            trio.failover(window_seconds=2.0, pause_seconds=1.0).apply()
        assert sorted(path.name for path in trio.received.iterdir()) == before and before[-1].endswith(".partial")
        assert trio.value("pooler", "SELECT pg_is_in_recovery()")
        restore(trio, f"cp {trio.received}/%f %p")
        assert trio.failover().apply().changed and wait_writable(trio) == WARM
    assert lost(trio, load, WARM) == set() and len(load.acknowledged) > 50
