# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen: right at every size, capacity and failures never cut off, and no text that a terminal would obey."""

from __future__ import annotations

import re

import pytest
from sample_roll import T0, Roll

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.events import fold
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.figures import capacity_bar
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.members import Capacity
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.screen import keeps_something, render
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.view import View
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.words import log_entry
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._text.terminal import inert, inert_lines, painted

SIZES = [(80, 24), (80, 50), (200, 50), (200, 24), (40, 10), (132, 43)]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
CONTROL = "alwayson-report/control"


def shown(view: View, width: int = 80, height: int = 24, **options) -> list[str]:
    return render(view, width, height, control=CONTROL, **options)


def text_of(view: View, width: int = 80, height: int = 24) -> str:
    return "\n".join(shown(view, width, height))


@pytest.mark.parametrize("members", [1, 6, 24, 200, 1000])
def test_it_fits_every_terminal_at_every_moment(members):
    roll = Roll(members, max(1, members // 5), zones=min(4, members))
    drawn = 0
    for moment in (0, 1, 8, 15, 17, 30, roll.seconds):
        view = roll.until(moment)
        for size in SIZES:
            lines = shown(view, *size)
            assert 0 < len(lines) <= size[1] and all(len(line) <= size[0] for line in lines)
            coloured = shown(view, *size, colour=True)
            assert [ESCAPE.sub("", line).rstrip() for line in coloured] == [line.rstrip() for line in lines]
            assert "\x1b" not in "".join(lines)
            drawn += len(lines)
    assert drawn > 300


@pytest.mark.parametrize("members", [6, 200])
def test_capacity_and_failures_are_never_cut_off(members):
    bad = tuple(Roll(members, 1).names[2:5])
    roll = Roll(members, max(4, members // 5), zones=2, bad=bad)
    view = roll.until(roll.seconds)
    for size in SIZES:
        text = text_of(view, *size)
        assert f"{members} of {members} live, floor {roll.floor}" in text and "stopped" in text
        missing = [name for name in bad if name not in text]
        assert not missing if size[1] >= 24 else not missing or re.search(r"and \d more", text), (size, text)


def test_many_failures_are_all_named_before_anything_less_important():
    roll = Roll(200, 40, zones=4, bad=tuple(f"app{number:03}" for number in range(1, 31)))
    view = roll.until(roll.seconds)
    lines = shown(view, 80, 30)
    listed = re.findall(r"app\d{3}", " ".join(line for line in lines if line.startswith((" " * 11, "failed 30"))))
    assert len(set(listed)) == 30 and listed[0] == "app001"


def test_intended_stands_beside_actual():
    lines = shown(Roll(6, 2).until(17))
    rows = {line.split()[1]: line for line in lines if line.startswith(("├", "└"))}
    assert sorted(rows) == [f"app{number}" for number in range(1, 7)]
    assert re.search(r"app1 +2\.0\.0 wave 1 +▶ release", rows["app1"]) and re.search(r"app6 +2\.0\.0 wave 3 +· in traffic, 1\.0\.0$", rows["app6"])
    assert [line for line in lines if line in ("east", "west")] == ["east", "west"]
    heading = next(line for line in lines if "intended" in line)
    assert heading.index("intended") == rows["app1"].index("2.0.0") and heading.index("actual") == rows["app1"].index("▶")


def test_a_wide_terminal_sets_domains_beside_each_other_only_when_they_need_it():
    view = Roll(24, 4).until(30)
    high, low = shown(view, 200, 50), shown(view, 200, 24)
    assert not any("app01" in line and "app13" in line for line in high) and sum("app" in line for line in high) >= 24
    assert any("app01" in line and "app13" in line for line in low) and all(f"app{number:02}" in "\n".join(low) for number in range(1, 25))


def test_what_does_not_fit_is_counted_and_drawn_as_cells():
    roll = Roll(200, 20, zones=4, bad=("app055",))
    view = roll.until(45)
    lines = shown(view, 80, 24)
    strips = [re.match(r"(east|west|north|south) +([█▒·<\N{MULTIPLICATION SIGN}]{50})", line) for line in lines]
    strips = [match for match in strips if match]
    assert [match[1] for match in strips] == ["east", "north", "south", "west"]
    cells = "".join(match[2] for match in strips)
    states = [member.state for member in view.members.values()]
    assert len(cells) == 200 and cells.count("█") == states.count("done") > 10 and cells.count("·") == states.count("to do") > 10
    assert cells.count("▒") == states.count("in flight") and cells.count("<") == states.count("returned") == 1
    assert any(line.startswith("not started ") for line in lines) and any(line.startswith("█ done") for line in lines)


def test_many_domains_are_strips_one_after_the_other():
    lines = shown(Roll(200, 20, zones=40).until(45), 80, 24)
    assert len(re.findall(r"zone\d\d [█▒·]{5}(?= |$)", "\n".join(lines))) >= 30


@pytest.mark.parametrize("size", [1, 3, 6, 7, 50, 200, 999])
@pytest.mark.parametrize("room", [5, 12, 27, 81])
def test_the_bar_never_makes_capacity_look_better_than_it_is(size, room):
    compared = 0
    for floor in sorted({0, 1, size // 2, size - 1, size}):
        for live in sorted({0, 1, size // 3, floor, max(0, floor - 1), size - 1, size}):
            capacity = Capacity(live=live, size=size, floor=floor, in_flight=size - live, standing_by=0, seen=True)
            drawn = "".join(text for text, _style in capacity_bar(capacity, room))
            assert drawn.count("┃") == 1 and len(drawn) <= room
            cells = len(drawn) - 1
            assert drawn.count("█") * size <= live * cells or capacity.live == floor
            assert ("█" * drawn.index("┃") == drawn[:drawn.index("┃")]) == (live >= floor), (live, floor, size, drawn)
            compared += 1
    assert compared >= 4


def test_a_pool_under_its_floor_says_so():
    view = Roll(6, 1).until(17)
    for reported in fold(view, {"event": "live", "at": T0 + 17, "pools": {"app": ["app2", "app3"]}}):
        log_entry(view, reported)
    for width in (40, 80, 200):
        assert "2 of 6 live, floor 5" in text_of(view, width)
    assert "UNDER THE FLOOR" in text_of(view) and "app is under its floor" in text_of(view)


def test_users_failures_and_a_silent_prober_are_seen():
    view = Roll(6, 1).until(20)
    figures = dict(view.probe)
    view.probe = {**figures, "requests_failed": 3, "failures_by_class": {"timeout": 2, "http_5xx": 1}, "version_regressions": 1}
    for width in (60, 80, 200):
        assert "3 FAILED (2 timeout, 1 http_5xx)" in text_of(view, width) and "1 client saw an older release again" in text_of(view, width)
    view.probe = {**figures, "now": view.now - 30}
    assert "no figures from the prober for 30 s" in text_of(view)
    view.probe = {**figures, "now": view.now - 30, "ended": True}
    assert "no word" not in text_of(view) and "0 failed" in text_of(view)
    for broken in ({"requests_failed": None}, {"now": "x"}, {**figures, "series": 3}, {**figures, "versions": 1, "series": [1]}):
        view.probe = broken
        assert "cannot be read" in text_of(view)


def test_the_time_is_reported_and_unknown_is_called_unknown():
    assert "time left unknown" in text_of(Roll(6, 1).until(17))
    assert re.search(r"0:17  about 0:5\d left$", shown(Roll(6, 1, expected_s=9.0).until(17))[0])
    roll = Roll(6, 1)
    assert "left" not in text_of(roll.until(roll.seconds))


def test_phases_are_reported_and_when_they_do_not_fit_those_that_are_done_are_counted():
    view = Roll(6, 1).until(17)
    assert shown(view)[1].startswith("✔ observe  ✔ plan  ✔ guard  ✔ prepare  ▶ roll 0:0")
    assert shown(view, 60)[1].startswith("✔ 4 phases  ▶ roll 0:0")


def test_why_nobody_starts_and_how_to_pause():
    view = Roll(6, 1).until(17)
    assert any(line.startswith("waiting  1 in flight, as many as") for line in shown(view))
    assert shown(view)[-1] == "control  echo pause > alwayson-report/control  (or go, abort)"
    fold(view, {"event": "paused", "at": T0 + 18, "reason": "the control file says pause"})
    assert "paused   the control file says pause" in text_of(view) and "echo go > alwayson-report/control  (or pause" not in text_of(view)
    assert "echo go > alwayson-report/control  (or abort)" in text_of(view)
    assert "echo pause > '/a dir/control'" in "\n".join(render(Roll(6, 1).until(17), 80, 24, control="/a dir/control"))
    assert "echo" not in "\n".join(render(view, 80, 24))
    long = "\n".join(render(view, 80, 24, control="/" + "x" * 100 + "/control"))
    assert "".join(line[9:] for line in long.splitlines()[-2:]) == "echo go > /" + "x" * 100 + "/control"


def test_a_playbook_without_members_shows_its_task():
    view = View()
    for number, event in enumerate([{"event": "run_begins", "playbook": "site.yml", "check": True},
                                    {"event": "play_begins", "play": "web", "strategy": "linear"},
                                    {"event": "task_begins", "task": "Install"}, {"event": "host_begins", "host": "w1", "task": "Install", "action": "apt"},
                                    {"event": "host_begins", "host": "w2", "task": "Install", "action": "apt"},
                                    {"event": "result", "host": "w2", "task": "Install", "outcome": "ok"}, {"event": "tick"}]):
        fold(view, {"at": T0 + number, **event})
    lines = shown(view)
    assert lines[0].startswith("site.yml  check mode") and lines[1] == "web" and lines[2] == "now      Install  1 host done, w1  3.0 s"
    assert not keeps_something(view) and keeps_something(Roll(6, 1).until(30))


# -- hostile text

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\u200b\r\n\t\x9b31m\ud800\ufeff宽e\u0301\U000e0041"


def test_no_text_can_command_the_terminal():
    view = Roll(6, 1, bad=("app1",)).until(60)
    view.service = view.method = view.release_to = view.release_from = HOSTILE
    view.holding = ("stopped", HOSTILE)
    view.phases[HOSTILE] = {"started": T0}
    for member in view.members.values():
        member.name, member.domain, member.why, member.stage, member.release = member.name + HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE
    for pool in view.pools.values():
        pool.title = HOSTILE
    view.notes.append((T0, "bad", HOSTILE))
    view.probe = {**view.probe, "failures_by_class": {HOSTILE: 2}, "requests_failed": 2}
    drawn = 0
    for width, height in SIZES:
        for colour in (False, True):
            for line in [ESCAPE.sub("", line) for line in render(view, width, height, control=HOSTILE, colour=colour)]:
                assert len(line) <= width and not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u200b\ufeff\ud800-\udfff宽\u0301\U000e0041]", line), line
                drawn += 1
    assert drawn > 100


def test_hostile_words_in_a_log_are_inert_too():
    view = View()
    for event in ({"event": "result", "host": "h", "task": HOSTILE, "outcome": "failed", "why": HOSTILE, "item": HOSTILE, "details": inert_lines(HOSTILE)},
                  {"event": "warning", "text": HOSTILE}, {"event": "stopped", "reason": HOSTILE}, {"event": "play_begins", "play": HOSTILE},
                  {"event": "message", "host": "h", "task": HOSTILE, "lines": inert_lines(HOSTILE)}):
        reported = [log_entry(view, one) for one in fold(view, {"at": T0, **event})]
        lines = [line for one in reported if one for line in (one.sentence, *one.details)]
        assert lines and not any(re.search("[\x00-\x1f\x7f-\x9f\u202e\ud800]", line) for line in lines), lines


def test_text_keeps_what_is_harmless():
    assert inert("äöü µ → █ ✔ 12.5") == "äöü µ → █ ✔ 12.5" and inert("a\nb\tc") == "a b c"
    assert inert_lines("a  b\n\n  c\td") == ["a  b", "", "  c     d"]
    assert painted([("abc", "bad"), ("def", "")], 4, colour=True) == "\x1b[1;31mabc\x1b[0m…" and painted([("abcdef", "")], 4) == "abc…"
