# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.fence import FenceError, admitted, fenced, fenced_with_peers, require_newest
from crash import as_nobody, at_every_line, with_a_full_disk

CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(name="fence")
def _fence(tmp_path):
    return str(tmp_path / "shop.fence")


@contextlib.contextmanager
def at_work(enter):
    """Another process that is inside of `enter()`; it yields what ends it orderly."""
    begun, end = CONTEXT.Event(), CONTEXT.Event()

    def work():
        with enter():
            begun.set()
            end.wait(60)

    process = CONTEXT.Process(target=work)
    process.start()
    try:
        assert begun.wait(30)
        process.finish = end.set
        yield process
    finally:
        process.kill()
        process.join()


def alone(fence, token, owner="anna", timeout=0.0):
    return fenced(fence, token, owner, timeout, lock=f"{fence}.work")


def with_peers(fence, token, owner="anna", timeout=0.0):
    return fenced_with_peers(fence, token, owner, timeout)


BOTH = pytest.mark.parametrize("enter", [alone, with_peers])


def stored(fence):
    with open(fence, encoding="utf-8") as file:
        return json.load(file)


def leave(fence, token, owner="anna"):
    with with_peers(fence, token, owner):
        pass


@BOTH
def test_tokens_only_grow_and_an_older_one_is_reported_who_took_over(fence, enter):
    for token in (1, 5, 5, 9):
        with enter(fence, token, owner=f"owner of {token}"):
            assert (stored(fence)["token"], stored(fence)["owner"]) == (token, f"owner of {token}")
    with pytest.raises(FenceError) as refused, enter(fence, 8, owner="anna"):
        pytest.fail("the older one came in")
    assert "this run holds token 8, but owner of 9 has taken over with token 9" in str(refused.value)
    assert fence in str(refused.value) and "This host is not changed" in str(refused.value)
    assert stored(fence)["token"] == 9


def test_without_a_token_there_is_only_the_lock(fence):
    leave(fence, 9)
    with alone(fence, None), pytest.raises(FenceError, match=f"process {os.getpid()} holds {fence}.work"), alone(fence, None):
        pytest.fail("two at work")
    assert stored(fence)["token"] == 9
    with admitted(None, check_mode=False):
        pass


def test_one_that_works_alone_waits_for_the_others_however_they_are_fenced(fence):
    for token, newcomer in ((None, 5), (5, None), (5, 5), (5, 6)):
        holder = at_work(lambda token=token: alone(fence, token))
        with holder as other, pytest.raises(FenceError, match=f"process {other.pid} holds"), alone(fence, newcomer):
            pytest.fail("two at work")
    with alone(fence, 6):
        pass


def test_peers_work_at_the_same_time(fence):
    with at_work(lambda: with_peers(fence, 5)), at_work(lambda: with_peers(fence, 5)), with_peers(fence, 5):
        pass


@BOTH
def test_a_newer_one_waits_for_what_an_older_one_has_begun_and_then_goes_on(fence, enter):
    order = []

    def sleep_until_the_other_ends():
        other.finish()
        other.join(30)
        order.append("the other ended")

    with at_work(lambda: enter(fence, 5)) as other:
        with pytest.raises(FenceError, match=f"process {other.pid} holds"), enter(fence, 6, owner="bob"):
            pytest.fail("two at work")
        assert stored(fence)["token"] == 6, "from now on the older one begins nothing"
        with pytest.raises(FenceError, match="bob has taken over"), enter(fence, 5):
            pytest.fail("it did begin")
        sleep_until_the_other_ends()
        with enter(fence, 6):
            order.append("at work")
    assert order == ["the other ended", "at work"]


@BOTH
def test_an_orphan_that_is_killed_is_waited_for_no_longer(fence, enter):
    with at_work(lambda: enter(fence, 5)) as orphan:
        orphan.kill()
        with enter(fence, 6, timeout=30):
            orphan.join(30)
            assert orphan.exitcode == -signal.SIGKILL


@BOTH
def test_who_is_overtaken_while_it_waits_does_not_begin(fence, enter):
    refusals = CONTEXT.Queue()

    def second():
        try:
            with enter(fence, 6, timeout=30):
                refusals.put("came in")
        except FenceError as error:
            refusals.put(str(error))

    with at_work(lambda: enter(fence, 5)) as first:
        waiting = CONTEXT.Process(target=second)
        waiting.start()
        while require_newest(fence, 9) < 6:
            time.sleep(0.01)
        with pytest.raises(FenceError, match="holds"), enter(fence, 7, owner="carol"):
            pytest.fail("two at work")
        first.finish()
        assert "carol has taken over with token 7" in refusals.get(timeout=30)
        waiting.join(30)


