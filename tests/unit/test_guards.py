# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every guard of tests/guards can still be removed: its text stands once in the file that it names, and its tests are there."""

from __future__ import annotations

from guards.remove import GUARDS, REPOSITORY


def test_each_can_be_removed():
    gone = [f"{guard.name}: {name} has {count} times: {old}" for guard in GUARDS for name, old, _new in guard.changes
            if (count := (REPOSITORY / name).read_text(encoding="utf-8").count(old)) != 1]
    assert not gone and len(GUARDS) > 100


def test_each_has_tests_that_are_there():
    missing = [f"{guard.name}: {test}" for guard in GUARDS for test in guard.tests if not (REPOSITORY / test.split("::")[0]).exists()]
    assert not missing and all(guard.tests for guard in GUARDS)


def test_no_two_have_one_name():
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)
