# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dead thread of results is noticed, and leaves nothing behind for the next play."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace

import pytest
from ansible.plugins.strategy import StrategySentinel, results_thread_main
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.dead_results import ResultsLost, require_results


def strategy(thread, *results):
    return SimpleNamespace(_results_thread=thread, _results=list(results), _final_q=queue.Queue())


def test_it_is_noticed_once_what_it_brought_is_processed():
    dead = threading.Thread(target=lambda: None)
    dead.start()
    dead.join()
    require_results(strategy(threading.current_thread()), results_thread_main)
    require_results(strategy(dead, "the last one"), results_thread_main)
    lost = strategy(dead)
    with pytest.raises(ResultsLost, match="the thread of ansible-core that takes the results of tasks has died"):
        require_results(lost, results_thread_main)
    lost._final_q.put(StrategySentinel())
    lost._results_thread.join(10)
    assert not lost._results_thread.is_alive() and lost._final_q.empty()
