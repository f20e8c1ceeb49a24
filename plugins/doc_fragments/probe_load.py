# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a prober asks for, and where it counts live servers; their argument specs are MIX_SPEC and CAPACITY_SPEC in module_utils/_probe/plan.py."""

    DOCUMENTATION = r"""
options:
  mix:
    description:
      - The kinds of requests and their shares. Requests of the entries alternate as evenly as their shares allow.
      - By default, 60 % V(keepalive), 20 % V(new) and 20 % V(sticky) requests for V(/).
    type: list
    elements: dict
    suboptions:
      kind:
        description:
          - V(keepalive) reuses its connections, V(new) opens a connection for every request, and V(sticky) reuses connections and returns cookies.
          - V(slow) and V(write) behave like V(keepalive), and have separate figures. Use V(slow) for long answers, and
            V(write) for requests that change something.
        type: str
        choices:
          - keepalive
          - new
          - sticky
          - slow
          - write
        required: true
      share:
        description: The weight of this entry relative to the others.
        type: int
        required: true
      path:
        description: Path and query, percent-encoded.
        type: str
        default: /
      method:
        description: HTTP method. By default V(POST) for V(write), and V(GET) for the others.
        type: str
      body:
        description: The body of the request. A text is sent unchanged, anything else as JSON.
        type: raw
      status:
        description: The expected statuses. By default 200 to 399. Redirects are not followed.
        type: list
        elements: int
      expect_headers:
        description: Headers that an answer must have, with exactly these values.
        type: dict
        version_added: 0.3.0
      contains:
        description: A text that the first 64 KiB of an answer's body must contain.
        type: str
        version_added: 0.3.0
      expect:
        description:
          - JMESPath expressions with the values that they must have in the answer's body, a JSON document of at most 64 KiB.
          - The Python library jmespath must be installed on the host of the probe.
        type: dict
        version_added: 0.3.0
  capacity:
    description: The HAProxy runtime APIs to count live servers at. Each of them must answer when the probe starts, unless it is optional.
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the load balancer in the result.
        type: str
        required: true
      endpoint:
        description: V(tcp://host:port) or V(unix:/path).
        type: str
        required: true
      backend:
        description: The backend whose servers are counted. A server is live if it is up or not checked, has a weight,
          and is not draining, in maintenance or a backup.
        type: str
        required: true
      optional:
        description: Whether the probe starts even when this load balancer cannot be read, for example because its socket is on another host.
        type: bool
        default: false
        version_added: 0.3.0
"""
