# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of members that are out, on a clock that only the test moves."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drained_members import OutMembers
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DRAIN, MAINT, READY, RECHECK
from fake_load_balancer import Time


@pytest.fixture(name="time")
def _time():
    return Time()


@pytest.fixture(name="out")
def _out(time):
    return OutMembers(time.clock.steady)


@pytest.mark.parametrize(("change", "admin"), [(DRAIN, DRAIN), (RECHECK, DRAIN), (MAINT, MAINT)])
def test_a_member_that_is_out_is_in_the_state_that_was_asked_for(out, change, admin):
    out.ask("app", {"s1": change})
    assert out.admin("app", "s1", is_in=False) == admin and out.is_asked("app", "s1")


def test_a_member_that_is_in_is_ready_whatever_was_asked_for(out):
    out.ask("app", {"s1": MAINT})
    assert out.admin("app", "s1", is_in=True) == READY


def test_the_last_change_counts(out):
    seen = []
    for change in (DRAIN, MAINT, RECHECK, DRAIN):
        out.ask("app", {"s1": change})
        seen.append(out.admin("app", "s1", is_in=False))
    assert seen == [DRAIN, MAINT, DRAIN, DRAIN]


def test_a_member_that_another_run_took_out_is_in_maintenance_and_has_just_left(out, time):
    assert not out.is_asked("app", "s1")
    assert out.admin("app", "s1", is_in=False) == MAINT and out.gone_for("app", "s1") == 0.0
    time.sleep(7)
    assert out.gone_for("app", "s1") == 7.0 and out.probed_for("app", "s1") is None


def test_it_is_gone_since_it_left_and_not_since_the_last_change(out, time):
    out.ask("app", {"s1": DRAIN})
    time.sleep(5)
    out.ask("app", {"s1": MAINT})
    time.sleep(2)
    assert out.gone_for("app", "s1") == 7.0


def test_one_that_comes_in_is_forgotten(out, time):
    out.ask("app", {"s1": DRAIN})
    time.sleep(50)
    out.ask("app", {"s1": READY})
    assert not out.is_asked("app", "s1") and out.probed_for("app", "s1") is None
    out.ask("app", {"s1": DRAIN})
    time.sleep(1)
    assert out.gone_for("app", "s1") == 1.0


@pytest.mark.parametrize("change", [READY, DRAIN, MAINT])
def test_no_member_is_rechecked_without_being_asked(out, change):
    assert out.probed_for("app", "s1") is None
    out.ask("app", {"s1": RECHECK})
    out.ask("app", {"s1": change})
    assert out.probed_for("app", "s1") is None


def test_a_recheck_begins_again_each_time(out, time):
    out.ask("app", {"s1": MAINT})
    time.sleep(10)
    out.ask("app", {"s1": RECHECK})
    time.sleep(3)
    assert out.probed_for("app", "s1") == 3.0
    out.ask("app", {"s1": RECHECK})
    time.sleep(1)
    assert (out.probed_for("app", "s1"), out.gone_for("app", "s1")) == (1.0, 14.0)


def test_a_change_of_several_members_is_remembered_of_each(out):
    out.ask("app", {"s1": READY, "s2": DRAIN, "s3": MAINT})
    assert [out.is_asked("app", name) for name in ("s1", "s2", "s3", "s4")] == [False, True, True, False]
    assert [out.admin("app", name, is_in=False) for name in ("s2", "s3", "s4")] == [DRAIN, MAINT, MAINT]


def test_members_of_the_same_name_in_other_pools_are_others(out, time):
    out.ask("app", {"s1": RECHECK})
    time.sleep(4)
    assert not out.is_asked("web", "s1") and out.probed_for("web", "s1") is None and out.gone_for("web", "s1") == 0.0
    assert out.admin("web", "s1", is_in=False) == MAINT and out.admin("app", "s1", is_in=False) == DRAIN


def test_one_that_came_back_by_another_hand_and_is_taken_out_anew_has_just_left(out, time):
    assert out.admin("app", "s1", is_in=False) == MAINT
    time.sleep(50)
    assert out.admin("app", "s1", is_in=True) == READY
    time.sleep(1)
    out.ask("app", {"s1": DRAIN})
    assert out.gone_for("app", "s1") == 0.0
