# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a run in words, what of it is kept, and the way of an event through all of it."""

from __future__ import annotations

import json

import pytest
from sample_roll import POOL, STAGES, T0, Roll

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.events import fold
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.outlet import JSON, PLAIN, SCREEN, Outlet
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.results import HIDDEN, details_of, facts_of, kept_of, message_of, why_of
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.dispatcher import Dispatcher
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.view import View
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.words import log_entry


def sentences(view: View, events: list[dict]) -> list[str]:
    return [reported.sentence for event in events for reported in fold_words(view, event)]


def fold_words(view: View, event: dict):
    return [reported for reported in (log_entry(view, one) for one in fold(view, event)) if reported is not None]


# -- words

def test_what_a_log_says_of_a_roll():
    roll = Roll(6, 1, bad=("app2",))
    view, words = View(), []
    for event in roll.events:
        words += [(reported.level, reported.sentence) for reported in fold_words(view, event)]
    said = [sentence for level, sentence in words if level != "detail"]
    assert "phase prepare took 11 s" in said and "the roll begins: 6 members; at most 1 of 6 out at once, never under 5 live" in said
    assert "app1 starts (5 of 6 live, floor 5)" in said and "app1: draining" in said and "app2: going back: release" in said
    assert sum(sentence.startswith("app1 is upgraded in ") and "smoke test" in sentence for sentence in said) == 1
    assert next(sentence for level, sentence in words if level == "bad") == (
        "FAILED app2: Ask the service and check its answers: /healthz of app2 answered 503, expected 200")
    assert ("warning", "not started: app3, app4, app5, app6") in words and sum("the roll stops: app2 failed" in sentence for sentence in said) == 1
    assert sum(sentence.startswith("waiting: ") for sentence in said) == 1, "a full window is told once"


def test_a_rollback_is_called_one():
    view = Roll(6, 1).until(17)
    view.direction = "rollback"
    reported = sentences(view, [{"event": "finished", "at": T0 + 18, "member": "app1", "pool": POOL, "outcome": "ok", "seconds": 3.0, "why": ""}])
    assert len(reported) == 1 and reported[0].startswith("app1 is rolled back in 3.0 s")


def test_an_interrupted_run_names_who_was_under_way():
    view = Roll(6, 2).until(17)
    assert sentences(view, [{"event": "breaks_off", "at": T0 + 18}]) == ["the run broke off before its end; under way: app1, app2"]


@pytest.mark.parametrize(("result", "why", "details"), [
    ({"msg": "no"}, "no", []),
    ({"msg": ["one", "two"]}, "one\ntwo", []),
    ({"msg": "non-zero return code", "rc": 3, "stderr": "oops\nagain", "stdout": ""}, "non-zero return code", ["rc 3", "stderr: oops", "stderr: again"]),
    ({"msg": {"a": 1}}, '{\n  "a": 1\n}', []),
    ({"stderr": "only this"}, "only this", []),
    ({}, "it failed without a message", []),
    ({"censored": "hidden", "msg": "secret", "stdout": "secret"}, HIDDEN, []),
    ({"_ansible_no_log": True, "msg": "secret", "stderr": "secret"}, HIDDEN, []),
])
def test_a_failure_keeps_its_whole_message_unless_it_is_hidden(result, why, details):
    assert why_of(result) == why and details_of(result) == details


def test_debug_messages_are_lines():
    assert message_of({"msg": ["a", "b\x1b[2J"]}) == ["a", "b\ufffd[2J"] and message_of({"msg": "x\ny"}) == ["x", "y"]
    assert message_of({"hosts": ["a"], "changed": False, "_ansible_verbose_always": True}) == ["hosts: [", '  "a"', "]"]
    assert message_of({"censored": "hidden"}) == [HIDDEN]


def test_facts_that_are_hidden_or_foreign_are_not_looked_at():
    assert facts_of({"ansible_facts": {"alwayson_flipped": True, "other": 1}}) == {"alwayson_flipped": True}
    assert facts_of({"ansible_facts": {"alwayson_flipped": True}, "_ansible_no_log": True}) == {} == facts_of({"ansible_facts": None})


# -- what is kept

def test_the_journal_keeps_names_outcomes_and_sentences_only():
    kept = kept_of({"event": "result", "at": 1, "host": "a", "task": "t", "outcome": "failed", "why": "no\nway", "details": ["secret"], "extra": "secret"})
    assert kept == {"event": "result", "host": "a", "task": "t", "outcome": "failed", "why": "no way"}
    assert kept_of({"event": "result", "host": "a", "task": "t", "outcome": "changed"}) is None
    assert kept_of({"event": "message", "host": "a", "lines": ["secret"]}) is None and kept_of({"event": "tick"}) is None
    assert kept_of({"event": "warning", "text": "secret", "hidden": True}) is None
    assert kept_of({"event": "finished", "member": "a", "outcome": "ok", "seconds": 1.0, "result": {"token": "secret"}}) == {
        "event": "finished", "member": "a", "outcome": "ok", "seconds": 1.0}


