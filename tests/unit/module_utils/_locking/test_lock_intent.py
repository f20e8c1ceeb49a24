# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is to do stands in its lock, and is still known when the run was killed, ended in error or was released by its id."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.lock import FAILED, SUCCEEDED, Claim, FleetLockError, HeldError
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.store import FleetLock
from crash import at_every_line

FILES = ("store.py", "small_files.py", "flock.py")
ANNA, BOB = Claim("anna", "ctl1", "run-1"), Claim("bob", "ctl2", "run-2")
NOON = 1_798_804_800.0
UPGRADE = {"direction": "upgrade", "method": "half_pool", "release_from": "1.0.0", "release_to": "2.0.0"}
ROLLBACK = {**UPGRADE, "direction": "rollback", "release_from": "2.0.0", "release_to": "1.0.0"}


@pytest.fixture(name="held")
def _held(tmp_path):
    """Anna has the lock, and has said that she upgrades."""
    lock = FleetLock(str(tmp_path / "state"), "shop")
    assert lock.hold(ANNA, NOON).lock.intent == {}
    kept = lock.hold(ANNA._replace(intent=UPGRADE), NOON)
    assert kept.changed and kept.lock == lock.read() and kept.lock.intent == {**UPGRADE, "state": "under_way"}
    return lock


def test_the_second_one_sees_what_is_done(held):
    with pytest.raises(HeldError, match=r"for upgrade from 1\.0\.0 to 2\.0\.0 by half_pool \(lock "):
        held.hold(BOB, NOON)
    assert not held.hold(ANNA._replace(intent=UPGRADE), NOON).changed and not held.hold(ANNA, NOON).changed


def test_who_takes_over_has_it_until_their_own_is_known_and_who_takes_over_from_them_too(held):
    first = held.hold(BOB, NOON, take_over=held.read().id, reason="dead")
    assert first.lock.intent == {**UPGRADE, "state": "under_way"} and first.interrupted == first.taken_over
    again = held.hold(Claim("carl", "ctl3", "run-3", intent=ROLLBACK), NOON, take_over=first.lock.id, reason="dead")
    assert again.lock.intent == {**ROLLBACK, "state": "under_way"}
    assert held.history(1)[0]["former"]["intent"] == first.lock.intent


@pytest.mark.parametrize("result", [SUCCEEDED, FAILED])
def test_the_one_after_a_run_that_ended_knows_what_it_was_to_do_and_has_nothing_to_go_on_with(held, result):
    assert held.release("run-1", NOON, result=result).released.intent == {**UPGRADE, "state": result}
    after = held.hold(BOB, NOON)
    assert (after.lock.intent, after.interrupted) == ({**UPGRADE, "state": result}, None)


def test_what_was_interrupted_stays_so_when_the_run_after_it_changes_nothing(held):
    taken = held.hold(BOB, NOON, take_over=held.read().id, reason="dead").lock
    held.release("run-2", NOON)
    assert held.last() == taken and held.read() is None
    after = held.hold(Claim("carl", "ctl3", "run-3"), NOON)
    assert after.taken_over is None and after.interrupted == taken and after.lock.intent == taken.intent


def test_what_was_released_by_its_id_was_interrupted(held):
    left = held.read()
    held.release("", NOON, lock_id=left.id, reason="the machine burnt down")
    assert held.hold(BOB, NOON).interrupted == left


def test_a_run_without_an_intent_leaves_that_of_the_one_before(held):
    held.release("run-1", NOON, result=SUCCEEDED)
    held.hold(BOB, NOON)
    held.release("run-2", NOON, result=FAILED)
    assert held.last().intent == {**UPGRADE, "state": SUCCEEDED}, "only what is under way ends"


def test_a_lock_and_a_history_of_an_older_version_have_no_intent(held):
    path = os.path.join(held.directory, "shop.lock")
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    del content["intent"]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
    assert held.read().intent == {} and not held.read().is_interrupted
    assert held.hold(BOB, NOON, take_over=held.read().id, reason="dead").lock.intent == {}


@pytest.mark.parametrize("intent", [
    {**UPGRADE, "direction": "sideways"}, {**UPGRADE, "release_to": ""}, {**UPGRADE, "method": "m" * 501}, {**UPGRADE, "state": "succeeded"},
    {**UPGRADE, "release_from": "\x1b[2J"}, {"direction": "patch"},
])
def test_what_is_no_intent_is_not_kept(held, intent):
    before = held.read()
    with pytest.raises(FleetLockError):
        held.hold(ANNA._replace(intent=intent), NOON)
    assert held.read() == before


@pytest.mark.parametrize("intent", [{"direction": "upgrade"}, {**UPGRADE, "state": "done"}, {**UPGRADE, "state": "failed", "more": 1}, [], "upgrade", None, 7,
                                    {**UPGRADE, "state": "failed", "release_to": 2}])
def test_a_lock_with_anything_else_as_its_intent_is_refused(held, intent):
    path = os.path.join(held.directory, "shop.lock")
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**content, "intent": intent}, file)
    with pytest.raises(FleetLockError, match="is no lock of shop"):
        held.read()


def test_check_mode_writes_no_intent(held):
    before = held.read()
    assert held.hold(ANNA._replace(intent=ROLLBACK), NOON, check_mode=True).changed
    assert held.read() == before


def test_killed_at_any_point_of_keeping_it_the_lock_has_the_one_or_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    lock, found = None, []

    def prepare(number):
        nonlocal lock
        lock = FleetLock(str(tmp_path / str(number)), "shop")
        lock.hold(ANNA._replace(intent=UPGRADE), NOON)

    found += [lock.read().intent["direction"] for _number in at_every_line(lambda: lock.hold(ANNA._replace(intent=ROLLBACK), NOON), FILES, prepare)]
    assert found.count("upgrade") > 10 and found.count("rollback") >= 3
