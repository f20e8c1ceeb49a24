# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A word from the operator's second terminal to a roll under way: pause, go, abort, in a file on the controller."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.module_utils._private_copy import open_regular

GO, PAUSE, ABORT = "go", "pause", "abort"


def read_control(path: str | None) -> str:
    """What the operator wants; ``go`` when there is no such file. What cannot be understood is a pause: nobody meant it to be nothing."""
    if not path:
        return GO
    try:
        # A pipe would keep the roll waiting for somebody who writes into it.
        with open_regular(path) as file:
            word = file.read(64).decode("utf-8", "replace").strip().lower()
    except FileNotFoundError:
        return GO
    except OSError:
        return PAUSE
    return word if word in (GO, ABORT) else GO if not word else PAUSE
