# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""However many members are drained at once, few sessions are open to a load balancer."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy import session_places
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.session_places import PLACES, NoPlaceError, place_at

ENDPOINT = "tcp://10.0.0.11:9999"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"alwayson-upgrade-{os.geteuid()}"


def test_never_more_sessions_than_places():
    guard, now, most = threading.Lock(), [0], [0]

    def one(_number):
        with place_at(ENDPOINT, 60):
            with guard:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.005)
            with guard:
                now[0] -= 1

    with ThreadPoolExecutor(24) as many:
        assert len(list(many.map(one, range(72)))) == 72
    assert 1 < most[0] <= 4  # of the ten places that HAProxy has


def test_each_endpoint_has_places_of_its_own_and_one_that_is_left_is_free():
    with contextlib.ExitStack() as held:
        for _number in range(PLACES):
            held.enter_context(place_at(ENDPOINT, 0))
        with pytest.raises(NoPlaceError), place_at(ENDPOINT, 0):
            pass
        with place_at("unix:/run/haproxy/admin.sock", 0):
            pass
    with place_at(ENDPOINT, 0):
        pass


@pytest.mark.parametrize("trap", ["link", "file", "open"])
def test_what_another_account_put_there_is_not_used(folder, trap, tmp_path):
    if trap == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif trap == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with contextlib.ExitStack() as held:
        for _number in range(3 * PLACES):
            held.enter_context(place_at(ENDPOINT, 0))
    assert session_places._folder() is None and not any((tmp_path / "elsewhere").glob("*"))


def test_nobody_else_may_look_into_the_folder(folder):
    with place_at(ENDPOINT, 0):
        assert folder.stat().st_mode & 0o777 == 0o700
