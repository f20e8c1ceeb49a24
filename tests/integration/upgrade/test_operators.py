# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pause and an abort from a second terminal: nobody is in anybody's way, and nothing is left behind. Ctrl-C and a second operator: the fault table."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

EVERYBODY = {f"app{number}" for number in range(1, 7)}
PATIENCE_S = 300


@pytest.fixture
def operator(another_operator):
    return another_operator


@pytest.fixture
def background(operator):
    """Start an upgrade that a test can speak to while it runs."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(operator.run, "upgrade", upgrade_release="2.0.0", upgrade_method="rolling")
        control(operator, "abort")  # what a test that failed has left paused


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def control(operator, word):
    (operator.fleet.directory / "control").write_text(word + "\n", encoding="utf-8")


def lock(operator):
    path = operator.fleet.directory / "state" / "shop.lock"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def assert_nothing_is_left(operator):
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}
    assert lock(operator) is None


def some_are_out(operator):
    return any(members != EVERYBODY for members in operator.in_traffic().values())


@pytest.mark.thorough
def test_a_paused_roll_waits_and_goes_on(operator, background):
    running = background()
    wait_until(lambda: some_are_out(operator))
    control(operator, "pause")
    wait_until(lambda: not some_are_out(operator))  # the window has emptied
    held = lock(operator)
    paused_with = operator.versions()
    assert set(paused_with.values()) == {"1.0.0", "2.0.0"}
    plan = operator.run("plan", upgrade_release="2.0.0")
    assert plan.code == 0 and f"lock {held['id']}" in plan.words
    assert operator.versions() == paused_with and lock(operator) == held
    control(operator, "go")
    run = running.result(PATIENCE_S)
    assert run.code == 0, run.output[-3000:]
    assert run.report["requests_failed"] == 0 and operator.versions() == dict.fromkeys(EVERYBODY, "2.0.0")
    assert_nothing_is_left(operator)


@pytest.mark.thorough
def test_an_aborted_roll_ends_at_a_safe_point(operator, background):
    running = background()
    wait_until(lambda: some_are_out(operator))
    control(operator, "abort")
    run = running.result(PATIENCE_S)
    assert run.code != 0 and any("abort" in problem for problem in run.report["problems"]), run.report["problems"]
    assert run.report["requests_failed"] == 0
    assert set(operator.versions().values()) == {"1.0.0", "2.0.0"}
    assert_nothing_is_left(operator)
