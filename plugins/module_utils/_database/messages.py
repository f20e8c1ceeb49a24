# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What database servers and their programs say, without the values of rows: these messages reach logs, reports and screens. Pure."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
LINE_LENGTH = 300
# PostgreSQL ends such a message with the value; MariaDB quotes it before the place that it was meant for.
VALUES = (
    (re.compile(r'(?s): (?:".*"|0x[0-9a-f ]+)$'), f": {HIDDEN}"),
    (re.compile(r'(?s)\bvalue ".*" is out of range'), f"value {HIDDEN} is out of range"),
    (re.compile(r"(?s)\b(entry|value:?|string:|record) '.*'(?= for | would )"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?s)\b(entry|value:?|string:|record) '.*'$"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?s)\bout of range in '.*'"), f"out of range in {HIDDEN}"),
)
NEAR = re.compile(r"(?s) near '.*' at line")
# In what a program wrote to its standard error: from here on it is a row, or a statement that may hold one; and here it speaks itself again.
SPEAKS = re.compile(r"[\w./-]+: (?:error|warning|fatal|hint|info|notice): |(?:ERROR|FATAL|PANIC|HINT|WARNING|NOTICE):  |ERROR \d+ \(|"
                    r"(?:pg_|mariadb|mysql)[\w-]*: (?!detail)|pg_\w+: detail: Error message from server: ")
SHOWS = re.compile(r"(?:[\w./-]+: )?(?:detail: *)?(?:DETAIL|CONTEXT|STATEMENT|QUERY|LINE \d+|Command was)\b|-{6,}$|(?:[\w./-]+: )detail:")


def of_program(text: str) -> str:
    """What a program wrote to its standard error, as one line."""
    lines_shown, is_shown = [], True
    for line in text.splitlines():
        is_shown = SPEAKS.match(line) is not None or (is_shown and SHOWS.match(line) is None)
        if is_shown and line.strip():
            lines_shown.append(NEAR.sub(f" near {HIDDEN} at line", without_values(one_line(line)))[:LINE_LENGTH])
    return "; ".join(lines_shown)


def without_values(text: str) -> str:
    """A message without the values that it quotes."""
    for pattern, replacement in VALUES:
        text = pattern.sub(replacement, text)
    return text


def one_line(text: str) -> str:
    """A text without line ends, and with one space where there is white space."""
    return re.sub(r"\s+", " ", text).strip()
