# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import threading

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.interrupts import FirstInterrupt


@pytest.fixture(autouse=True)
def _as_in_a_terminal():
    """A program that was started in the background inherits that Ctrl-C is ignored."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_one_is_reported_and_the_second_one_does_what_it_always_did():
    reported = []
    usual = signal.getsignal(signal.SIGINT)
    with FirstInterrupt(lambda: reported.append(1)):
        interrupt()
        assert reported == [1] and signal.getsignal(signal.SIGINT) is usual
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert reported == [1] and signal.getsignal(signal.SIGINT) is usual


def test_without_one_everything_is_as_before():
    usual = signal.getsignal(signal.SIGINT)
    with FirstInterrupt(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not usual
    assert signal.getsignal(signal.SIGINT) is usual


def test_another_thread_does_nothing():
    usual, seen = signal.getsignal(signal.SIGINT), []

    def run() -> None:
        with FirstInterrupt(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [usual]
