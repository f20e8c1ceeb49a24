# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two PgBouncers whose files are in folders of their own, each driven by another process: both have their clients go on, whoever dies."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.coordinator import PoolerAgents
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.advisory_signals import READY, of
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.failover import Failover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.planned import Switchover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError
from integration.switchover.controller import AGENT_SECONDS, PROMOTING, WINDOW_SECONDS, at, times_of_steps
from integration.switchover.pair import Load, Loading, Pair, lost, wait_writable

HERE = Path(__file__).parent
NOWHERE = "none"


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run", poolers=2) as made:
        yield made


def coordinator(pair, kind=Switchover, patience: float = AGENT_SECONDS):
    return kind(pair.node("db1"), pair.node("db2"), pair.poolers(), Limits(window_seconds=WINDOW_SECONDS), PoolerAgents(["pooler2"], patience))


@contextlib.contextmanager
def pooler_agent(pair, step: str = NOWHERE, fate: str = "kill"):
    """The second pooler's own process while the block runs; afterwards the list has its status and what it said."""
    pooler, found = pair.all_poolers["pooler2"], []
    places = [str(endpoint) for endpoint in (*(server.endpoint for server in pair.servers.values()), pooler.endpoint)]
    with subprocess.Popen([sys.executable, str(HERE / "pooler_agent.py"), step, fate, *places, str(pooler.databases), "pooler2"], stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            yield found
            if fate == "stop":
                process.send_signal(signal.SIGCONT)
            said, _none = process.communicate(timeout=120)
            found += [process.returncode, json.loads(said or "{}")]
        finally:
            process.kill()


@contextlib.contextmanager
def loads(pair):
    """Clients of both poolers while the block runs."""
    both = Load(pair.all_poolers["pooler"].endpoint, rate=150), Load(pair.all_poolers["pooler2"].endpoint, rate=150, first_client=100)
    with Loading(both[0]), Loading(both[1]):
        yield both


def assert_quiet(pair, both, primary: str) -> None:
    """No error, nothing lost, and both poolers send there."""
    assert [(load.errors, load.read_errors) for load in both] == [([], [])] * 2
    assert [lost(pair, load, primary) for load in both] == [set(), set()] and all(len(load.acknowledged) > 100 for load in both)
    assert where(pair) == [primary, primary]


def wait_ready(pair) -> None:
    """Wait until the agent is there: its start takes long beside a load."""
    with pair.node("db2").opened() as node:
        assert wait_for(lambda: node.signals([of(READY, "pooler2")]), AGENT_SECONDS, 0.01)


def where(pair) -> list[str]:
    return [wait_writable(pair, name) for name in ("pooler", "pooler2")]


def test_clients_of_both_poolers_wait_for_a_moment_and_nothing_is_lost(pair):
    with loads(pair) as both, pooler_agent(pair) as found:
        result = coordinator(pair).apply()
    assert result.changed and list(result.steps) == ["paused", "fenced", "replayed", "promoted", "resumed"]
    assert found == [0, {"changed": True, "steps": ["paused", "promoted", "resumed"]}]
    assert_quiet(pair, both, "db2")
    with pooler_agent(pair) as found:
        assert not coordinator(pair).apply().changed
    assert found == [0, {"changed": False, "steps": []}]


def test_nothing_is_begun_before_all_are_there(pair):
    refusal = r"no database_pooler joined for the poolers pooler2 within 0.5 s: run alwayson.upgrade.database_pooler on"
    with loads(pair) as both, pytest.raises(SwitchoverError, match=refusal):
        coordinator(pair, patience=0.5).apply()
    assert_quiet(pair, both, "db1")


def test_a_pooler_agent_is_reported_that_nothing_is_begun(pair):
    with pooler_agent(pair) as found, pytest.raises(SwitchoverError, match=r"db1 .* runs"):
        coordinator(pair, Failover).apply()
    assert found[0] == 0 and "gave up before clients were paused" in found[1]["error"]


@pytest.mark.parametrize("step", ["fenced", PROMOTING, *(pytest.param(name, marks=pytest.mark.thorough) for name in ("paused", "replayed", "promoted"))])
def test_a_coordinator_that_is_killed_leaves_clients_of_both_that_go_on(pair, step):
    places = [str(endpoint) for endpoint in (*(server.endpoint for server in pair.servers.values()), pair.pooler.endpoint)]
    with loads(pair) as both, pooler_agent(pair) as found:
        done = subprocess.run([sys.executable, str(HERE / "controller.py"), step, *places, str(pair.pooler.databases), "pooler2"], check=False, timeout=120)
        assert done.returncode == -signal.SIGKILL
        on = where(pair)
    assert on == ["db2" if step in (PROMOTING, "promoted") else "db1"] * 2 and found[0] == 0
    assert_quiet(pair, both, on[0])
    with pooler_agent(pair) as found:
        assert coordinator(pair).apply().changed == (on[0] == "db1")
    assert where(pair) == ["db2", "db2"]


@pytest.mark.parametrize(("step", "fate"), [
    ("promoted", "kill"), pytest.param("paused", "kill", marks=pytest.mark.thorough), pytest.param("promoted", "stop", marks=pytest.mark.thorough),
])
def test_a_pooler_agent_that_is_killed_or_stopped_leaves_clients_of_both_that_go_on(pair, step, fate):
    with loads(pair) as both, pooler_agent(pair, step, fate) as found, contextlib.suppress(SwitchoverError):
        coordinator(pair).apply()
    on = where(pair)
    assert on[0] == on[1] and (step != "promoted" or on[0] == "db2")
    assert_quiet(pair, both, on[0])
    if fate == "kill":
        assert found == [-signal.SIGKILL, {}]
    with pooler_agent(pair):
        coordinator(pair).apply()
    assert where(pair) == ["db2", "db2"]


def test_a_pooler_elsewhere_that_dies_comes_back_to_the_new_primary(pair):
    switchover = coordinator(pair)

    def die() -> None:
        pair.kill("pooler2")
        pair.start_pooler("pooler2")

    with loads(pair) as both, pooler_agent(pair):
        at(switchover, "fenced", die)
        with contextlib.suppress(SwitchoverError):
            switchover.apply()
        assert where(pair) == ["db2", "db2"]
    assert (both[0].errors, both[0].read_errors) == ([], []) and [lost(pair, load, "db2") for load in both] == [set(), set()]
    # Whoever was connected to it was cut off, and what it let through meanwhile was refused.
    assert both[1].errors + both[1].read_errors


def test_after_a_crash_the_clients_of_both_go_on_with_the_standby(pair):
    pair.be_synchronous()
    with loads(pair) as both, pooler_agent(pair) as found:
        wait_ready(pair)
        pair.kill("db1")
        taking_over = coordinator(pair, Failover)
        resumed = times_of_steps(taking_over, "resumed")
        result = taking_over.apply()
        assert where(pair) == ["db2", "db2"] and [load.failed_since(resumed[0]) for load in both] == [0, 0]
    assert result.changed and result.synchronous and found[1]["changed"]
    assert [lost(pair, load, "db2") for load in both] == [set(), set()]


def test_a_pooler_whose_host_was_away_is_led_later_without_a_coordinator(pair):
    assert pair.switchover().apply().changed and wait_writable(pair) == "db2"
    with pooler_agent(pair) as found:
        pass
    assert found == [0, {"changed": True, "steps": []}] and where(pair) == ["db2", "db2"]
