# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentence for each event in a log. Pure.

Levels: ``detail`` (only with -v), ``step`` (in a log; on the screen its picture says it), ``info``, ``good``, ``warning`` and ``bad``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._text import figures
from .._text.figures import listed, plural, seconds
from .._text.terminal import inert_lines, one_line
from .members import DONE, FAILED, LOST, RETURNED, STANDBY
from .view import View, note

MOST_STAGES = 6
MOST_REPEATED = 200  # characters of a reason that was shown in full when it happened
# These stay on the screen as its last sentences; what the panel itself shows (a member's end, why no member starts) does not.
NOTABLE = ("warning", "bad")
PICTURED = ("finished", "stopped", "paused")


@dataclass(frozen=True)
class LogEntry:
    """A sentence with its level (detail, step, info, good, warning or bad), and lines that belong below it; a text that was made for a whole terminal
    is not indented.
    """

    level: str
    sentence: str
    details: list[str] = field(default_factory=list)
    indented: bool = True


def words_of(event: Mapping[str, Any], view: View) -> LogEntry | None:
    """The sentence of an event after it was folded; None when there is nothing to say."""
    writer = _WRITERS.get(event["event"])
    return writer(event, view) if writer else None


def done_word(view: View) -> str:
    """What a finished member is in this run."""
    if not view.release_to:
        return "done"
    return figures.done_word(view.direction)


# -- the run

