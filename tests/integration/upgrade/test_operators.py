# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators, a pause, an abort, a Ctrl-C: nobody is in anybody's way, and nothing is left behind."""

from __future__ import annotations

import json
import signal
import threading
import time

import pytest

EVERYBODY = {f"app{number}" for number in range(1, 7)}
PATIENCE_S = 120


@pytest.fixture
def background(operator):
    """Start an upgrade that a test can speak to while it runs."""
    runs = []

    def start(**variables):
        box = {}
        thread = threading.Thread(target=lambda: box.update(run=operator.run("upgrade", upgrade_release="2.0.0", upgrade_method="rolling", **variables)))
        thread.start()
        runs.append((thread, box))
        return lambda: (thread.join(PATIENCE_S), box["run"])[1]

    yield start
    for thread, _box in runs:
        thread.join(PATIENCE_S)
    assert operator.run("rollback", upgrade_release="1.0.0", upgrade_probe={}).code == 0
    assert set(operator.versions().values()) == {"1.0.0"}


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def control(operator, word):
    (operator.fleet.directory / "control").write_text(word + "\n", encoding="utf-8")


def lock(operator):
    path = operator.fleet.directory / "state" / "shop.lock"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def assert_nothing_is_left(operator):
    assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}
    assert lock(operator) is None


def some_are_out(operator):
    return any(members != EVERYBODY for members in operator.in_traffic().values())


def test_a_paused_roll_keeps_the_second_operator_out_and_goes_on(operator, background):
    finished = background()
    wait_until(lambda: some_are_out(operator))
    control(operator, "pause")
    wait_until(lambda: not some_are_out(operator))  # the window has emptied
    held = lock(operator)
    paused_with = operator.versions()
    assert set(paused_with.values()) == {"1.0.0", "2.0.0"}
    second = operator.run("upgrade", upgrade_release="2.0.0")
    assert second.code != 0 and held["id"] in second.words and held["owner"] in second.words and "upgrade_take_over" in second.words
    plan = operator.run("plan", upgrade_release="2.0.0")
    assert plan.code == 0 and f"lock {held['id']}" in plan.words
    assert operator.versions() == paused_with and lock(operator) == held
    control(operator, "go")
    run = finished()
    assert run.code == 0, run.output[-3000:]
    assert run.report["requests_failed"] == 0 and operator.versions() == dict.fromkeys(EVERYBODY, "2.0.0")
    assert_nothing_is_left(operator)


def test_an_aborted_roll_ends_at_a_safe_point(operator, background):
    finished = background()
    wait_until(lambda: some_are_out(operator))
    control(operator, "abort")
    run = finished()
    assert run.code != 0 and any("abort" in problem for problem in run.report["problems"]), run.report["problems"]
    assert run.report["requests_failed"] == 0
    assert set(operator.versions().values()) == {"1.0.0", "2.0.0"}
    assert_nothing_is_left(operator)


def test_the_first_ctrl_c_ends_at_a_safe_point(operator, background, monkeypatch):
    import fleet.demo

    started = []
    popen = fleet.demo.subprocess.Popen
    monkeypatch.setattr(fleet.demo.subprocess, "Popen", lambda *arguments, **options: started.append(popen(*arguments, **options)) or started[-1])
    finished = background()
    wait_until(lambda: some_are_out(operator))
    started[0].send_signal(signal.SIGINT)
    run = finished()
    assert run.code != 0 and any("Ctrl-C" in problem for problem in run.report["problems"]), run.report["problems"]
    assert run.report["requests_failed"] == 0
    assert_nothing_is_left(operator)
