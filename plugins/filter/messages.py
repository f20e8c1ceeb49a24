# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin shell: the last message of a run, and commands that can be pasted. Each filter's documentation stands in its own .yml beside this file."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ..plugin_utils._plan.shapes import RunRecord
from ..plugin_utils._run import closing
from ..plugin_utils._text import command_line


def complete_commands(text: str | Sequence[str]) -> str | list[str]:
    """The commands in a text, or in each of its lines, with what this run was given on the command line."""
    program = sys.argv[0]
    if os.path.basename(program) != command_line.PROGRAM:
        words = []  # not started by a command line of ansible-playbook
    else:
        words = sys.argv[1:]
        found = shutil.which(command_line.PROGRAM)
        program = command_line.PROGRAM if found and os.path.realpath(found) == os.path.realpath(program) else program
    if isinstance(text, str):
        return command_line.complete(text, words, program)
    return [command_line.complete(str(line), words, program) for line in text]


def closing_text(record: object, reason: str = "", has_begun: bool = False) -> str:
    """The last message of a run that did not do what it was to do."""
    return closing.closing_text(cast(RunRecord, record) if isinstance(record, Mapping) else None, reason, has_begun)


class FilterModule:
    """The filters of messages."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"complete_commands": complete_commands, "closing_text": closing_text}
