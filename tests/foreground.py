# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shell has what it starts in the background ignore some signals: the programs that the tests start do not."""

from __future__ import annotations

import signal


def hear_signals() -> None:
    """Ignore neither SIGINT nor SIGHUP from now on. Each program inherits a signal that is ignored; one that is handled has its default action there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
