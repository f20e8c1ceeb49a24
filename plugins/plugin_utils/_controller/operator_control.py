# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's command to a roll that is under way: pause, go or abort, in a file on the controller."""

from __future__ import annotations

import os

from ...module_utils._host.private_copy import open_regular
from ...module_utils._host.writers import is_trusted, strangers

GO, PAUSE, ABORT = "go", "pause", "abort"


def read_control(path: str | None) -> str:
    """The operator's command; ``go`` when there is no such file, or an empty one. Any other text is a pause, because it was meant to be a command.

    A file of another account in a folder where all accounts may write is a pause, too: it neither lets a paused roll go on nor ends one.
    """
    if not path:
        return GO
    try:
        # A pipe would keep the roll waiting until another process writes into it.
        with open_regular(path) as file:
            if not is_trusted(os.fstat(file.fileno()).st_uid) and strangers(os.path.dirname(os.path.abspath(path))):
                return PAUSE
            word = file.read(64).decode("utf-8", "replace").strip().lower()
    except FileNotFoundError:
        return GO
    except OSError:
        return PAUSE
    return word if word in (GO, ABORT) else GO if not word else PAUSE
