# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that both modules of a team's migration tool share; their argument spec is ARGUMENTS in module_utils/_release/migration_tool.py."""

    DOCUMENTATION = r"""
options:
  ledger:
    description:
      - Absolute path of the ledger on this host, a file with a row for each release. Its folder is created if it does not exist.
      - The files with the suffixes C(.lock) and C(.log) beside it are the lock of a running tool, and the output of the last run.
    type: path
    required: true
  status_command:
    description:
      - The command line that exits with 0 when the tool has nothing left to apply, and with another status otherwise. It must change nothing.
      - Give a list of words, or a text that is split like in a shell. It is run without a shell.
    type: raw
    default: []
  directory:
    description: Absolute path of the folder in which the commands run.
    type: path
  environment:
    description: Further environment variables of the commands. The values are not shown or logged.
    type: dict
    default: {}
"""
