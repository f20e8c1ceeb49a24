# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that select package updates; their argument spec is ARGUMENTS in module_utils/_packages/managers.py."""

    DOCUMENTATION = r"""
options:
  manager:
    description: The host's package manager. V(auto) uses the installed one.
    type: str
    choices: [auto, apt, dnf]
    default: auto
  security_only:
    description: Whether to select only updates from a security repository (apt) or of a security advisory (dnf).
    type: bool
    default: false
  exclude:
    description: Shell patterns of packages that are not updated. An update that needs a newer version of one of them is not selected either.
    type: list
    elements: str
    default: []
  lock_timeout:
    description: The seconds to wait for another package manager on the host to end.
    type: float
    default: 300
"""
