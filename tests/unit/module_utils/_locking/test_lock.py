# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.lock import Claim, FleetLockError, HeldError
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.store import FleetLock
from crash import as_nobody, at_every_line, with_a_full_disk

# All that touches a file.
FILES = ("store.py", "small_files.py", "flock.py")
ANNA = Claim("anna", "ctl1", "run-1", plan="4f1f5a", controller={"machine": "m", "boot": "b", "namespace": "n", "pid": 4242, "started": "7"})
BOB = Claim("bob", "ctl2", "run-2")
NOON = 1_798_804_800.0


def lock_in(folder, service="shop") -> FleetLock:
    return FleetLock(str(folder), service)


@pytest.fixture(name="lock")
def _lock(tmp_path):
    return lock_in(tmp_path / "state")


@pytest.fixture(name="held")
def _held(lock):
    """Anna has the lock, with token 1."""
    lock.hold(ANNA, NOON)
    return lock


def names(lock):
    return sorted(os.listdir(lock.directory))


def contents(lock):
    return {name: Path(lock.directory, name).read_bytes() for name in names(lock)}


def events(lock):
    return [(line["event"], line["owner"], line["token"]) for line in lock.history(20)]


# -- one at a time


def test_a_lock_is_taken_released_and_taken_again_with_a_larger_token(lock):
    first = lock.hold(ANNA, NOON)
    assert (first.changed, first.lock.token, first.taken_over, first.warning) == (True, 1, None, "")
    assert lock.read() == first.lock and first.lock.since == NOON and first.lock.plan == "4f1f5a"
    released = lock.release("run-1", NOON + 60)
    assert (released.changed, released.released, released.lock, lock.read()) == (True, first.lock, None, None)
    assert lock.hold(BOB, NOON + 61).lock.token == 2
    assert events(lock) == [("taken", "anna", 1), ("released", "anna", 1), ("taken", "bob", 2)]
    assert names(lock) == ["shop.guard", "shop.history.jsonl", "shop.lock", "shop.token"]


def test_the_files_are_for_their_owner_alone(held):
    for end in ("lock", "token", "history.jsonl"):
        assert stat.S_IMODE(os.stat(os.path.join(held.directory, f"shop.{end}")).st_mode) == 0o600


def test_the_same_run_gets_the_lock_it_has(held):
    again = held.hold(ANNA, NOON + 5)
    assert (again.changed, again.lock) == (False, held.read())
    assert len(events(held)) == 1


def test_the_same_run_in_another_process_is_somebody_else(held):
    with pytest.raises(HeldError):
        held.hold(ANNA._replace(controller={**ANNA.controller, "pid": 4243}), NOON)


def test_a_refusal_says_who_since_when_from_where_and_both_ways_on(held):
    with pytest.raises(HeldError) as refused:
        held.hold(BOB, NOON)
    lock_id = held.read().id
    assert refused.value.lock == held.read()
    assert str(refused.value) == (
        f"the lock of shop is taken: anna has held it since 2027-01-01 12:00:00 UTC from ctl1, process 4242, for plan 4f1f5a (lock {lock_id}). "
        "Wait until that run has ended; or, if you are sure that it is no longer running, take over its lock: the same command with "
        f"-e upgrade_take_over={lock_id} -e \"upgrade_reason='...'\""
    )


def test_services_do_not_know_each_other(held):
    other = lock_in(held.directory, "shop.history")
    assert other.read() is None and other.hold(BOB, NOON).lock.token == 1
    assert held.read().owner == "anna"


def test_of_many_at_once_exactly_one_wins(tmp_path):
    context, rounds, many = multiprocessing.get_context("fork"), 20, 4

    def ask(number, start, answers):
        for turn in range(rounds):
            start.wait(30)
            try:
                answers.put((turn, number, lock_in(tmp_path, f"shop-{turn}").hold(BOB._replace(run=f"run-{number}"), NOON).lock.token))
            except HeldError as error:
                answers.put((turn, number, error.lock.run))

    start, answers = context.Barrier(many), context.Queue()
    processes = [context.Process(target=ask, args=(number, start, answers)) for number in range(many)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _each in range(rounds * many)]
    for process in processes:
        process.join(30)
    for turn in range(rounds):
        winners = [number for of, number, answer in found if of == turn and answer == 1]
        losers = [answer for of, _number, answer in found if of == turn and answer != 1]
        assert len(winners) == 1 and losers == [f"run-{winners[0]}"] * (many - 1)


