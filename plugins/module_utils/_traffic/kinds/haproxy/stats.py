# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy's runtime API answers, turned into what the rest of the collection knows. Pure.

Three answers make a view: ``show info`` has the version, ``show servers state`` the requested state of each server and what its
health check does, ``show stat`` the sessions. The status column of ``show stat`` alone would not do: it says DOWN of a
server that is in drain and does not answer, and nothing of the health check of one in maintenance.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from ...._host.address import host_port
from ...interface import DOWN, DRAIN, MAINT, PAUSED, READY, STOPPING, UNCHECKED, UP, WATCH_SECONDS, Backend, LoadBalancerError, Member, View

# srv_admin_state, a mask: forced, inherited from a tracked server, without an address; forced and inherited drain.
# The bit between (4) only remembers that the configuration says `disabled`: it stays when the server is ready.
_MAINT_BITS = 0x01 | 0x02 | 0x20 | 0x40
_DRAIN_BITS = 0x08 | 0x10
# srv_check_state and srv_agent_state, masks.
_CONFIGURED, _ENABLED = 0x02, 0x04
# srv_op_state: stopped, starting (in its slow start), running, stopping (its check answers 404).
_OPERATION = {"0": DOWN, "1": UP, "2": UP, "3": STOPPING}
_STATES_VERSION = "1"
# How the answer to `show servers state` begins.
STATES_HEADING = f"{_STATES_VERSION}\n# be_id be_name "
# srv_addr of a server whose name is not resolved, and of a place that a template has left free.
_NO_ADDRESS = "-"
# Of a server: answers of 500 and above, failed connections, truncated answers.
_ERRORS = ("hrsp_5xx", "econ", "eresp")
# The type column of `show stat`.
_BACKEND, _SERVER = "1", "2"


class AnswerError(LoadBalancerError):
    """An answer is not what this collection knows of HAProxy. The message does not name the endpoint."""


def parse_view(info: str, states: str, stat: str) -> View:
    """The view that the answers to ``show info``, ``show servers state`` and ``show stat`` make; raise AnswerError when they make none."""
    asked = parse_states(states)
    rows = parse_stat(stat)
    backends = {}
    try:
        uptime = int(parse_info(info).get("Uptime_sec") or 0)
        for summary in (row for row in rows if row["type"] == _BACKEND):
            name = summary["pxname"]
            servers = [row for row in rows if row["pxname"] == name and row["type"] == _SERVER]
            members = {row["svname"]: _member(row, asked[name, row["svname"]], uptime) for row in servers}
            backends[name] = Backend(members=members, cookie_name=summary.get("cookie") or None)
    except (KeyError, ValueError) as error:
        raise AnswerError(f"it does not answer as HAProxy 2.6 and newer do: {error!r} in its statistics") from error
    return View(version=parse_info(info).get("Version", "unknown"), backends=backends, process=process_of(info))


def process_of(info: str) -> int:
    """The process id in ``show info``; 0 when it has none."""
    return int(parse_info(info).get("Pid") or 0)


def parse_info(answer: str) -> dict[str, str]:
    """``show info`` as names and values. A description of several lines, which comes last, changes none of them."""
    found: dict[str, str] = {}
    for line in answer.split("\n"):
        name, _colon, value = line.partition(":")
        if value:
            found.setdefault(name, value.strip())
    return found


def parse_stat(answer: str) -> list[dict[str, str]]:
    """The rows of ``show stat`` by column name; raise AnswerError when it is no such table or is cut short."""
    if not answer.startswith("# pxname,svname,"):
        raise AnswerError(f"it answers {_shown(answer)} instead of statistics")
    # What a check has said may have line ends in it, between quotes.
    header, *rows = csv.reader(io.StringIO(answer[len("# "):].rstrip("\n") + "\n", newline=""))
    if any(len(row) != len(header) for row in rows):
        raise AnswerError("its statistics are cut short")
    return [dict(zip(header, row)) for row in rows]


def parse_states(answer: str) -> dict[tuple[str, str], dict[str, str]]:
    """``show servers state`` by backend and server; raise AnswerError when it is no such table or is cut short."""
    _version, _newline, table = answer.partition("\n")
    header, *rows = table.splitlines() or [""]
    if not answer.startswith(STATES_HEADING):
        raise AnswerError(f"it answers {_shown(answer)} instead of server states")
    names = header[len("# "):].split()
    states = {}
    for row in rows:
        values = row.split()
        if len(values) != len(names):
            raise AnswerError("its server states are cut short")
        state = dict(zip(names, values))
        states[state["be_name"], state["srv_name"]] = state
    return states


def _member(row: Mapping[str, str], state: Mapping[str, str], uptime: int) -> Member:
    admin = _admin(int(state["srv_admin_state"]))
    probed = _is_at_work(int(state["srv_check_state"]))
    return Member(
        address=row.get("addr") or (host_port(state["srv_addr"], state["srv_port"]) if state["srv_addr"] != _NO_ADDRESS else ""),
        admin=admin,
        health=_health(admin, _OPERATION[state["srv_op_state"]], bool(probed or row["tracked"])),
        check=_check(row),
        check_code=int(row["check_code"]) if row.get("check_code") else None,
        sessions=int(row["scur"]),
        queued=int(row["qcur"]),
        arrivals=int(row["stot"]),
        errors=sum(int(row.get(column) or 0) for column in _ERRORS),
        response_ms=float(row["rtime"]) if row.get("rtime") else None,
        weight=int(state["srv_uweight"]),
        configured_weight=int(state["srv_iweight"]),
        cookie=row.get("cookie") or None,
        backup=row["bck"] == "1",
        probed=probed,
        confirmed=_is_confirmed(row),
        agent=_is_at_work(int(state["srv_agent_state"])),
        watch_seconds=WATCH_SECONDS,
        idle_seconds=_idle_seconds(row, uptime),
    )


def _idle_seconds(row: Mapping[str, str], uptime: int) -> float:
    """For how long a server has had no new session, and the state that it has. HAProxy counts whole seconds, and -1 where there was no session."""
    since_session, since_change = int(row.get("lastsess") or 0), int(row.get("lastchg") or 0)
    return max(0.0, min(uptime if since_session < 0 else since_session, since_change) - 1.0)


def _admin(bits: int) -> str:
    if bits & _MAINT_BITS:
        return MAINT
    return DRAIN if bits & _DRAIN_BITS else READY


def _is_at_work(check_state: int) -> bool:
    """Whether a check is configured and enabled. One that maintenance pauses is: it goes on afterwards."""
    return check_state & _CONFIGURED != 0 and check_state & _ENABLED != 0


def _health(admin: str, operation: str, checked: bool) -> str:
    if checked:
        return PAUSED if admin == MAINT else operation
    # It has no health check, so it counts as usable, unless an operator set its health to down.
    return DOWN if admin != MAINT and operation == DOWN else UNCHECKED


def _is_confirmed(row: Mapping[str, str]) -> bool:
    """Whether the health is at its highest. A failed check lowers it; leaving maintenance sets it so low that one more would do."""
    if not row.get("check_health"):
        return True
    return int(row["check_health"]) >= int(row["check_rise"]) + int(row["check_fall"]) - 1


def _check(row: Mapping[str, str]) -> str:
    """How the last check ended. HAProxy marks one that is under way by "* " before the result of the last one."""
    if row["tracked"]:
        return f"tracks {row['tracked']}"
    return (row.get("check_status") or "").replace("* ", "")


def _shown(answer: str) -> str:
    text = " ".join(answer.split())
    return f"{text[:80]!r}" if text else "nothing"
