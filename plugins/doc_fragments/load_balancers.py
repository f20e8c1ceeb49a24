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
      kind:
        description:
          - What the load balancer is. C(docs/load_balancers.md) has what each kind needs and what it can prove.
          - V(haproxy) is driven through its runtime API.
          - V(envoy) through its file of endpoints (EDS), and proven by its admin interface.
          - V(caddy) through its administrative API, with weights.
          - V(traefik) through its file provider, and proven by its API as far as that tells.
          - V(nginx) through a file with its upstreams, and a reload.
          - V(nginx_plus) through its API. It was not tested on a real one.
          - V(http) is any other that has an API, by O(load_balancers[].settings).
          - V(none) is one that nobody can drive. Members take themselves out by their health check.
        type: str
        choices: [haproxy, envoy, caddy, traefik, nginx, nginx_plus, http, none]
        default: haproxy
        version_added: 0.2.0
      endpoint:
        description:
          - Where it is driven.
          - For V(haproxy) its runtime API, V(tcp://HOST:PORT) or V(unix:/PATH). The C(stats socket) needs C(level admin) for changes, and at least
            C(level operator) for reading.
          - For V(envoy), V(caddy), V(traefik), V(nginx_plus) and V(http) the URL of its API. For V(nginx) C(file:) and the absolute path of the file
            with its C(upstream) blocks. For V(none) the URL that users come to.
        type: str
        required: true
      settings:
        description:
          - What a kind needs besides.
          - V(caddy) has C(weights), the weight of each member that is in traffic and not 1.
          - V(traefik) has C(file) (required), C(quiet_seconds) (10) and C(weights).
          - V(nginx) has C(command) (C([nginx])) and C(pid_file) (C(/run/nginx.pid)).
          - V(http) and V(nginx_plus) have C(path), C(members) and C(change), which V(nginx_plus) knows, and C(backends), C(recheck_seconds),
            C(quiet_seconds), C(validate_certs).
          - V(none) has C(backends) (required), C(health_path), C(switch_path), C(live_path), C(notice_seconds) and C(quiet_seconds).
        type: dict
        default: {}
        version_added: 0.2.0
      headers:
        description: Headers for every request to an API, for example with a token.
        type: dict
        default: {}
        version_added: 0.2.0
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
  - HAProxy 2.6 or newer, or another load balancer of these kinds
  - jmespath where the module runs, for the kinds V(http) and V(nginx_plus)
"""
