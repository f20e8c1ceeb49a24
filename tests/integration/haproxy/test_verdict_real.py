# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary judged by the counters of two real HAProxy: its errors, and what its newest answers took behind a sliding average of older ones."""

from __future__ import annotations

import http.client
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.verdict import Watch, sampled
from integration.by_ansible import ansible
from integration.haproxy.real_pool import BACKEND, MEMBERS, Client, Pool, load

EARLIER, NEWER, SLOW_MS = 700, 40, 100


@pytest.fixture(scope="module", name="pool")
def _pool(tmp_path_factory):
    with Pool(tmp_path_factory.mktemp("verdict")) as pool:
        yield pool


def ask(pool, path: str, count: int, member: str = "s1") -> float:
    """So many requests to one member through lb1, over one connection; how many milliseconds one of them took."""
    began = time.monotonic()
    front = pool.fronts["lb1"]
    connection = http.client.HTTPConnection(front.address, front.port, timeout=15)
    for _number in range(count):
        connection.request("GET", path, headers={"Cookie": f"SRV={member}"})
        assert connection.getresponse().read()
    connection.close()
    return (time.monotonic() - began) * 1000 / count


def test_what_the_newest_answers_took_is_found_behind_the_average(pool):
    ask(pool, "/", EARLIER)
    watches = [Watch(balancer.read(BACKEND), BACKEND) for balancer in pool.balancers]
    took_ms = ask(pool, f"/slow?ms={SLOW_MS}", NEWER)
    for watch, balancer in zip(watches, pool.balancers):
        watch.look(balancer.read(BACKEND))
    sample = sampled(watches, ["s1"])
    assert (sample.requests, sample.errors) == (NEWER, 0)
    # HAProxy tells whole milliseconds, and of so few requests each stands for more than ten.
    assert SLOW_MS * 0.7 <= sample.response_ms <= took_ms * 1.3
    assert watches[0].last.members["s1"].response_ms < sample.response_ms / 3, "the average itself still hides it"


def test_the_module_says_yes_no_and_that_it_cannot_tell(pool):
    options = {"load_balancers": pool.specs, "backend": BACKEND, "seconds": 2}
    with load(*(Client(front, sticky=False) for front in pool.fronts.values())):
        status, good, _shown = ansible("canary_verdict", **options, members=["s2"], min_requests=5, latency_slack_ms=500)
        assert status == 0 and good["verdict"] == "good" and good["canary"]["requests"] >= 5 and good["others"]["requests"] > good["canary"]["requests"]
        status, unclear, _shown = ansible("canary_verdict", **options, members=["s2"], min_requests=1_000_000)
        assert status != 0 and unclear["verdict"] == "unclear"
    slow, fast = Client(pool.fronts["lb2"], path=f"/slow?ms={4 * SLOW_MS}", cookie="SRV=s3"), Client(pool.fronts["lb1"], cookie="SRV=s4")
    with load(slow, fast):
        status, bad, _shown = ansible("canary_verdict", **options, members=["s3"], min_requests=1, latency_slack_ms=20)
    assert status != 0 and bad["verdict"] == "bad" and "answers took" in bad["msg"], bad


def test_a_member_that_is_not_there_is_named(pool):
    status, result, _shown = ansible("canary_verdict", load_balancers=pool.specs, backend=BACKEND, members=["s9"], seconds=0)
    assert status != 0 and f"has no member s9 in app: it has {', '.join(MEMBERS)}" in result["msg"]
