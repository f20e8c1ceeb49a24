# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: event_log
type: aggregate
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.1.0
short_description: Writes down the events of a roll
description:
  - For tests. The environment variable C(EVENT_LOG) names the file. Breaks on C(waiting).
"""

import json
import os

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Listens as the screen does."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "event_log"
    CALLBACK_NEEDS_ENABLED = True

    def rollout_event(self, event):
        with open(os.environ["EVENT_LOG"], "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(event)}\n")
        if event["event"] == "waiting":
            raise RuntimeError("this screen is broken")
