# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback for tests/bench/scale.py: the address of each connection that the controller or one of its workers begins, a line each in $CONNECTIONS_FILE.

It watches Python's own audit events, which workers inherit, so that it counts what the code does and not what the code says.
"""

from __future__ import annotations

import os
import sys

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: connections
type: aggregate
short_description: Addresses of connections
description: See the file.
requirements:
  - enable in configuration
"""


class CallbackModule(CallbackBase):
    """Notes each connection in one write, which no other process's can come between."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "connections"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._file = os.open(os.environ["CONNECTIONS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        sys.addaudithook(self._watch)

    def _watch(self, event: str, arguments: tuple) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            os.write(self._file, f"{arguments[1][0]}:{arguments[1][1]}\n".encode("ascii", "replace"))
