# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of a run, folded into its view. Pure: every event carries its time.

``fold`` takes one event, changes the view, and returns what is reported of it: the event itself, and others that follow from it
(a set_fact makes a phase begin, a task makes a member enter its next stage). Unknown events are passed on and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._text.terminal import one_line
from .facts import fold_facts
from .members import DONE, FAILED, FLIGHT, LOST, PROBLEMS, RETURNED, RETURNING, STANDBY, STAYS, TODO, Member, Pool, stage_of
from .view import View

ROLLING = "alwayson.upgrade.rolling"
_CHANGES_CAPACITY = ("plan", "roll_begins", "started", "finished", "live", "flipped", "member_outcome")
_STATE_OF_OUTCOME = {"ok": DONE, "failed": FAILED, "lost": LOST, "returned": RETURNED}


def fold(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Take in one event ``{event, at, ...}``; returns the events that are reported."""
    view.now = max(view.now, event["at"])
    handler = _HANDLERS.get(event["event"])
    events = [dict(event)] if handler is None else handler(view, event)
    return events + _crossings(view, event["at"]) if any(one["event"] in _CHANGES_CAPACITY for one in events) else events


def _crossings(view: View, at: float) -> list[dict[str, Any]]:
    """A pool that falls under its floor, or is above it again: reported once each time."""
    events = []
    for pool in view.pools.values():
        capacity = view.capacity(pool)
        view.lowest_live[pool.name] = min(capacity.live, view.lowest_live.get(pool.name, capacity.live))
        if capacity.under != (pool.name in view.under_floor):
            (view.under_floor.add if capacity.under else view.under_floor.discard)(pool.name)
            events.append({"event": "under_floor" if capacity.under else "above_floor", "at": at, "pool": pool.name, "live": capacity.live,
                           "size": capacity.size, "floor": capacity.floor})
    return events


# -- the run, its plays and tasks

def _run_begins(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.begun, view.playbook, view.check = event["at"], event.get("playbook", ""), bool(event.get("check"))
    return [dict(event)]


def _play_begins(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.play, view.play_rolls = event["play"], event.get("strategy") == ROLLING
    view.task, view.task_hosts, view.running = "", set(), {}
    return [dict(event)]


def _task_begins(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.task, view.task_hosts = event["task"], set()
    return []


def _host_begins(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    host, at = event["host"], event["at"]
    view.running[host] = (event["task"], at)
    stage, known = stage_of(event.get("action", ""), event.get("state"), event["task"])
    if not stage or not view.in_roll:
        return []
    # Beside the roll's own play a member is only on its way (back) when its traffic or its release is touched.
    events = _starts_unreported(view, host, at) if known or view.play_rolls else []
    member = view.members.get(host)
    if member is None or member.state != FLIGHT or (stage == RETURNING and not member.back and not view.side and view.stands_by(member)):
        return events
    if member.enters(stage, at):
        events.append({"event": "stage", "at": at, "member": host, "pool": member.pool, "stage": stage, "known": known, "back": member.back})
    return events


def _starts_unreported(view: View, host: str, at: float) -> list[dict[str, Any]]:
    """A start that no strategy reports: it follows from the first task that does something to the member."""
    member = view.members.get(host)
    if member is None and view.play_rolls and not view.reported_by_strategy:
        member = view.members[host] = Member(host)
    back = not view.play_rolls
    if member is None or member.state in (FLIGHT, STAYS) or (view.reported_by_strategy and view.play_rolls) or (member.state != TODO and not back):
        return []
    member.starts(at, back=back)
    return [{"event": "started", "at": at, "member": host, "pool": member.pool, "direction": "back" if back else "forward"}]


def _result(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    host, outcome = event["host"], event["outcome"]
    if not event.get("item"):
        view.running.pop(host, None)
        view.task_hosts.add(host)
    member = view.members.get(host)
    if member is None or member.state != FLIGHT:
        return [dict(event)]
    if outcome == "failed":
        member.back, member.why = True, member.why or one_line(f"{event['task']}: {event.get('why', '')}")
    elif outcome == "skipped" and not event.get("item"):
        member.skips(event["task"])
    events = [dict(event)]
    if outcome == "unreachable" and not view.reported_by_strategy:
        events += _finished(view, {"event": "finished", "at": event["at"], "member": host, "pool": member.pool, "outcome": "lost", "why": event.get("why", "")})
    return events


# -- events of the strategy

def _roll_begins(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.reported_by_strategy = view.rolling = True
    view.served_at_once = event.get("served_at_once")
    view.holding, view.not_started = ("", ""), []
    planned = [view.side] if view.side else list(view.pools)
    title = planned[0] if len(planned) == 1 == len(event.get("pools", {})) else ""
    for name, pool in event.get("pools", {}).items():
        known = view.pools.get(name)
        view.pools[name] = Pool(name, pool["size"], pool["window"], pool["floor"], len(pool.get("steps", [])) or 1,
                                known.title if known else title, known.live if known else None)
    _move_to_reported_pool(view, list(event.get("pools", {})))
    for events in event.get("members", []):
        _expect(view, events)
    for name in [name for name in view.pools if name not in {member.pool for member in view.members.values()}]:
        del view.pools[name]
    return [dict(event)]


def _move_to_reported_pool(view: View, names: list[str]) -> None:
    """The plan knows one pool by the service's name; when the roll calls it otherwise, members that this roll does not list belong to it too."""
    if len(names) == 1:
        for member in view.members.values():
            member.pool = names[0] if member.colour == view.side else member.pool


def _expect(view: View, events: Mapping[str, Any]) -> None:
    """What a roll says about a member before it begins. What an earlier roll of this run made of it stays."""
    member = view.members.setdefault(events["name"], Member(events["name"]))
    member.pool, member.domain = events["pool"], events.get("domain") or member.domain
    member.step = events["step"] if events.get("step") is not None else member.step
    member.expected_s = events.get("expected_s") or member.expected_s
    if member.state in (TODO, STAYS):
        # The first of two rolls names only its own half as pending; what is planned for later stays planned.
        member.in_traffic, member.pending = bool(events.get("in_traffic", True)), bool(events.get("pending")) or (view.planned and member.pending)
        member.state = TODO if member.pending else STAYS


def _started(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.reported_by_strategy = True
    member = view.members.setdefault(event["member"], Member(event["member"], pool=event.get("pool", "")))
    member.starts(event["at"], back=event.get("direction") == "back")
    if view.holding[0] == "waiting":
        view.holding = ("", "")
    return [dict(event)]


def _finished(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    member = view.members.setdefault(event["member"], Member(event["member"], pool=event.get("pool", "")))
    state = _STATE_OF_OUTCOME.get(event["outcome"], FAILED)
    if state == FAILED and member.state == RETURNED:
        state = RETURNED
    if state == DONE and member.back:
        state = RETURNED
    if state == DONE and view.stands_by(member):
        state = STANDBY
    if member.state == FLIGHT or member.state not in PROBLEMS:
        member.ends(state, event["at"], event.get("seconds"))
    elif event.get("seconds") is not None:
        member.seconds = event["seconds"]
    member.state = state
    if state in PROBLEMS:
        member.why = one_line(event.get("why") or member.why)
    return [{**event, "state": state, "why": member.why, "seconds": member.seconds, "stages": [list(stage) for stage in member.stages]}]


def _live(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    for name, names in event["pools"].items():
        if name in view.pools:
            view.pools[name].live = frozenset(names)
    for member in view.members.values():
        pool = view.pools.get(member.pool)
        if member.state == STANDBY and not view.side and pool is not None and pool.live is not None and member.name in pool.live:
            member.ends(DONE, event["at"], member.seconds)
    return [dict(event)]


def _holds(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    if event["event"] == "goes_on":
        view.holding = ("", "")
        return [dict(event)]
    view.holding = (event["event"], one_line(event.get("reason", "")))
    events = {**event, "again": view.holding in view.held}
    view.held.add(view.holding)
    return [events]


def _roll_ends(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.rolling, view.play_rolls, view.not_started = False, False, list(event.get("not_started", []))
    if view.holding[0] != "stopped":
        view.holding = ("", "")
    return [dict(event)]


def _probe(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.probe = event.get("live") or {}
    return []


def _run_ends(view: View, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    view.ended, view.running = event["event"], {}
    return [dict(event)]


_HANDLERS = {
    "run_begins": _run_begins, "play_begins": _play_begins, "task_begins": _task_begins, "host_begins": _host_begins, "result": _result,
    "facts": fold_facts, "roll_begins": _roll_begins, "started": _started, "finished": _finished, "live": _live, "waiting": _holds, "stopped": _holds,
    "paused": _holds, "goes_on": _holds, "turns_back": _holds, "roll_ends": _roll_ends, "probe": _probe, "tick": lambda view, event: [],
    "run_ends": _run_ends, "breaks_off": _run_ends,
}
