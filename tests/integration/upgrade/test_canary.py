# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary: what its users get decides whether others follow."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

PLUGINS = Path(__file__).parent / "plugins"
EVERYBODY = {f"app{number}" for number in range(1, 7)}
SETTINGS = yaml.safe_load((Path(__file__).resolve().parents[2] / "fleet" / "service.yml").read_text(encoding="utf-8"))["demo_probe"]
STICKY = {**SETTINGS, "mix": [{"kind": "sticky", "share": 1, "path": "/products?tenant=a"}]}
# Its fault is one that no smoke test looks for.
BROKEN = {"upgrade_release": "2.0.2", "upgrade_method": "canary", "upgrade_smoke_tests": [], "upgrade_canary_weight": 20, "upgrade_soak": 10}


def outcomes(run) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, member in run.report["members"].items():
        names.setdefault(member["outcome"], []).append(name)
    return names


def weights(operator) -> set[str]:
    return {operator.fleet.runtime(balancer, f"get weight app/{name}").strip() for balancer in ("lb1", "lb2") for name in EVERYBODY}


def test_a_release_that_only_fails_its_users_stays_on_the_canary_and_is_taken_back(operator):
    run = operator.run("upgrade", **BROKEN)
    assert run.code != 0
    assert {outcome: len(names) for outcome, names in outcomes(run).items()} == {"returned": 1, "untouched": 5}
    assert any("requests failed" in problem and "1 % are allowed" in problem for problem in run.report["problems"]), run.report
    # What the canary cost is of the canary: nothing but its own answers failed, and it had a fifth of a member's traffic for a few seconds.
    failures = {kind: count for kind, count in run.report["failures_by_class"].items() if count}
    assert set(failures) == {"http_5xx"} and failures["http_5xx"] < run.report["requests_scheduled"] / 20
    assert weights(operator) == {"100 (initial 100)"}
    assert set(operator.versions().values()) == {"1.0.0"} and operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}
    # Out for the upgrade, and out again before it goes back: it had users by then.
    assert run.output.count("Take the member out of traffic, proven on every load balancer") == 2


@pytest.mark.thorough
def test_a_gate_of_the_teams_own_says_no(operator):
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="canary", upgrade_gate_tasks=[str(PLUGINS / "fail.yml")])
    assert run.code != 0
    assert {outcome: len(names) for outcome, names in outcomes(run).items()} == {"returned": 1, "untouched": 5}
    assert any("the team said no" in problem for problem in run.report["problems"]) and run.report["requests_failed"] == 0


@pytest.mark.thorough
def test_a_canary_that_too_few_use_is_no_yes(operator):
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="canary", upgrade_gate={"min_requests": 1_000_000})
    assert run.code != 0
    assert any("a verdict needs 1000000" in problem for problem in run.report["problems"]) and set(operator.versions().values()) == {"1.0.0"}


@pytest.mark.thorough
def test_a_good_one_is_followed_and_nobody_who_is_bound_to_a_release_sees_the_one_before_again(operator):
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="canary", demo_probe=STICKY, upgrade_gate={"min_requests": 0},
                       upgrade_canary_weight=50)
    # All users are bound to a member already, so a canary gets only those whose member is upgraded: a verdict on few of them, or on none, has to do.
    assert run.code == 0, run.output[-4000:]
    assert run.report["requests_scheduled"] > 600
    assert (run.report["requests_failed"], run.report["version_regressions"]) == (0, 0), run.report["failures_by_class"]
    assert outcomes(run) == {"upgraded": sorted(EVERYBODY)} and weights(operator) == {"100 (initial 100)"}
    # Steps of 1, 10 %, 50 % and 100 %: three are judged before the last three follow.
    assert run.output.count("Compare the member's figures with the others'") >= 2
    again = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="canary")
    assert again.code == 0 and set(again.changed.values()) == {0}


@pytest.mark.thorough
def test_the_weight_that_an_interrupted_run_left_is_put_right(operator):
    operator.fleet.runtime("lb1", "set server app/app2 weight 10%")
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="canary", upgrade_canary_weight=50)
    assert run.code == 0 and weights(operator) == {"100 (initial 100)"}


def test_bad_thresholds_are_named(operator):
    run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_gate={"max_eror_percent": 1})
    assert run.code != 0 and "upgrade_gate is {'max_eror_percent': 1}: it has max_error_percent" in run.words