# -- take over and release by id


def test_the_named_lock_is_taken_over_for_a_reason_and_everybody_is_reported(held):
    before = held.read()
    outcome = held.hold(BOB, NOON + 60, take_over=before.id, reason="her laptop\nwas stolen")
    assert (outcome.changed, outcome.taken_over, outcome.lock.token) == (True, before, 2)
    assert "for this reason: her laptop was stolen. Before, anna has held it since 2027-01-01 12:00:00 UTC from ctl1" in outcome.warning
    last = held.history(1)[0]
    assert (last["event"], last["owner"], last["reason"], last["former"]["owner"]) == ("taken_over", "bob", "her laptop was stolen", "anna")


def test_nothing_is_taken_over_without_a_reason_or_under_another_id(held):
    with pytest.raises(FleetLockError, match="needs a reason"):
        held.hold(BOB, NOON, take_over=held.read().id, reason="  ")
    with pytest.raises(HeldError, match=r"lock 0123456789abcdef is not the one that is held now, so it was not taken over: .*anna"):
        held.hold(BOB, NOON, take_over="0123456789abcdef", reason="why")
    with pytest.raises(HeldError, match="lock 0123456789abcdef is not the one of shop that is held now, so nothing was released"):
        held.release("", NOON, lock_id="0123456789abcdef", reason="why")
    with pytest.raises(FleetLockError, match="needs a reason"):
        held.release("", NOON, lock_id=held.read().id)
    assert held.read().owner == "anna" and len(events(held)) == 1


def test_a_lock_to_take_over_that_is_gone_is_simply_taken(lock):
    outcome = lock.hold(BOB, NOON, take_over="0123456789abcdef", reason="why")
    assert (outcome.changed, outcome.taken_over, outcome.warning) == (True, None, "")
    assert events(lock) == [("taken", "bob", 1)] and "reason" not in lock.history(1)[0]


def test_who_was_taken_over_releases_nothing(held):
    held.hold(BOB, NOON, take_over=held.read().id, reason="why")
    outcome = held.release("run-1", NOON)
    assert (outcome.changed, outcome.released) == (False, None)
    assert "not this run's (any more), and was not changed: bob" in outcome.warning
    assert held.read().owner == "bob"


def test_a_lock_is_released_by_its_id_for_a_reason(held):
    assert held.release("", NOON, lock_id=held.read().id, reason="why", journal_head="abc").changed
    assert held.read() is None
    assert (held.history(1)[0]["reason"], held.history(1)[0]["journal_head"]) == ("why", "abc")
    assert held.release("", NOON, lock_id="0123456789abcdef", reason="why").changed is False


def test_releasing_where_nothing_ever_was_makes_nothing(lock):
    assert lock.release("run-1", NOON).changed is False
    assert not os.path.exists(lock.directory)


# -- check mode


def test_check_mode_tells_the_same_and_changes_nothing(lock):
    foreseen = lock.hold(ANNA, NOON, check_mode=True)
    assert (foreseen.changed, foreseen.lock.token, foreseen.lock.id) == (True, 1, "")
    assert not os.path.exists(lock.directory)
    lock.hold(ANNA, NOON)
    before = contents(lock)
    with pytest.raises(HeldError):
        lock.hold(BOB, NOON, check_mode=True)
    assert lock.hold(BOB, NOON, take_over=lock.read().id, reason="why", check_mode=True).taken_over == lock.read()
    assert lock.release("run-1", NOON, check_mode=True).changed is True
    assert contents(lock) == before


# -- time and tokens


