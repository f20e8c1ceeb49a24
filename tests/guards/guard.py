# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guard is: a place in the code that keeps something from happening, and the tests that are to fail without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """`changes` are a file, what stands in it once, and what stands there when nobody guards any more; `tests` are as pytest takes them."""

    name: str
    what: str
    tests: tuple[str, ...]
    changes: tuple[tuple[str, str, str], ...]
