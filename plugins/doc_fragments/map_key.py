# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options with which a module names one key of a map, by which the load balancers decide."""

    DOCUMENTATION = r"""
options:
  map:
    description:
      - The map, which is the file in C(map(FILE)) of the configuration. The last part of its path is enough when it is unique on each load balancer.
    type: str
    required: true
  key:
    description: The key in the map.
    type: str
    required: true
  persist:
    description:
      - Whether the map's file is also written. The module must then run on the load balancer itself.
      - With V(false), a reload restores the entries of the file.
    type: bool
    default: true
"""
