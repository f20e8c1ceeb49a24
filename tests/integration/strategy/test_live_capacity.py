# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live capacity as two real HAProxy see it, read before each start."""

from __future__ import annotations

import time

from integration.haproxy.real_pool import BACKEND, Pool, until
from integration.strategy.plays import COME, GO, on, wait_for

MEMBERS = {f"w{number}": {"rolling_member": f"s{number}"} for number in range(1, 5)}
LIMITED = ("--limit", "w1,w2,w3")


def capacity(pool: Pool, **more) -> dict:
    return {"rolling_live": {"load_balancers": pool.specs, "backend": BACKEND}, "rolling_pool_hosts": list(MEMBERS), "rolling_max_unavailable": 1, **more}


def test_a_roll_waits_while_another_member_is_down_and_goes_on_when_it_is_back(play, pool):
    reported = play.folder / "events"
    running = play.start([COME, wait_for("member killed", **on("w1")), GO], variables=capacity(pool), host_vars=MEMBERS, arguments=LIMITED,
                         environment={"ANSIBLE_CALLBACKS_ENABLED": "event_log", "EVENT_LOG": str(reported)})
    running.until("w1 come")
    pool.kill_member("s4")
    until(lambda: not any(view["s4"].live for view in pool.members()))
    running.log("member killed")
    running.until("w1 go")
    until(lambda: "less than the floor of 3" in reported.read_text(encoding="utf-8"))
    time.sleep(0.7)
    running.never("w2 come")
    pool.start_member("s4")
    run = running.end()
    assert run.code == 0 and run.came == run.went == ["w1", "w2", "w3"]
    assert '"live", "pools": {"the pool": ["w1", "w2", "w3"]}' in reported.read_text(encoding="utf-8")


def test_a_roll_that_waits_too_long_for_capacity_stops(play, pool):
    pool.do("drained", "s4")
    run = play([COME, GO], variables=capacity(pool, rolling_capacity_timeout=1), host_vars=MEMBERS, arguments=LIMITED)
    assert run.code != 0 and run.log == [] and not run.went_on
    assert "the roll stops: 3 members of the pool are live beside those in flight; taking w1 would leave less than the floor of 3" in run.words
