# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time

from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import limited


def test_what_lasts_too_long_is_ended_and_nothing_else():
    ended = threading.Event()
    with limited(30, ended.set):
        pass
    assert not ended.is_set()
    with limited(0.01, ended.set):
        assert ended.wait(10)


def test_an_end_that_has_begun_is_finished_before_the_block_is_left():
    done = []

    def end() -> None:
        begun.set()
        time.sleep(0.1)
        done.append(True)

    begun = threading.Event()
    with limited(0.01, end):
        assert begun.wait(10)
    assert done == [True]
