# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a callback plugin is told of a roll."""

from __future__ import annotations

import json

from integration.strategy.plays import COME, GO, break_on


def test_the_events_of_a_roll_that_returns(play):
    reported = play.folder / "events"
    run = play([COME, {**break_on("w2"), "when": "rolling.direction == 'forward'"}, GO],
               variables={"rolling_on_failure": "rollback", "rolling_min_live": 4, "rolling_domain": "{{ zone }}", "rolling_expected_s": 2},
               environment={"ANSIBLE_CALLBACKS_ENABLED": "event_log", "EVENT_LOG": str(reported)}, arguments=("--limit", "w1,w2,w3"))
    events = [json.loads(line) for line in reported.read_text(encoding="utf-8").splitlines()]
    assert run.came == ["w1", "w3", "w2", "w3", "w1"] and "failed on waiting: this screen is broken" in run.words
    begins = events[0]
    assert begins["event"] == "roll_begins" and begins["play"] == "the roll"
    assert begins["pools"] == {"the pool": {"size": 6, "window": 1, "floor": 4, "steps": [3]}}
    assert len(begins["members"]) == 6 and [member["name"] for member in begins["members"] if member["pending"]] == ["w1", "w2", "w3"]
    assert begins["members"][0] == {"name": "w1", "pool": "the pool", "domain": "east", "step": 0, "pending": True, "in_traffic": True, "expected_s": 2.0}
    assert [(event["member"], event["direction"]) for event in events if event["event"] == "started"] == [
        ("w1", "forward"), ("w3", "forward"), ("w2", "forward"), ("w3", "back"), ("w1", "back")]
    finished = [event for event in events if event["event"] == "finished"]
    assert [(event["member"], event["outcome"]) for event in finished] == [("w1", "ok"), ("w3", "ok"), ("w2", "failed"), ("w3", "returned"), ("w1", "returned")]
    assert all(event["seconds"] > 0 and event["pool"] == "the pool" for event in finished)
    others = [event for event in events if event["event"] not in ("tick", "started", "finished", "waiting", "roll_begins", "live")]
    assert others == [{"event": "turns_back", "reason": others[0]["reason"]}, {"event": "roll_ends", "not_started": []}] and "w2 failed" in others[0]["reason"]
    assert sum(event["event"] == "tick" for event in events) >= 5
