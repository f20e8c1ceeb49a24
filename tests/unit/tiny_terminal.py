# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A terminal of a few lines of Python: it obeys the sequences that the panel uses, keeps a history, and refuses any other."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|(\x1b.?)|([^\x1b])", re.DOTALL)


class TinyTerminal:
    """Feed it what a program wrote; ``lines`` are what is visible, ``history`` what has scrolled away."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.screen = [[" "] * columns for _row in range(rows)]
        self.history: list[str] = []
        self.row = self.column = 0
        self.modes = {"7": True, "25": True}
        self.other_modes: set[str] = set()

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.screen]

    @property
    def everything(self) -> str:
        return "\n".join([*self.history, *self.lines])

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal is in the modes in which a shell left it."""
        return self.modes == {"7": True, "25": True} and not self.other_modes

    def feed(self, text: str) -> TinyTerminal:
        for private, numbers, command, unknown, character in _TOKEN.findall(text):
            if unknown:
                raise AssertionError(f"a sequence that this terminal does not know: {unknown!r}")
            if command:
                self._obey(private, numbers, command)
            else:
                self._put(character)
        return self

    def resize(self, columns: int, rows: int) -> None:
        """As a terminal does that wraps nothing again: it keeps the bottom."""
        while len(self.screen) > rows:
            self.history.append("".join(self.screen.pop(0)).rstrip())
            self.row = max(0, self.row - 1)
        self.screen += [[] for _row in range(rows - len(self.screen))]
        self.screen = [(row + [" "] * columns)[:columns] for row in self.screen]
        self.columns, self.rows, self.column = columns, rows, min(self.column, columns - 1)

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._line_feed()
        else:
            assert character >= " ", f"a control character: {character!r}"
            if self.column == self.columns:
                if self.modes["7"]:
                    self.column = 0
                    self._line_feed()
                else:
                    self.column -= 1
            self.screen[self.row][self.column] = character
            self.column += 1

    def _line_feed(self) -> None:
        if self.row < self.rows - 1:
            self.row += 1
            return
        self.history.append("".join(self.screen.pop(0)).rstrip())
        self.screen.append([" "] * self.columns)

    def _obey(self, private: str, numbers: str, command: str) -> None:
        if private:
            if numbers in self.modes:
                self.modes[numbers] = command == "h"
            else:
                (self.other_modes.add if command == "h" else self.other_modes.discard)(numbers)
        elif command == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif command == "H":
            row, _separator, column = numbers.partition(";")
            self.row, self.column = min(self.rows, int(row or 1)) - 1, min(self.columns, int(column or 1)) - 1
        elif command in "JK":
            self._clear_line()
            for row in range(0 if numbers == "2" else self.row + 1, self.rows) if command == "J" else ():
                self.screen[row] = [" "] * self.columns
        elif command != "m":
            raise AssertionError(f"a sequence that this terminal does not know: {numbers}{command}")

    def _clear_line(self) -> None:
        for column in range(self.column, self.columns):
            self.screen[self.row][column] = " "