def test_the_files_of_older_tokens_are_removed_and_no_others(fence, tmp_path):
    for name in ("shop.fence.4x", "shop.fence.04", "shop.fence2.4", "other.4"):
        (tmp_path / name).touch()
    for token in (4, 5, 7):
        leave(fence, token)
    assert sorted(os.listdir(tmp_path)) == ["other.4", "shop.fence", "shop.fence.04", "shop.fence.4x", "shop.fence.7", "shop.fence.lock", "shop.fence2.4"]


def test_check_mode_compares_and_leaves_nothing(fence):
    option = {"path": fence, "token": 5, "owner": "anna"}
    with admitted(option, check_mode=True):
        assert not os.path.exists(fence)
    leave(fence, 6, "bob")
    with pytest.raises(FenceError, match="bob has taken over"):
        admitted(option, check_mode=True)


def test_the_folder_is_made(tmp_path):
    leave(str(tmp_path / "a" / "b" / "fence"), 1)
    assert stored(tmp_path / "a" / "b" / "fence")["token"] == 1


# -- what cannot be trusted


@BOTH
@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", "5", '{"token": 5}', '{"token": "5", "owner": "", "at": 1}', '{"token": true, "owner": "", "at": 1}',
     '{"token": 0, "owner": "", "at": 1}', '{"token": 5, "owner": "\\u001b[2J", "at": 1}', '{"token": 5, "owner": 1, "at": 1}',
     '{"token": 5, "owner": "", "at": NaN}', '{"token": 5, "owner": "", "at": 1e300}', '{"token": 1e3, "owner": "", "at": 1}', "[" * 50_000],
    ids=lambda content: content[:50],
)
def test_a_fence_that_is_none_keeps_everybody_out_and_is_left_alone(fence, content, enter):
    with open(fence, "w", encoding="utf-8") as file:
        file.write(content)
    with pytest.raises(FenceError, match=fence), enter(fence, 2**53):
        pytest.fail("came in")
    with open(fence, encoding="utf-8") as file:
        assert file.read() == content


@BOTH
@pytest.mark.parametrize(("path", "token"), [("fence", 1), ("../fence", 1), ("", 1), (None, 0), (None, -1), (None, 2**53 + 1)])
def test_a_relative_path_and_a_token_that_is_none_are_refused(fence, enter, path, token):
    with pytest.raises(FenceError), enter(fence if path is None else path, token):
        pytest.fail("came in")


def test_an_owner_that_cannot_be_shown_does_not_make_the_fence_unreadable(fence):
    leave(fence, 5, owner="an\x1b[2Jna\n" + "x" * 1000)
    assert stored(fence)["owner"].startswith("an[2Jnax") and len(stored(fence)["owner"]) == 500
    leave(fence, 6)


@BOTH
def test_a_link_in_place_of_a_file_is_not_followed(fence, tmp_path, enter):
    for end in ("", ".lock", ".work" if enter is alone else ".5"):
        own = f"{tmp_path}/{end}/fence"
        os.makedirs(os.path.dirname(own), exist_ok=True)
        os.symlink(tmp_path / "victim", own + end)
        with pytest.raises(FenceError, match="symbolic links"), enter(own, 5):
            pytest.fail("came in")
    assert not (tmp_path / "victim").exists()


# -- crashes, and disks that are full


@BOTH
def test_killed_at_any_point_the_token_is_the_old_or_the_new_one(tmp_path, monkeypatch, enter):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    fence, found = "", []

    def prepare(number):
        nonlocal fence
        fence = str(tmp_path / str(number) / "fence")
        leave(fence, 5)

    def act():
        with enter(fence, 6):
            pass

    for _number in at_every_line(act, ("fence.py", "small_files.py", "flock.py"), prepare):
        found.append(stored(fence)["token"])
        with enter(fence, 7):
            assert stored(fence)["token"] == 7
    assert set(found) == {5, 6} and found == sorted(found) and len(found) > 50


@BOTH
@pytest.mark.parametrize("bytes_left", [0, 1, 20])
def test_a_full_disk_keeps_everybody_out_before_anything_is_changed(fence, enter, bytes_left):
    def act():
        with pytest.raises(FenceError, match="File too large"), enter(fence, 6):
            pytest.fail("came in")

    leave(fence, 5)
    assert with_a_full_disk(act, bytes_left) == 0
    assert stored(fence)["token"] == 5


@BOTH
def test_a_folder_that_cannot_be_used_keeps_everybody_out(tmp_path, enter):
    folder = tmp_path / "closed"
    leave(str(folder / "fence"), 5)
    folder.chmod(0)

    def act():
        with pytest.raises(FenceError, match="Permission denied"), enter(str(folder / "fence"), 6):
            pytest.fail("came in")

    assert as_nobody(act) == 0
    folder.chmod(0o755)
    assert stored(folder / "fence")["token"] == 5
