# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two HAProxy versions really answered, with a server in every state there is. The files were recorded, nothing in them is made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DOWN, DRAIN, MAINT, PAUSED, READY, UNCHECKED, UP
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.stats import (
    AnswerError, _idle_seconds, parse_info, parse_stat, parse_states, parse_view,
)

DATA = Path(__file__).resolve().parents[4] / "data"
VERSIONS = ["2.6", "2.8"]


def answers(version):
    info, states, stat, end = (DATA / f"haproxy-{version}.txt").read_text(encoding="utf-8").split("\n\n")
    assert end == ""
    return info, states, stat


@pytest.fixture(params=VERSIONS)
def pool(request):
    view = parse_view(*answers(request.param))
    assert view.version.startswith(request.param)
    assert list(view.backends) == ["app"]
    return view.backends["app"]


EXPECTED = {
    "up": (READY, UP, "L7OK", True, True),
    "gone": (READY, DOWN, "L4CON", False, True),
    "drained": (DRAIN, UP, "L7OK", False, True),
    "dead-in-drain": (DRAIN, DOWN, "L4CON", False, True),
    "in-maintenance": (MAINT, PAUSED, "", False, True),
    "fresh-out-of-maintenance": (DRAIN, UP, "INI", False, True),
    "unchecked": (READY, UNCHECKED, "", True, False),
    "tracking": (READY, UP, "tracks app/up", True, False),
    "disabled-in-configuration": (MAINT, PAUSED, "", False, True),
    "enabled-again": (READY, UP, "L7OK", False, True),
    "with-agent": (READY, UP, "L7OK", False, True),
}


def test_every_state_of_a_server_is_understood(pool):
    seen = {name: (member.admin, member.health, member.check, member.live, member.probed) for name, member in pool.members.items()}
    assert seen == EXPECTED


def test_only_members_that_take_new_traffic_are_capacity(pool):
    """Not the backup, not the one without weight, not the ones in drain or down."""
    assert pool.live == 3
    assert [name for name, member in pool.members.items() if member.serving and not member.live] == ["enabled-again"]
    assert pool.members["with-agent"].weight == 0 and pool.members["drained"].weight == 7


def test_leaving_maintenance_is_no_confirmation(pool):
    """HAProxy calls it up without one check. A check that fails leaves it unconfirmed, too, until one passes."""
    assert not pool.members["fresh-out-of-maintenance"].confirmed
    assert {name for name, member in pool.members.items() if not member.confirmed} == {"fresh-out-of-maintenance", "gone", "dead-in-drain"}


@pytest.mark.parametrize(("session", "change", "uptime", "seconds"), [
    ("-1", "9", 6, 5.0), ("-1", "4", 6, 3.0), ("3", "9", 60, 2.0), ("0", "9", 60, 0.0), ("1", "9", 60, 0.0), ("40", "2", 60, 1.0), ("", "9", 60, 0.0)])
def test_for_how_long_a_server_was_certainly_idle(session, change, uptime, seconds):
    """Whole seconds are counted, which may have just begun."""
    assert _idle_seconds({"lastsess": session, "lastchg": change}, uptime) == seconds


def test_what_the_version_check_needs_is_there(pool):
    assert pool.cookie_name == "SRV"
    assert (pool.members["up"].address, pool.members["up"].cookie) == ("127.0.0.61:8080", "up")
    assert pool.members["unchecked"].cookie is None
    assert [name for name, member in pool.members.items() if member.agent] == ["with-agent"]
    assert [name for name, member in pool.members.items() if member.backup] == ["enabled-again"]


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_and_queue_are_read(version):
    info, states, stat = answers(version)
    busy = stat.replace("\napp,up,0,0,0,0,,0,", "\napp,up,3,5,2,9,,41,")
    assert busy != stat
    member = parse_view(info, states, busy).backends["app"].members["up"]
    assert (member.queued, member.sessions, member.arrivals) == (3, 2, 41)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_that_is_cut_short_is_refused_wherever_it_ends(version):
    """A cut between two rows leaves the pool without its summary, which comes last: then there is no such backend."""
    info, states, stat = answers(version)
    refused, lengths = 0, range(stat.index("\n") + 2, len(stat), 3)
    for length in lengths:
        try:
            view = parse_view(info, states, stat[:length])
        except AnswerError:
            refused += 1
        else:
            assert "app" not in view.backends or view.backends["app"].members.keys() == EXPECTED.keys()
    assert refused > len(lengths) * 0.9
    for length in range(0, len(states), 3):
        try:
            view = parse_view(info, states[:length], stat)
        except AnswerError:
            continue
        assert view.backends["app"].members.keys() == EXPECTED.keys() and length >= len(states) - 1


@pytest.mark.parametrize("answer", ["", "\n", "No such proxy.", "# pxname", "<html>"])
def test_what_is_no_statistics_is_refused(answer):
    with pytest.raises(AnswerError, match="instead of statistics"):
        parse_stat(answer)


@pytest.mark.parametrize("answer", ["", "1", "Can't find backend.", "2\n# be_id be_name srv_id"])
def test_what_is_no_server_states_is_refused(answer):
    with pytest.raises(AnswerError, match="instead of server states"):
        parse_states(answer)


def test_a_table_without_a_column_that_is_needed_is_refused():
    info, states, stat = answers("2.8")
    with pytest.raises(AnswerError, match="'stot'"):
        parse_view(info, states, stat.replace(",stot,", ",other,"))


def test_info_is_names_and_values():
    assert parse_info("Name: HAProxy\nVersion: 2.8.25-5cf5d0683\nnode: \n") == {"Name": "HAProxy", "Version": "2.8.25-5cf5d0683", "node": ""}
