# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How SQLite reads a script."""

from __future__ import annotations

from ..._database.migration.sql import Dialect, token_pattern

SQLITE = Dialect(token_pattern(
    comment=r"--[^\n]*",
    constant=r"'(?:[^']|'')*'",
    name=r'"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]',
    word=r"[^\W\d][\w$]*",
), nests=False, has_bodies=True)
