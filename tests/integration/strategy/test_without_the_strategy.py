# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The play of docs/without_the_strategy.md, as it stands there."""

from __future__ import annotations

import re

import pytest
import yaml
from integration.strategy.plays import COME, GO, HOSTS, REPOSITORY, break_on, lose_on

DOCUMENT = (REPOSITORY / "docs" / "without_the_strategy.md").read_text(encoding="utf-8")
LIMITS, PLAYS = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL))
EAST, WEST = ["w1", "w3", "w5"], ["w2", "w4", "w6"]


def roll(play, tasks: list, *, limits: dict | None = None, arguments: tuple = ()):
    files = {"group_vars/web.yml": {**LIMITS, **(limits or {})}, "upgrade_host.yml": tasks}
    return play.start_plays(PLAYS, files=files, arguments=arguments).end()


def test_order_and_limits_are_kept(play):
    run = roll(play, [COME, GO])
    assert run.code == 0, run.output
    assert [sorted(run.came[:2]), run.came[2:3], sorted(run.came[3:5]), run.came[5:]] == [["w1", "w3"], ["w5"], ["w2", "w4"], ["w6"]]
    assert sorted(run.went) == HOSTS and run.most_at_once == 2
    assert run.log.index("w5 come") > max(run.log.index(line) for line in ("w1 go", "w3 go"))
    assert "third-party strategy" not in run.words and "strategy plugins not included" not in run.words


@pytest.mark.parametrize("how", [lose_on, break_on])
def test_a_host_that_is_gone_in_the_first_batch_stops_the_second(play, how):
    run = roll(play, [COME, how("w3"), GO])
    assert run.code != 0 and sorted(run.came) == ["w1", "w3"] and run.went == ["w1"]
    assert "The roll stops before w5. Failed or lost: w3" in run.words


def test_what_would_not_be_the_plan_does_not_run(play):
    limited = roll(play, [COME, GO], arguments=("--limit", "localhost,w1,w2"))
    assert limited.code != 0 and limited.log == [] and "The roll stops before w1, w2. Failed or lost: nobody; this batch is no wave" in limited.words
    without_plan = roll(play, [COME, GO], arguments=("--limit", "web"))
    assert without_plan.code != 0 and without_plan.log == [] and "'waves'" in without_plan.words
    assert play.start_plays(PLAYS, files={"upgrade_host.yml": [GO]}, arguments=("--syntax-check",)).end().code == 0
    endless = roll(play, [COME, GO], limits={"rolling_min_live": 6})
    assert endless.code != 0 and endless.log == []
    assert "alwayson.upgrade.waves: the roll would never finish: after 0 of 6 hosts no member may start" in endless.words
