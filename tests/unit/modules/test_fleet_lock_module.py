# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.modules import fleet_lock, fleet_lock_info
from run_module import run_module

ANNA = {"owner": "anna", "host": "ctl1", "run": "run-1"}
BOB = {"owner": "bob", "host": "ctl2", "run": "run-2"}


@pytest.fixture(name="ask")
def _ask(tmp_path, capsys):
    def ask(check_mode=False, **params):
        return run_module(fleet_lock.main, capsys, check_mode, service="shop", directory=str(tmp_path / "state"), **params)

    return ask


@pytest.fixture(name="info")
def _info(tmp_path, capsys):
    return lambda: run_module(fleet_lock_info.main, capsys, service="shop", directory=str(tmp_path / "state"))


def test_nothing_was_ever_locked(info):
    result = info()
    assert (result["changed"], result["lock"], result["token"], result["history"]) == (False, None, 0, [])


def test_the_result_has_all_three_locks(ask, info, monkeypatch):
    reported = []
    monkeypatch.setattr(fleet_lock.AnsibleModule, "warn", lambda self, text: reported.append(text))
    taken = ask(**ANNA)
    assert (taken["changed"], taken["lock"]["token"], taken["taken_over"], taken["released"]) == (True, 1, None, None)
    assert abs(taken["lock"]["since"] - time.time()) < 60
    assert (info()["lock"], info()["token"]) == (taken["lock"], 1)
    over = ask(**BOB, take_over=taken["lock"]["id"], reason="why")
    assert (over["lock"]["token"], over["taken_over"], over["released"]) == (2, taken["lock"], None)
    assert len(reported) == 1 and "was taken over, for this reason: why" in reported[0]
    released = ask(state="released", **BOB)
    assert (released["changed"], released["lock"], released["released"]) == (True, None, over["lock"])
    assert [line["event"] for line in info()["history"]] == ["taken", "taken_over", "released"]


def test_a_refusal_gives_no_lock_that_could_be_taken_for_ones_own(ask):
    lock = ask(**ANNA)["lock"]
    refused = ask(**BOB)
    assert refused["failed"] is True and refused["held_by"] == lock and "lock" not in refused
    assert f"-e upgrade_take_over={lock['id']}" in refused["msg"]


def test_the_history_tells_the_last_twenty(ask, info):
    for _turn in range(12):
        ask(**ANNA)
        ask(state="released", **ANNA)
    result = info()
    assert len(result["history"]) == 20 and result["token"] == 12 and result["history"][-1]["event"] == "released"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({**ANNA, "id": "0123456789abcdef", "reason": "why"}, "id goes with state=released"),
        ({**ANNA, "take_over": "0123456789abcdef"}, "needs a reason"),
        ({"owner": "anna"}, "host and run missing"),
        ({**ANNA, "directory": "locks"}, "is not absolute"),
        ({**ANNA, "controller": {"machine": "m"}}, "pid"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, capsys, params, words):
    result = run_module(fleet_lock.main, capsys, **{"service": "shop", "directory": str(tmp_path / "state"), **params})
    assert result["failed"] is True and words in result["msg"] and "held_by" not in result
    assert not (tmp_path / "state" / "shop.lock").exists()


def test_a_lock_that_is_none_is_an_error_of_the_info_too(ask, info, tmp_path):
    ask(**ANNA)
    (tmp_path / "state" / "shop.lock").write_text("{", encoding="utf-8")
    assert info()["failed"] is True and str(tmp_path / "state" / "shop.lock") in info()["msg"]


@pytest.mark.parametrize(("mode", "warnings"), [(0o755, 0), (0o2775, 0), (0o1777, 1)])
def test_a_folder_in_which_everybody_may_write_is_reported(ask, tmp_path, monkeypatch, mode, warnings):
    reported = []
    monkeypatch.setattr(fleet_lock.AnsibleModule, "warn", lambda self, text: reported.append(text))
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    ask(**ANNA)
    words = f"{tmp_path}/state, where the lock and its tokens are, may be written by every account (mode 1777)"
    assert len(reported) == warnings and all(words in text for text in reported)
