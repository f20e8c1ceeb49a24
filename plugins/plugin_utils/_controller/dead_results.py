# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread in which ansible-core takes the results of tasks: when it has died, ansible-core waits for ever. Without importing ansible-core."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


# How long a strategy sleeps when no result is available. ansible-core's own millisecond (internal_poll_interval) costs a tenth of a processor while the play
# runs.
IDLE_PAUSE_S = 0.004


class ResultsLost(RuntimeError):
    """Results of tasks do not arrive any more; the message says why."""


def require_results(strategy: Any, take_results: Callable[[Any], None]) -> None:
    """Look whether the thread lives.

    :param take_results: what the thread runs, ansible-core's own function of the strategy.
    :raises ResultsLost: when it has died, and nothing that it brought is left to be processed. Another thread takes what comes until the end of the play: the
        sentinel that ends it comes through the queue, and would end the thread of the next play if it stayed there.
    """
    if strategy._results_thread.is_alive() or strategy._results:
        return
    strategy._results_thread = threading.Thread(target=take_results, args=(strategy,), daemon=True)
    strategy._results_thread.start()
    raise ResultsLost("the thread of ansible-core that takes the results of tasks has died, so none arrives any more: see the first error above")
