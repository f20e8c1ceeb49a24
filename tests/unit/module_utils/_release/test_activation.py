# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import activation, releases
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.activation import ActivationError, Plan, carry_out, plan
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.releases import Marker, ReleaseError, State
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.service import ServiceError

OLD, NEW = "1.0.0", "2.0.0"
STAGED = {OLD: Marker("1" * 64, 1.0, 1, 1), NEW: Marker("2" * 64, 2.0, 1, 1)}


class FakeService:
    """Keeps the order of what is asked of it, and fails where it is told to."""

    def __init__(self, running=True, exists=True, fails=None):
        self.running, self.exists, self.fails = running, exists, fails
        self.log = []

    def is_running(self):
        return self.running

    def stop(self):
        self._do("stop")

    def start(self):
        self._do("start")

    def _do(self, verb):
        self.log.append(verb)
        if verb == self.fails:
            raise ServiceError(f"{verb} ended with 1: no luck")


@pytest.fixture(name="switched")
def _switched(monkeypatch):
    """Stands in for the switch of the links; keeps what was switched."""
    calls = []
    monkeypatch.setattr(releases, "switch", lambda *args: calls.append(args))
    return calls


@pytest.mark.parametrize(
    ("current", "running", "exists", "expected"),
    [
        (OLD, True, True, Plan(NEW, OLD, stop=True, switch=True, start=True)),
        (OLD, False, True, Plan(NEW, OLD, stop=False, switch=True, start=True)),
        (NEW, True, True, Plan(NEW, NEW, stop=False, switch=False, start=False)),
        (NEW, False, True, Plan(NEW, NEW, stop=False, switch=False, start=True)),
        (None, False, True, Plan(NEW, None, stop=False, switch=True, start=True)),
        (OLD, False, False, Plan(NEW, OLD, stop=False, switch=True, start=False)),
        (NEW, False, False, Plan(NEW, NEW, stop=False, switch=False, start=False)),
    ],
)
def test_only_what_is_left_to_do_is_planned(current, running, exists, expected):
    found = plan(State(current, None, STAGED), FakeService(running, exists), NEW, None)
    assert found == expected
    assert found.changes is (expected.switch or expected.start)


def test_stop_switch_start_in_this_order(switched):
    service = FakeService()
    service.stop = lambda: (service.log.append("stop"), switched.append("stopped"))
    carry_out("/srv/shop", service, plan(State(OLD, None, STAGED), service, NEW, None))
    assert switched == ["stopped", ("/srv/shop", NEW, OLD)]
    assert service.log == ["stop", "start"]


def test_a_service_that_does_not_stop_keeps_its_release(switched):
    service = FakeService(fails="stop")
    with pytest.raises(ActivationError, match=r"does not stop: stop ended with 1: no luck\. Nothing was switched, current is still 1\.0\.0"):
        carry_out("/srv/shop", service, plan(State(OLD, None, STAGED), service, NEW, None))
    assert switched == []
    assert service.log == ["stop"]


def test_a_release_that_does_not_start_says_what_is_current_and_the_way_back(switched):
    service = FakeService(fails="start")
    with pytest.raises(ActivationError, match=r"release 2\.0\.0 does not start: start ended.*current is now 2\.0\.0.*version=1\.0\.0"):
        carry_out("/srv/shop", service, plan(State(OLD, None, STAGED), service, NEW, None))
    assert len(switched) == 1


def test_a_first_release_that_does_not_start_has_no_way_back(switched):
    service = FakeService(running=False, fails="start")
    with pytest.raises(ActivationError, match="correct the cause, then run this again"):
        carry_out("/srv/shop", service, plan(State(None, None, STAGED), service, NEW, None))
    assert len(switched) == 1


def test_a_switch_that_fails_says_that_the_service_is_stopped(monkeypatch):
    def fail(*_args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(releases, "switch", fail)
    with pytest.raises(ActivationError, match=r"is stopped, but the switch to release 2.0.0 failed.*Read-only"):
        carry_out("/srv/shop", FakeService(), Plan(NEW, OLD, stop=True, switch=True, start=True))


@pytest.mark.parametrize(
    ("version", "sha256", "reason"),
    [
        ("3.0.0", None, r"3.0.0 is not staged on this host \(staged: 0.9, 1.0.0, 2.0.0\)"),
        (NEW, "1" * 64, f"is staged with sha256 {'2' * 64}, but {'1' * 64} is wanted"),
        ("0.9", None, "no readable marker"),
    ],
)
def test_what_cannot_be_made_current_is_refused_before_the_service_is_asked(version, sha256, reason):
    service = FakeService()
    service.is_running = lambda: pytest.fail("asked")
    with pytest.raises(ReleaseError, match=reason):
        plan(State(OLD, None, {**STAGED, "0.9": Marker()}), service, version, sha256)


def test_what_ran_before_without_a_marker_may_come_back():
    state = State(NEW, "0.9", {**STAGED, "0.9": Marker()})
    assert plan(state, FakeService(), "0.9", None).switch is True


def test_a_start_without_a_switch_has_no_other_release_to_go_back_to():
    with pytest.raises(ActivationError, match="run this again"):
        carry_out("/srv/shop", FakeService(running=False, fails="start"), activation.Plan(NEW, NEW, False, False, True))
