# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options with which a module reaches all load balancers of a pool."""

    DOCUMENTATION = r"""
options:
  load_balancers:
    description:
      - All load balancers of the pool. One that is missing here goes on sending traffic as before.
      - They are reached from the host that the module runs on.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the load balancer, which results and messages use.
        type: str
        required: true
      endpoint:
        description:
          - Where HAProxy's runtime API listens, V(tcp://HOST:PORT) or V(unix:/PATH).
          - The C(stats socket) needs C(level admin) for changes, and at least C(level operator) for reading.
        type: str
        required: true
      master_endpoint:
        description:
          - Where the runtime API of HAProxy's master process listens (C(haproxy -W -S)), as O(load_balancers[].endpoint).
          - With it, requests that are still in flight in worker processes which a reload has left at work count as well.
        type: str
        version_added: 0.2.0
      state_file:
        description:
          - Absolute path of HAProxy's C(server-state-file) on the host that the module runs on.
          - It is written after every change, so that a reload with C(load-server-state-from-file) brings nobody back into traffic.
        type: path
        version_added: 0.2.0
requirements:
  - HAProxy 2.6 or newer
"""
