# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own part: the fence before the load balancers. What it does with these is tested with its module_utils."""

from __future__ import annotations

import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking import fence as locking_fence
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import apply, dry_run
from ansible_collections.alwayson.upgrade.plugins.modules import traffic_member
from fake_load_balancer import BACKEND, House
from run_module import run_module


@pytest.fixture(name="house")
def _house(monkeypatch):
    house = House()
    monkeypatch.setattr(traffic_member, "open_load_balancers", lambda specs: house.balancers)
    monkeypatch.setattr(traffic_member, "apply", lambda balancers, request: apply(balancers, request, house.time.clock))
    monkeypatch.setattr(traffic_member, "dry_run", lambda balancers, request: dry_run(balancers, request, house.time.clock))
    monkeypatch.setattr(traffic_member, "unwind_when_ended", lambda error: None)
    return house


def drain(capsys, path, token, member, check_mode=False):
    specs = [{"name": "lb1", "endpoint": "tcp://127.0.0.1:1"}]
    fence = {} if token is None else {"fence": {"token": token, "owner": f"owner of {token}", "path": str(path)}}
    return run_module(traffic_member.main, capsys, check_mode, load_balancers=specs, backend=BACKEND, members=[member], state="drained", **fence)


def test_an_older_token_is_refused_before_a_load_balancer_is_asked(house, tmp_path, capsys):
    path = tmp_path / "shop.fence"
    assert drain(capsys, path, 6, "s1")["changed"] is True
    reads, lines = house.lb1.reads, len(house.lines)
    for check_mode in (True, False):
        refused = drain(capsys, path, 5, "s2", check_mode)
        assert refused["failed"] is True and "this run holds token 5, but owner of 6 has taken over with token 6" in refused["msg"]
    assert (house.lb1.reads, len(house.lines), house.admin("s2")) == (reads, lines, [["ready"], ["ready"]])
    assert drain(capsys, path, 6, "s2")["changed"] is True and drain(capsys, path, 7, "s3")["changed"] is True
    assert json.loads(path.read_text(encoding="utf-8"))["token"] == 7


def test_members_leave_side_by_side_in_one_run(house, tmp_path, capsys):
    path = tmp_path / "shop.fence"
    with locking_fence.fenced_with_peers(str(path), 5, "anna", 0):
        assert drain(capsys, path, 5, "s1")["changed"] is True


def test_check_mode_leaves_no_token(house, tmp_path, capsys):
    assert drain(capsys, tmp_path / "shop.fence", 5, "s1", check_mode=True)["changed"] is True
    assert list(tmp_path.iterdir()) == []


def test_without_a_fence_nothing_is_asked_of_it(house, tmp_path, capsys):
    assert drain(capsys, tmp_path / "shop.fence", None, "s1")["changed"] is True
    assert list(tmp_path.iterdir()) == []


def test_a_fence_that_cannot_be_used_is_a_plain_failure(house, tmp_path, capsys):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "fence", "relative"):
        refused = drain(capsys, path, 5, "s1")
        assert refused["failed"] is True and "exception" not in refused
    assert house.lines == []