def test_nothing_decides_by_the_wall_clock(held):
    with pytest.raises(HeldError):
        held.hold(BOB, NOON - 10**8)
    with pytest.raises(HeldError):
        held.hold(BOB, NOON + 10**9)
    outcome = held.hold(BOB, NOON - 10**8, take_over=held.read().id, reason="why")
    assert outcome.lock.token == 2 and outcome.lock.since < outcome.taken_over.since


def test_a_token_file_that_is_gone_does_not_let_tokens_fall(held):
    for _token in (2, 3):
        held.release(held.read().run, NOON)
        held.hold(BOB, NOON)
    os.unlink(os.path.join(held.directory, "shop.token"))
    assert held.last_token() == 3
    held.release(BOB.run, NOON)
    assert held.hold(ANNA, NOON).lock.token == 4


# -- hostile and damaged files


HOSTILE = {
    "empty": b"",
    "torn": b'{"id": "0123',
    "not text": b"\xff\xfe\x00",
    "deep": b"[" * 60_000,
    "long": b'"' + b"a" * 70_000 + b'"',
    "a list": b"[]",
    "null": b"null",
    "a long number": b"9" * 5000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_lock_file_that_is_none_is_refused_by_its_name_and_left_alone(held, content):
    path = os.path.join(held.directory, "shop.lock")
    with open(path, "wb") as file:
        file.write(content)
    before = contents(held)
    for act in (lambda: held.hold(BOB, NOON), lambda: held.hold(ANNA, NOON), lambda: held.release("run-1", NOON), held.read,
                lambda: held.hold(BOB, NOON, take_over="0123456789abcdef", reason="why")):
        with pytest.raises(FleetLockError, match=r"shop.lock"):
            act()
    assert contents(held) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x; rm -rf /"}, {"id": 7}, {"token": 0}, {"token": True}, {"token": 2**80}, {"token": "1"}, {"token": 1.0}, {"since": float("nan")},
        {"since": -1}, {"since": 1e300}, {"owner": "\x1b[2Janna"}, {"owner": None}, {"host": "a" * 501}, {"run": "a\nb"}, {"service": "other"},
        {"controller": []}, {"controller": {"pid": 1}}, {"controller": {**ANNA.controller, "pid": -1}}, {"controller": {**ANNA.controller, "boot": 1}},
        {"plan": {"{{": "}}"}},
    ],
    ids=str,
)
def test_a_lock_with_hostile_content_is_refused(held, changes):
    path = os.path.join(held.directory, "shop.lock")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**held_content(ANNA), **changes}, file)
    with pytest.raises(FleetLockError, match=r"shop.lock is no lock of shop"):
        held.hold(BOB, NOON)


def held_content(claim):
    return {"id": "0123456789abcdef", "service": "shop", "token": 1, "owner": claim.owner, "host": claim.host, "since": NOON, "run": claim.run,
            "plan": claim.plan, "controller": dict(claim.controller)}


def test_what_the_hostile_ones_were_made_of_is_a_lock(held):
    path = os.path.join(held.directory, "shop.lock")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**held_content(ANNA), "of a later version": 1}, file)
    assert held.read().as_dict() == {**held_content(ANNA), "intent": {}}


@pytest.mark.parametrize("end", ["lock", "token", "history.jsonl", "guard"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_link_a_pipe_or_a_folder_in_place_of_a_file_is_not_used(lock, tmp_path, end, kind):
    os.mkdir(lock.directory)
    path = os.path.join(lock.directory, f"shop.{end}")
    (tmp_path / "victim").write_text("1\n", encoding="utf-8")
    {"link": lambda: os.symlink(tmp_path / "victim", path), "pipe": lambda: os.mkfifo(path), "folder": lambda: os.mkdir(path)}[kind]()
    with pytest.raises(FleetLockError):
        lock.hold(ANNA, NOON)
    assert (tmp_path / "victim").read_text(encoding="utf-8") == "1\n"
    assert end == "lock" or not os.path.exists(os.path.join(lock.directory, "shop.lock"))


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"true", b"1e400", b"[" * 60_000, str(2**60).encode()])
def test_a_token_file_that_is_none_stops_everybody_and_says_what_to_put_there(lock, content):
    os.mkdir(lock.directory)
    with open(os.path.join(lock.directory, "shop.token"), "wb") as file:
        file.write(content)
    with pytest.raises(FleetLockError, match=r"shop.token"):
        lock.hold(ANNA, NOON)
    assert names(lock) == ["shop.guard", "shop.token"]


