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
      - All load balancers of the pool. A load balancer that is not listed keeps sending traffic to all members.
      - They are reached from the host that the module runs on.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the load balancer in results and messages.
        type: str
        required: true
      kind:
        description:
          - The kind of the load balancer. C(docs/load_balancers.md) describes what each kind needs and what it can prove.
          - V(haproxy) is driven through its runtime API.
          - V(envoy) is driven through its endpoints file (EDS), and read through its admin interface.
          - V(caddy) is driven through its administrative API, with weights.
          - V(traefik) is driven through its file provider, and read through its API.
          - V(nginx) is driven through a file with its upstreams, and a reload.
          - V(nginx_plus) is driven through its API. This kind was not tested with a real server.
          - V(http) is any other load balancer with an API, which O(load_balancers[].settings) describes.
          - V(none) is a load balancer that cannot be driven. Members leave traffic by failing their health check.
        type: str
        choices: [haproxy, envoy, caddy, traefik, nginx, nginx_plus, http, none]
        default: haproxy
        version_added: 0.2.0
      endpoint:
        description:
          - The endpoint through which it is driven.
          - For V(haproxy), its runtime API, V(tcp://HOST:PORT) or V(unix:/PATH). The C(stats socket) needs C(level admin) for changes, and at least
            C(level operator) for reading.
          - For V(envoy), V(caddy), V(traefik), V(nginx_plus) and V(http), the URL of its API. For V(nginx), C(file:) and the absolute path of the file
            with its C(upstream) blocks. For V(none), the URL at which users reach the service.
        type: str
        required: true
      settings:
        description:
          - Further settings of its kind.
          - V(caddy) has C(weights), the weight of each member in traffic whose weight is not 1.
          - V(traefik) has C(file) (required), C(quiet_seconds) (10) and C(weights).
          - V(nginx) has C(command) (C([nginx])) and C(pid_file) (C(/run/nginx.pid)).
          - V(http) has C(path), C(members), C(change), C(backends), C(recheck_seconds), C(quiet_seconds) and C(validate_certs). V(nginx_plus) has the same,
            with defaults for C(path), C(members) and C(change).
          - V(none) has C(backends) (required), C(health_path), C(switch_path), C(live_path), C(notice_seconds) and C(quiet_seconds).
        type: dict
        default: {}
        version_added: 0.2.0
      headers:
        description: Headers of every request to the API, for example with a token.
        type: dict
        default: {}
        version_added: 0.2.0
      master_endpoint:
        description:
          - The runtime API of HAProxy's master process (C(haproxy -W -S)), in the form of O(load_balancers[].endpoint).
          - With it, the proof of a drain includes requests in old worker processes that a reload left running.
        type: str
        version_added: 0.2.0
      state_file:
        description:
          - Absolute path of HAProxy's C(server-state-file) on the host that the module runs on.
          - It is written after every change, so that a reload with C(load-server-state-from-file) does not return drained members to traffic.
        type: path
        version_added: 0.2.0
requirements:
  - HAProxy 2.6 or newer, or another load balancer of these kinds
  - jmespath on the host that the module runs on, for the kinds V(http) and V(nginx_plus)
"""
