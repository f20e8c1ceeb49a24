# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A large fleet: its members are one process, and yet each is started, stopped and given another release by itself."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess

import pytest
from fleet import artifacts, layout, members, service
from fleet.embedded import EmbeddedFleet, FleetError
from fleet.service import Files


@pytest.fixture(scope="module", name="fleet")
def _fleet(tmp_path_factory):
    with EmbeddedFleet(tmp_path_factory.mktemp("crowd"), members=layout.MOST_MEMBERS) as fleet:
        yield fleet


def call(member, verb):
    return subprocess.run(members.command(member, verb), capture_output=True, text=True, check=False, timeout=40)


def test_two_hundred_members_are_in_traffic_and_are_one_process(fleet):
    assert {balancer: len(names) for balancer, names in fleet.in_traffic().items()} == {"lb1": 200, "lb2": 200}
    assert len({str(member.endpoint.address) for member in fleet.layout.members}) in (1, 200)
    assert sorted(fleet.running()) == ["crowd", "lb1", "lb2", "postgres"]
    with pytest.raises(FleetError, match="none of them can die alone"):
        fleet.kill_member("app7")


def test_one_that_is_stopped_refuses_connections_and_the_others_serve(fleet):
    stopped, other = fleet.layout.member("app150"), fleet.layout.member("app151")
    assert call(stopped, "stop").returncode == 0 and call(stopped, "status").returncode == 3
    with pytest.raises(members.MemberError, match="refused"):
        members.answer(stopped, "/version")
    assert members.answer(other, "/version") == {"release": "1.0.0", "host": "app151"}
    assert call(stopped, "start").returncode == 0 and call(stopped, "status").returncode == 0
    assert members.answer(stopped, "/healthz")["status"] == "ok"


def test_one_that_is_started_serves_the_release_that_is_current_then(fleet):
    member = fleet.layout.member("app20")
    (member.directory / "current").unlink()
    artifacts.install(artifacts.build("2.0.0", fleet.directory / "artifacts"), member.directory)
    assert fleet.member_version("app20") == "1.0.0"
    call(member, "stop")
    call(member, "start")
    assert fleet.member_version("app20") == "2.0.0" and fleet.member_version("app21") == "1.0.0"
    call(member, "stop")
    shutil.rmtree(member.directory / "releases" / "2.0.0")
    failed = call(member, "start")
    assert failed.returncode != 0 and "ended with" in failed.stderr


@pytest.mark.parametrize("is_abrupt", [True, False])
def test_what_is_in_flight_is_cut_only_when_the_service_is_abrupt(fleet, is_abrupt):
    member = fleet.layout.member("app3" if is_abrupt else "app4")
    if is_abrupt:
        Files(member.directory).abrupt.touch()
    with socket.create_connection((member.endpoint.address, member.endpoint.port), timeout=20) as user:
        user.sendall(b"GET /stream?ms=1500 HTTP/1.1\r\nHost: shop\r\n\r\n")
        answer = user.recv(65536)
        length = int(re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)[1])
        # Without a process of its own, whose start may take longer than the answer on a busy machine.
        assert service.stop(Files(member.directory)) == "stopped"
        with contextlib.suppress(ConnectionResetError):
            while part := user.recv(65536):
                answer += part
    assert (len(answer.partition(b"\r\n\r\n")[2]) == length) is not is_abrupt
