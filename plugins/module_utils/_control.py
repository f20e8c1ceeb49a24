# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A word from the operator's second terminal to a roll under way: pause, go, abort, in a file on the controller."""

from __future__ import annotations

import os

from ansible_collections.alwayson.upgrade.plugins.module_utils._private_copy import open_regular
from ansible_collections.alwayson.upgrade.plugins.module_utils._writers import is_trusted, strangers

GO, PAUSE, ABORT = "go", "pause", "abort"


def read_control(path: str | None) -> str:
    """What the operator wants; ``go`` when there is no such file. What cannot be understood is a pause: nobody meant it to be nothing.

    So is what another account has written where everybody may write: it lets no roll go on that was paused, and ends none.
    """
    if not path:
        return GO
    try:
        # A pipe would keep the roll waiting for somebody who writes into it.
        with open_regular(path) as file:
            if not is_trusted(os.fstat(file.fileno()).st_uid) and strangers(os.path.dirname(os.path.abspath(path))):
                return PAUSE
            word = file.read(64).decode("utf-8", "replace").strip().lower()
    except FileNotFoundError:
        return GO
    except OSError:
        return PAUSE
    return word if word in (GO, ABORT) else GO if not word else PAUSE
