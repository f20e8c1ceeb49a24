# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue-green on the screen: both pools, which one has the traffic, and the cutover."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.events import fold
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.members import DONE, STANDBY, STAYS
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.screen import render
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.view import View
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.words import words_of

T0 = 1_772_719_331.0
GREEN, BLUE = ("app2", "app4"), ("app1", "app3")
EVERYBODY = {name: {"release": "1.0.0", "domain": "east", "pool": "green" if name in GREEN else "blue"} for name in (*BLUE, *GREEN)}
SERVICE = {"service": "shop", "method": "blue_green", "release": "2.0.0", "side": {"to": "green", "serving": ["blue"], "is_routed": False}}
PLAN = {"service": "shop", "method": "blue_green", "release_from": "1.0.0", "release_to": "2.0.0", "pending": list(GREEN), "live": list(GREEN),
        "steps": [list(GREEN), []], "limits": {"max_unavailable": 2, "min_live": 0}, "pool_size": 2, "waves": [{"members": list(GREEN)}]}
PROLOGUE = [
    {"event": "facts", "host": "localhost", "facts": {"alwayson_service": SERVICE}},
    {"event": "facts", "host": "localhost", "facts": {"alwayson_observed": {"members": {name: EVERYBODY[name] for name in GREEN}, "everybody": EVERYBODY}}},
    {"event": "facts", "host": "localhost", "facts": {"alwayson_plan": PLAN}},
    {"event": "facts", "host": "localhost", "facts": {"alwayson_phases": {"roll": {"started": T0}}}},
]
ROLL = [
    {"event": "roll_begins", "pools": {"the pool": {"size": 2, "window": 2, "floor": 0}},
     "members": [{"name": name, "pool": "the pool", "pending": True, "in_traffic": True} for name in GREEN]},
    {"event": "live", "pools": {"the pool": list(GREEN)}},
    *({"event": "started", "member": name, "pool": "the pool", "direction": "forward"} for name in GREEN),
    *({"event": "finished", "member": name, "pool": "the pool", "outcome": "ok", "seconds": 9.0} for name in GREEN),
    {"event": "live", "pools": {"the pool": list(GREEN)}},
]
CUTOVER = [{"event": "facts", "host": "localhost", "facts": {"alwayson_flipped": True}}]


def after(events: list[dict]) -> tuple[View, list[str]]:
    view, said = View(), []
    for number, event in enumerate(events):
        for reported in fold(view, {"at": T0 + number, **event}):
            words = words_of(reported, view)
            said += [words.sentence] if words else []
    return view, said


def screen(view: View) -> str:
    return "\n".join(render(view, 110, 30))


def test_both_pools_are_shown_and_which_one_has_the_traffic():
    view, said = after([*PROLOGUE, *ROLL[:2]])
    assert {name: member.state for name, member in view.members.items() if name in BLUE} == dict.fromkeys(BLUE, STAYS)
    shown = screen(view)
    assert "2 of 2 live, has the traffic" in shown and "2 of 2 ready, no traffic" in shown and "floor" not in shown
    assert shown.count("in traffic, 1.0.0") == 2 and shown.count("no traffic yet, 1.0.0") == 2
    assert "the roll begins: 2 members of green, which has no traffic; blue has it, 2 of 2 live" in said


def test_what_is_built_stands_by_for_the_cutover_although_its_own_pool_takes_it():
    view, said = after([*PROLOGUE, *ROLL])
    assert {view.members[name].state for name in GREEN} == {STANDBY}
    assert "app2 is upgraded in 9.0 s, stands by for the cutover" in said and "flip" not in " ".join(said)
    assert screen(view).count("upgraded, stands by for the cutover") == 2


def test_the_cutover_is_reported_and_blue_stands_by_for_the_return():
    view, said = after([*PROLOGUE, *ROLL, *CUTOVER])
    assert {view.members[name].state for name in GREEN} == {DONE} and said[-1] == "the cutover: all traffic is on green"
    shown = screen(view)
    assert shown.count("stands by for the return, 1.0.0") == 2 and "not in traffic" not in shown
    assert view.serving == ("green",)


def test_a_return_moves_nobody_and_is_reported_too():
    back = {**SERVICE, "direction": "rollback", "side": {"to": "blue", "serving": ["green"], "is_routed": False}}
    plan = {**PLAN, "direction": "rollback", "pending": [], "steps": [[], []], "waves": []}
    _view, said = after([{"event": "facts", "host": "localhost", "facts": {"alwayson_service": back}}, PROLOGUE[1],
                         {"event": "facts", "host": "localhost", "facts": {"alwayson_plan": plan}}, *CUTOVER])
    assert said[-1] == "the cutover: all traffic is on blue"