def test_tokens_end_before_they_are_no_longer_exact(lock):
    os.mkdir(lock.directory)
    with open(os.path.join(lock.directory, "shop.token"), "w", encoding="utf-8") as file:
        file.write(str(2**53))
    with pytest.raises(FleetLockError, match="largest token there can be"):
        lock.hold(ANNA, NOON)


def test_a_history_that_was_cut_or_filled_with_rubbish_is_read_and_written_on(held):
    path = os.path.join(held.directory, "shop.history.jsonl")
    with open(path, "ab") as file:
        file.write(b"\xff\n[1]\nnull\n" + b"[" * 5000 + b'\n{"event": "taken", "tok')
    held.release("run-1", NOON)
    assert events(held) == [("taken", "anna", 1), ("released", "anna", 1)]


def test_only_the_end_of_a_long_history_is_read(held):
    path = os.path.join(held.directory, "shop.history.jsonl")
    with open(path, "ab") as file:
        file.write(b'{"event": "filler"}\n' * 100_000)
    assert len(held.history(20)) == 20
    assert held.history(1) == [{"event": "filler"}]


# -- what is asked for


@pytest.mark.parametrize("service", ["", ".", "..", "../x", "a/b", "-x", ".x", "a b", "ä", "a" * 101, "a\n"])
def test_a_service_that_is_no_safe_file_name_is_refused(tmp_path, service):
    with pytest.raises(FleetLockError, match="service"):
        lock_in(tmp_path, service)


@pytest.mark.parametrize("directory", ["", ".", "locks", "../locks"])
def test_a_relative_directory_is_refused(directory):
    with pytest.raises(FleetLockError, match="is not absolute"):
        FleetLock(directory, "shop")


@pytest.mark.parametrize(
    "changes",
    [{"owner": ""}, {"host": " "}, {"run": ""}, {"owner": "\x1b[2J"}, {"plan": "x" * 501}, {"controller": {"pid": 1}},
     {"controller": {**ANNA.controller, "pid": 0}}],
    ids=str,
)
def test_a_claim_that_could_not_be_read_again_is_refused(lock, changes):
    with pytest.raises(FleetLockError):
        lock.hold(ANNA._replace(**changes), NOON)
    assert not os.path.exists(lock.directory)


def test_a_run_must_be_named_to_release(held):
    with pytest.raises(FleetLockError, match="run missing"):
        held.release("", NOON)


# -- crashes


