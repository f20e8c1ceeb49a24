# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How MariaDB reads a script."""

from __future__ import annotations

from ..._database.migration.sql import Dialect, token_pattern

# Of a session whose sql_mode has neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES.
MARIADB = Dialect(token_pattern(
    comment=r"--(?=\s|\Z)[^\n]* | \#[^\n]*",
    constant=r"""'(?:[^'\\]|''|\\(?s:.))*' | "(?:[^"\\]|""|\\(?s:.))*" """,
    name=r"`(?:[^`]|``)*`",
    word=r"[\w$]*[^\W\d][\w$]*",
), nests=False, has_bodies=True, quote="`")