def test_a_whole_roll_is_kept():
    roll = Roll(6, 1, bad=("app2",))
    view = View()
    kept = [entry["event"] for event in roll.events for entry in [kept_of(reported) for reported in fold(view, event)] if entry]
    assert kept.count("started") == 2 and kept.count("finished") == 2 and kept.count("phase_begins") == 5 and kept.count("phase_ends") == 5
    assert kept.count("stage") == len(STAGES) + 3 + 3 and kept.count("result") == 1 and kept.count("stopped") == 1 and "live" in kept


# -- the way of an event

class Terminal:
    """A panel that remembers what it was asked for."""

    def __init__(self, broken: bool = False) -> None:
        self.is_open, self.drawn, self.kept, self.broken = False, [], None, broken

    def size(self):
        return 80, 24

    def open(self):
        self.is_open = True

    def draw(self, lines):
        if self.broken:
            raise RuntimeError("no pen")
        self.drawn.append(list(lines))

    def close(self, *, keep):
        self.is_open, self.kept = False, keep


def dispatcher_of(style: str, **options) -> tuple[Dispatcher, list[tuple[str, str]]]:
    written: list[tuple[str, str]] = []
    clock = iter(range(10_000))
    return Dispatcher(Outlet(style, lambda text, level: written.append((text, level)), **options), lambda: float(next(clock))), written


def dispatch_all(dispatcher: Dispatcher, events: list[dict]) -> None:
    for event in events:
        dispatcher.take({name: value for name, value in event.items() if name != "at"})
    dispatcher.ends()


def test_json_is_one_object_for_each_event_and_says_the_same():
    roll = Roll(6, 1, bad=("app2",))
    dispatcher, written = dispatcher_of(JSON)
    dispatch_all(dispatcher, roll.events)
    events = [json.loads(text) for text, _level in written]
    assert len(events) > 30 and all("\n" not in text for text, _level in written)
    assert [event["member"] for event in events if event["event"] == "finished"] == ["app1", "app2"]
    assert not [event for event in events if event["event"] in ("tick", "probe", "host_begins", "facts")]


def test_the_screen_writes_what_must_not_be_lost_above_the_panel_and_keeps_the_last_picture():
    roll = Roll(6, 1, bad=("app2",))
    terminal = Terminal()
    dispatcher, written = dispatcher_of(SCREEN, panel=terminal)
    dispatch_all(dispatcher, [*roll.events, {"event": "message", "host": "localhost", "task": "Show the report", "lines": ["one", "two"]}])
    text = "\n".join(line for line, _level in written)
    assert "FAILED app2" in text and "app1 is upgraded" in text and "the roll stops" in text and "\none\ntwo" in text
    assert "app1: draining" not in text and "phase" not in text
    assert terminal.kept is True and len(terminal.drawn) > 5 and any("app2" in line and "returned" in line for line in terminal.drawn[-1])


def test_a_screen_that_cannot_be_drawn_is_given_up_once_and_nothing_is_lost():
    roll = Roll(6, 1, bad=("app2",))
    terminal = Terminal(broken=True)
    dispatcher, written = dispatcher_of(SCREEN, panel=terminal)
    dispatch_all(dispatcher, roll.events)
    text = "\n".join(line for line, _level in written)
    assert text.count("the screen ends here") == 1 and "no pen" in text and not terminal.is_open
    assert "app1: draining" in text and "FAILED app2" in text


def test_an_event_that_nobody_understands_is_shown_and_does_not_end_the_run():
    dispatcher, written = dispatcher_of(PLAIN)
    dispatch_all(dispatcher, [{"event": "run_begins", "playbook": "p"}, {"event": "started"}, {"event": "finished", "member": "x"}, {"event": "never heard of"},
                              {"event": "result", "host": "a", "task": "t", "outcome": "failed", "why": "the reason"}])
    text = "\n".join(line for line, _level in written)
    assert "FAILED a: t: the reason" in text and "x failed" in text and text.count("could not be put into words") == 1


def test_a_burst_of_events_is_not_drawn_each_time():
    terminal = Terminal()
    outlet = Outlet(SCREEN, lambda text, level: None, panel=terminal)
    for number in range(1000):
        outlet.draw(View(), now=100.0 + number / 10_000)
    assert 0 < len(terminal.drawn) < 40
    outlet.draw(View(), now=200.0)
    assert len(terminal.drawn) < 41


def test_a_question_has_the_terminal_for_itself():
    terminal = Terminal()
    dispatcher, _written = dispatcher_of(SCREEN, panel=terminal)
    dispatcher.take({"event": "run_begins", "playbook": "p"})
    assert terminal.is_open
    dispatcher.outlet.suspend()
    dispatcher.take({"event": "tick"})
    assert not terminal.is_open
    dispatcher.outlet.resume()
    for _tick in range(3):
        dispatcher.take({"event": "tick"})
    assert terminal.is_open