@pytest.fixture(name="quick_disk")
def _quick_disk(monkeypatch):
    """Flushing costs time, and is nothing that a killed process could be seen without."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.usefixtures("quick_disk")
def test_killed_at_any_point_of_taking_the_lock_is_there_whole_or_not_at_all(tmp_path):
    lock, found = None, []

    def prepare(number):
        nonlocal lock
        lock = lock_in(tmp_path / str(number))
        lock.hold(BOB, NOON)
        lock.release(BOB.run, NOON)

    for _number in at_every_line(lambda: lock.hold(ANNA, NOON), FILES, prepare):
        left = lock.read()
        found.append(left is not None)
        assert left is None or (left.owner, left.token) == ("anna", 2)
        assert lock.last_token() in (1, 2)
        seen = lock.last_token()
        if left is not None:
            assert ("taken", "anna", 2) in events(lock), "a lock without its line in the history"
            with pytest.raises(HeldError):
                lock.hold(BOB, NOON)
        after = lock.hold(BOB, NOON, take_over=left.id if left else "", reason="why")
        assert after.lock.token == seen + 1 and (after.taken_over == left)
        assert lock.release(BOB.run, NOON).changed
    assert found.count(False) > 50 and found.count(True) >= 3
    assert lock.read().owner == "anna"


@pytest.mark.usefixtures("quick_disk")
def test_killed_at_any_point_of_a_take_over_one_of_the_two_has_the_lock(tmp_path):
    lock, of_anna, found = None, "", []

    def prepare(number):
        nonlocal lock, of_anna
        lock = lock_in(tmp_path / str(number))
        of_anna = lock.hold(ANNA, NOON).lock.id

    for _number in at_every_line(lambda: lock.hold(BOB, NOON, take_over=of_anna, reason="why"), FILES, prepare):
        left = lock.read()
        found.append(left.owner)
        assert (left.owner, left.token) in (("anna", 1), ("bob", 2))
        assert left.owner == "anna" or ("taken_over", "bob", 2) in events(lock)
        seen = lock.last_token()
        assert seen >= left.token
        assert lock.hold(BOB._replace(run="run-3"), NOON, take_over=left.id, reason="why").lock.token == seen + 1
    assert found.count("anna") > 50 and found.count("bob") >= 3


@pytest.mark.usefixtures("quick_disk")
def test_killed_at_any_point_of_releasing_the_lock_is_there_whole_or_not_at_all(tmp_path):
    lock, found = None, []

    def prepare(number):
        nonlocal lock
        lock = lock_in(tmp_path / str(number))
        lock.hold(ANNA, NOON)

    for _number in at_every_line(lambda: lock.release(ANNA.run, NOON), FILES, prepare):
        left = lock.read()
        found.append(left is not None)
        assert left is None or left.owner == "anna"
        assert lock.last_token() == 1
        assert lock.release(ANNA.run, NOON).changed is (left is not None)
        assert lock.hold(BOB, NOON).lock.token == 2
    assert found.count(True) > 30 and found.count(False) >= 3


# -- a disk that is full, a folder that is not ours


@pytest.mark.parametrize("bytes_left", [0, 1, 60, 200])
def test_a_full_disk_stops_before_the_lock_and_leaves_what_was(lock, bytes_left):
    def act():
        with pytest.raises(FleetLockError, match="File too large"):
            lock.hold(ANNA, NOON)

    assert with_a_full_disk(act, bytes_left) == 0
    assert lock.read() is None and not [name for name in names(lock) if name.endswith(".new")]
    assert lock.history(20) == []
    assert lock.hold(ANNA, NOON).lock.token in (1, 2)


def test_a_full_disk_keeps_nobody_from_releasing_their_own_lock(held):
    def own():
        outcome = held.release("run-1", NOON)
        assert outcome.changed and "shop.history.jsonl does not say so: File too large" in outcome.warning

    def of_somebody():
        with pytest.raises(FleetLockError, match="File too large"):
            held.release("", NOON, lock_id=held.read().id, reason="why")

    size = os.path.getsize(os.path.join(held.directory, "shop.history.jsonl"))
    assert with_a_full_disk(of_somebody, size + 10) == 0
    assert held.read() is not None and events(held) == [("taken", "anna", 1)]
    assert with_a_full_disk(own, size + 10) == 0
    assert held.read() is None and events(held) == [("taken", "anna", 1)]
    assert os.path.getsize(os.path.join(held.directory, "shop.history.jsonl")) == size


def test_a_folder_that_cannot_be_used_is_named(tmp_path, held):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(FleetLockError, match="file"):
        lock_in(tmp_path / "file").hold(ANNA, NOON)
    os.chmod(held.directory, 0)

    def act():
        asking = (lambda: held.hold(BOB, NOON), lambda: held.hold(BOB, NOON, check_mode=True), lambda: held.release("run-1", NOON))
        for ask in (*asking, held.read, held.last_token):
            with pytest.raises(FleetLockError, match="Permission denied"):
                ask()

    assert as_nobody(act) == 0
    os.chmod(held.directory, 0o755)
    assert held.read().owner == "anna"


def test_a_folder_that_cannot_be_made_is_reported_with_the_cure_and_without_the_ends_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FleetLockError, match=r"^the lock cannot be used: Not a directory .*: let the user of this task write there, or name") as reported:
        FleetLock(str(tmp_path / "file" / "state"), "shop").read()
    assert "Nothing was changed" not in str(reported.value)
