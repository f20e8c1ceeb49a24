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
      - Absolute path of the file on this host that has a row for each release. Its folder is made when it is missing.
      - Beside it are C(.lock), held while the tool runs, and C(.log), what it wrote last.
    type: path
    required: true
  status_command:
    description:
      - The command line that ends with 0 when the tool has nothing left to apply, and with anything else when it has. It must change nothing.
      - A list of words, or a text that is split as a shell would. No shell runs it.
    type: raw
    default: []
  directory:
    description: Absolute path of the folder in which the commands run.
    type: path
  environment:
    description: Further variables for them. The values are not shown and not logged.
    type: dict
    default: {}
"""