def _play(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("step", f"play {one_line(event['play'])}")


def _no_hosts(event: Mapping[str, Any], view: View) -> LogEntry | None:
    """Plays of the upgrade itself often have no host on purpose, and its phases say what went on."""
    return None if view.service else LogEntry("info", f"play {one_line(event['play'])}: no host matches, nothing is done")


def _no_hosts_left(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("bad", f"no host is left in play {one_line(event['play'])}")


def _phase_begins(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("step", f"phase {one_line(event['phase'])}")


def _phase_ends(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("step", f"phase {one_line(event['phase'])} took {seconds(event['seconds'])}")


def _breaks_off(event: Mapping[str, Any], view: View) -> LogEntry:
    flight = sorted(member.name for member in view.members.values() if member.started is not None and member.seconds is None)
    under_way = f"; under way: {', '.join(flight)}" if flight else ""
    return LogEntry("bad", f"the run broke off before its end{under_way}")


# -- the roll

def _roll_begins(event: Mapping[str, Any], view: View) -> LogEntry:
    pending = [member["name"] for member in event.get("members", []) if member.get("pending")]
    if view.side:
        return LogEntry("step", f"the roll begins: {plural(len(pending), 'member')} of {view.side}, which has no traffic; {_serves(view)}")
    pools = [f"at most {pool.window} of {pool.size} out at once, never under {pool.floor} live" + (f" in {name}" if len(view.pools) > 1 else "")
             for name, pool in view.pools.items() if name in event.get("pools", {})]
    return LogEntry("step", f"the roll begins: {plural(len(pending), 'member')}; {'; '.join(pools)}")


def _started(event: Mapping[str, Any], view: View) -> LogEntry:
    member, pool = view.members[event["member"]], view.pools.get(event.get("pool") or "")
    capacity = view.capacity(pool) if pool else None
    room = f" ({capacity.live} of {capacity.size} live, floor {capacity.floor})" if capacity and not view.side else ""
    return LogEntry("step", f"{member.name} {'goes back' if member.back else 'starts'}{room}")


def _serves(view: View) -> str:
    """The pools that have the traffic, with their live members."""
    entry = [f"{listed(list(view.serving))} {'has' if len(view.serving) == 1 else 'have'} it"] if view.serving else []
    pools = [view.capacity(pool) for pool in view.pools.values() if pool.name in view.serving]
    return ", ".join([*entry, *(f"{capacity.live} of {capacity.size} live" for capacity in pools)]) or "no pool has it"


def _stage(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("step" if event["known"] else "detail", one_line(f"{event['member']}: {'going back: ' if event.get('back') else ''}{event['stage']}"))


def _finished(event: Mapping[str, Any], view: View) -> LogEntry:
    member = view.members[event["member"]]
    after = f" after {seconds(event['seconds'])}" if event.get("seconds") is not None else ""
    why = f": {one_line(event['why'], MOST_REPEATED)}" if event.get("why") else ""
    state = event.get("state", member.state)
    if state in (DONE, STANDBY):
        stages = _stages(event.get("stages", []))
        took = f" in {seconds(event['seconds'])}" if event.get("seconds") is not None else ""
        then = f", stands by for the {'cutover' if view.side else 'flip'}" if state == STANDBY else ""
        return LogEntry("good", f"{member.name} is {done_word(view)}{took}{then}" + (f" ({stages})" if stages else ""))
    if state == RETURNED:
        release = f" to {member.release}" if member.release else ""
        return LogEntry("warning", f"{member.name} was returned{release}{after}{why}")
    return LogEntry("bad", f"{member.name} {'was lost' if state == LOST else 'failed'}{after}{why}")


def _stages(stages: list[Any]) -> str:
    """What each stage took, in order; of many only the longest."""
    shown = sorted(sorted(enumerate(stages), key=lambda entry: -entry[1][1])[:MOST_STAGES])
    left = len(stages) - len(shown)
    return ", ".join(f"{one_line(label)} {seconds(took)}" for _index, (label, took) in shown) + (f", and {left} more" if left else "")


def _member_outcome(event: Mapping[str, Any], view: View) -> LogEntry | None:
    if event["outcome"] != "left_out" or view.members[event["member"]].state != FAILED or not view.reported_by_strategy:
        return None
    return LogEntry("bad", f"{event['member']} is left out of traffic: {event['why'] or 'it could not be put back'}")


def _flipped(event: Mapping[str, Any], view: View) -> LogEntry:
    if view.side:
        return LogEntry("good", f"the cutover: all traffic is on {view.side}")
    return LogEntry("good", f"the traffic is with {listed(event['members'])}")


def _holds(event: Mapping[str, Any], view: View) -> LogEntry:
    kind, reason = event["event"], one_line(event.get("reason", ""))
    # A full window is reported once: it is full again with every start.
    level, words = {"waiting": ("detail" if event.get("again") else "step", "waiting"), "stopped": ("bad", "the roll stops"), "paused": ("warning", "paused"),
                    "turns_back": ("warning", "the roll turns back")}[kind]
    return LogEntry(level, f"{words}: {reason}" if reason else words)


def _goes_on(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("info", "the roll goes on")


def _roll_ends(event: Mapping[str, Any], view: View) -> LogEntry | None:
    names = event.get("not_started", [])
    return LogEntry("warning", f"not started: {', '.join(names)}") if names else None


def _under_floor(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("bad", f"{event['pool']} is under its floor: {event['live']} of {event['size']} live, floor {event['floor']}")


def _above_floor(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("info", f"{event['pool']} keeps its floor again: {event['live']} of {event['size']} live, floor {event['floor']}")


# -- tasks

def _result(event: Mapping[str, Any], view: View) -> LogEntry:
    host, outcome = event["host"], event["outcome"]
    item = f" (item {one_line(event['item'])})" if event.get("item") else ""
    via = f" (on {event['on']})" if event.get("on") else ""
    entry = one_line(f"{host}{via}: {event['task']}{item}")
    why = inert_lines(event.get("why") or "")
    details = [*why[1:], *event.get("details", [])]
    reason = f": {why[0]}" if why[0] else ""
    if outcome == "failed":
        return LogEntry("bad", f"FAILED {entry}{reason}", details)
    if outcome == "unreachable":
        return LogEntry("bad", f"UNREACHABLE {entry}{reason}", details)
    if outcome in ("failure ignored", "unreachable ignored"):
        return LogEntry("info", f"ignored {entry} {'failed' if outcome.startswith('failure') else 'was unreachable'}{reason}", details)
    if outcome == "changed":
        own = view.service or host in view.members
        done = "would change" if event.get("check") else "changed"
        return LogEntry("detail" if own or event.get("summary") else "info", f"{done} {entry}", event.get("details", []))
    return LogEntry("detail", f"{outcome} {entry}", event.get("details", []))


def _message(event: Mapping[str, Any], view: View) -> LogEntry:
    lines = event["lines"]
    if len(lines) == 1:
        return LogEntry("info", f"{event['host']}: {lines[0]}")
    return LogEntry("info", one_line(f"{event['host']}: {event['task']}"), list(lines), indented=False)


def _retry(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("step", one_line(f"{event['host']}: {event['task']}: not yet, {plural(event['left'], 'try', 'tries')} left"))


def _included(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("detail", one_line(f"included {event['file']} for {', '.join(event['hosts'])}", 2000))


def _diff(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("info", one_line(f"{event['host']}: {event['task']}: difference"), event["text"].rstrip("\n").split("\n"))


def _warning(event: Mapping[str, Any], view: View) -> LogEntry:
    lines = inert_lines(event["text"])
    return LogEntry("warning", f"warning: {lines[0]}", lines[1:])


def _problem(event: Mapping[str, Any], view: View) -> LogEntry:
    return LogEntry("bad", f"problem: {event['why']}")


_WRITERS: dict[str, Callable[[Mapping[str, Any], View], LogEntry | None]] = {
    "play_begins": _play, "no_hosts": _no_hosts, "no_hosts_left": _no_hosts_left, "included": _included, "diff": _diff,
    "phase_begins": _phase_begins, "phase_ends": _phase_ends, "breaks_off": _breaks_off,
    "roll_begins": _roll_begins, "started": _started, "stage": _stage, "finished": _finished, "member_outcome": _member_outcome, "flipped": _flipped,
    "waiting": _holds, "stopped": _holds, "paused": _holds, "turns_back": _holds, "goes_on": _goes_on, "roll_ends": _roll_ends,
    "under_floor": _under_floor, "above_floor": _above_floor, "result": _result, "message": _message, "retry": _retry, "warning": _warning,
    "problem": _problem,
}


def log_entry(view: View, event: Mapping[str, Any]) -> LogEntry | None:
    """The sentence of an event, kept for the screen when it is notable."""
    entry = words_of(event, view)
    if entry is not None and entry.level in NOTABLE and event["event"] not in PICTURED:
        note(view, event["at"], entry.level, entry.sentence)
    return entry
