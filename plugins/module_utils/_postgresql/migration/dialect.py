# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How PostgreSQL reads a script."""

from __future__ import annotations

from ..._database.migration.sql import Dialect, token_pattern

POSTGRESQL = Dialect(token_pattern(
    comment=r"--[^\n]*",
    constant=r"[eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | (?P<dollar>\$(?:[^\W\d]\w*)?\$)(?s:.*?)(?P=dollar)",
    name=r'"(?:[^"]|"")*"',
    word=r"[^\W\d][\w$]*",
), nests=True, has_bodies=False)
