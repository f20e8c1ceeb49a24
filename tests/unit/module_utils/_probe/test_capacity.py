# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import itertools

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe import capacity
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.capacity import CapacityError, CapacitySampler, CapacitySeries, count_live
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.plan import CapacitySource
from probe_servers import closed_port

HEAD = "# pxname,svname,qcur,status,weight,bck,type,\n"


def show_stat(*statuses, backend="app", whole=True):
    servers = "".join(f"{backend},s{number},0,{status},1,0,2,\n" for number, status in enumerate(statuses))
    return HEAD + f"front,FRONTEND,0,OPEN,,,0,\n{servers}" + (f"{backend},BACKEND,0,UP,1,0,1,\n\n" if whole else "")


@pytest.mark.parametrize("status", ["UP", "UP 1/2", "no check"])
def test_a_server_that_takes_new_traffic_is_live(status):
    assert count_live(show_stat(status), "app") == 1


@pytest.mark.parametrize("status", ["DOWN", "DOWN 1/2", "DOWN (agent)", "MAINT", "MAINT (via app/s1)", "DRAIN", "DRAIN 1/2", "NOLB", "NOLB 1/2", ""])
def test_a_server_that_takes_none_is_not(status):
    assert count_live(show_stat("UP", status), "app") == 1


def test_backup_servers_wait_weight_0_gets_nothing_and_other_backends_do_not_count():
    answer = show_stat("UP", "UP") + "app,spare,0,UP,1,1,2,\napp,unweighted,0,UP,0,0,2,\nother,s1,0,UP,1,0,2,\nother,BACKEND,0,UP,1,0,1,\n"
    assert (count_live(answer, "app"), count_live(answer, "other")) == (2, 1)


def test_what_a_check_has_said_is_no_end_of_a_row():
    answer = show_stat("UP", "UP").replace("app,s1,0,", 'app,s1,"no\n\nanswer \u2028",')
    assert "answer" in answer and count_live(answer, "app") == 2


def test_a_backend_without_servers_has_none_live():
    assert count_live(show_stat(), "app") == 0


def test_an_unknown_backend_is_named_with_those_there_are():
    with pytest.raises(CapacityError, match="no backend 'shop'; the endpoint knows app"):
        count_live(show_stat("UP"), "shop")


@pytest.mark.parametrize("answer", ["", "Permission denied\n", show_stat("UP", "UP", whole=False)])
def test_an_answer_that_was_cut_off_is_no_count(answer):
    with pytest.raises(CapacityError):
        count_live(answer, "app")


def test_a_series_keeps_every_change_and_a_row_per_second():
    series = CapacitySeries({"lb1": "app", "lb2": "app"})
    for quarter in range(12):
        series.add(100 + quarter / 4, {"lb1": 5 if 6 <= quarter < 8 else 6, "lb2": 6})
    assert [(row["t"], row["lb1"]) for row in series.rows] == [(100.0, 6), (101.0, 6), (101.5, 5), (102.0, 6)]
    assert (series.samples, series.live_min) == (12, 5)


def test_what_cannot_be_read_is_reported_and_is_not_zero():
    series = CapacitySeries({"lb1": "app", "lb2": "app"})
    series.add(100.0, {"lb1": None, "lb2": 4})
    assert series.as_result() == {
        "capacity": [{"t": 100.0, "lb1": None, "lb2": 4}], "capacity_samples": 1, "capacity_pools": {"lb1": "app", "lb2": "app"},
        "capacity_unreadable": {"lb1": 1, "lb2": 0}, "capacity_skipped": {}, "live_min": 4}


async def runtime_api(answers, path=None):
    """An endpoint that gives the next of `answers` to each connection, as HAProxy does: one command, one answer, closed."""
    async def serve(reader, writer):
        assert await reader.readline() == b"show stat\n"
        writer.write(next(answers).encode("ascii"))
        writer.close()

    return await (asyncio.start_unix_server(serve, path) if path else asyncio.start_server(serve, "127.0.0.1", 0))


def endpoint_of(server):
    return f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_endpoints_are_sampled_over_tcp_and_unix_sockets(tmp_path):
    async def sample():
        tcp = await runtime_api(itertools.chain([show_stat("UP", "UP")], itertools.repeat(show_stat("UP", "MAINT"))))
        unix = await runtime_api(itertools.repeat(show_stat("UP", "UP", "UP")), str(tmp_path / "api"))
        sources = [CapacitySource("lb1", endpoint_of(tcp), "app"), CapacitySource("lb2", f"unix:{tmp_path / 'api'}", "app")]
        sampler = CapacitySampler(sources, wall_clock=itertools.count(100.0).__next__)
        await sampler.check()
        task = asyncio.get_running_loop().create_task(sampler.run(asyncio.get_running_loop().time))
        while sampler.series.samples < 3:
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()
        tcp.close(), unix.close()
        return sampler.series

    series = asyncio.run(sample())
    assert series.rows[:3] == [{"t": 100.0, "lb1": 1, "lb2": 3}, {"t": 101.0, "lb1": 1, "lb2": 3}, {"t": 102.0, "lb1": 1, "lb2": 3}]
    assert (series.live_min, series.unreadable) == (1, {"lb1": 0, "lb2": 0})


def test_samples_keep_their_pace_and_do_not_bunch_up_after_a_slow_one(monkeypatch):
    now, taken = [100.0], []
    lasts = iter([0.01, 1.0, 0.01])

    async def read(_source):
        taken.append(now[0])
        now[0] += next(lasts, 0.01)
        return 1

    async def sleep(seconds):
        now[0] += seconds
        if len(taken) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(capacity, "_read_or_none", read)
    sampler = CapacitySampler([CapacitySource("lb1", "unix:/api", "app")], wall_clock=lambda: now[0])
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(sampler.run(lambda: now[0], sleep))
    assert taken == pytest.approx([100.0, 100.25, 101.25, 101.5, 101.75])


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("unix:/nowhere/admin.sock", "unix:/nowhere/admin.sock: .*No such file"),
        ("127.0.0.1:9001", "write the endpoint as"),
        ("tcp://127.0.0.1", "write the endpoint as"),
        ("tcp://127.0.0.1:CLOSED", "capacity of lb1 cannot be read from tcp://127.0.0.1:.*[Cc]onnect"),
    ],
)
def test_the_check_names_the_endpoint_that_cannot_be_read(endpoint, message):
    source = CapacitySource("lb1", endpoint.replace("CLOSED", str(closed_port())), "app")
    with pytest.raises(CapacityError, match=message):
        asyncio.run(CapacitySampler([source], wall_clock=lambda: 0.0).check())


def test_an_optional_endpoint_that_cannot_be_read_is_left_out_and_said_to_be():
    sampler = CapacitySampler([CapacitySource("lb1", "unix:/nowhere/admin.sock", "app", optional=True)], wall_clock=lambda: 0.0)
    asyncio.run(sampler.check())
    result = sampler.series.as_result()
    assert "unix:/nowhere/admin.sock: " in result["capacity_skipped"]["lb1"] and result["capacity_unreadable"] == {}
    asyncio.run(sampler.run(lambda: 0.0))  # nothing is left to sample


def test_the_check_names_an_endpoint_that_does_not_answer(monkeypatch):
    async def check():
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        try:
            await CapacitySampler([CapacitySource("lb1", endpoint_of(server), "app")], wall_clock=lambda: 0.0).check()
        finally:
            server.close()

    monkeypatch.setattr(capacity, "READ_SECONDS", 0.05)
    with pytest.raises(CapacityError, match=r"no answer within 0.05 s"):
        asyncio.run(check())
