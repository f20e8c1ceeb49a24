#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_route
short_description: Send a service's traffic to another pool at once, on every load balancer
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Use it for the cutover of a blue-green upgrade, and for the return. A key of a map selects the pool that the requests go to. The key is changed on all load
    balancers, one right after another, by one command on each, so that users do not alternate between two releases.
  - The pool must exist on every load balancer, with enough live members, before anything is changed. Every change is read back.
  - When it fails on the way, or is interrupted, the previous route is restored on every load balancer. What could not be restored is named in the
    message, with the command that does it.
  - The map's file is written as well, so that a reload of the load balancer keeps the route.
extends_documentation_fragment:
  - alwayson.upgrade.load_balancers
  - alwayson.upgrade.map_key
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Reads the load balancers and returns the resulting routes.
  diff_mode:
    support: full
    description: Returns the route before and after, for each load balancer.
options:
  backend:
    description: The pool that gets the requests, which is the name of a backend on the load balancers.
    type: str
    required: true
  min_live:
    description: The live members that O(backend) must have on every load balancer.
    type: int
    default: 1
  drain_wait:
    description: How long to wait until no session is in flight in the previous pools, in seconds. RV(proof) has the number that is left.
    type: float
    aliases: [settle]
    default: 0
seealso:
  - module: alwayson.upgrade.traffic_info
  - module: alwayson.upgrade.traffic_member
notes:
  - Requests in flight end in the previous pool. Do not change that pool until they have ended, or while you may want to return to it.
  - O(fence) protects the host that the module runs on.
"""

EXAMPLES = r"""
# In haproxy.cfg, with a line "active blue" in the file:
#   use_backend %[str(active),map(/etc/haproxy/active.map,blue)]
- name: Send all users to the green pool when at least three of its members are live
  alwayson.upgrade.traffic_route:
    load_balancers: &load_balancers
      - name: "{{ inventory_hostname }}"
        endpoint: unix:/run/haproxy/admin.sock
    map: /etc/haproxy/active.map
    key: active
    backend: green
    min_live: 3
  register: cutover

- name: Return to the previous pool
  alwayson.upgrade.traffic_route:
    load_balancers: *load_balancers
    map: /etc/haproxy/active.map
    key: active
    backend: "{{ cutover.proof[inventory_hostname].before }}"

- name: Change two load balancers in one call, until their next reload
  alwayson.upgrade.traffic_route:
    load_balancers:
      - name: lb1
        endpoint: tcp://10.0.0.11:9999
      - name: lb2
        endpoint: tcp://10.0.0.12:9999
    map: active.map
    key: active
    backend: green
    persist: false
"""

RETURN = r"""
proof:
  description:
    - The proof of the route, by load balancer. C(before) and C(after) are the previous and the current pool of the key. C(before) is V(null) when the map did
      not have the key.
    - C(map) is the map's file there, C(live) the live members of O(backend), C(sessions_before) the sessions still in flight in the previous pool.
  returned: success
  type: dict
  sample:
    lb1:
      before: blue
      after: green
      map: /etc/haproxy/active.map
      live: 6
      sessions_before: 0
started_at:
  description: The time at which the load balancers were first read. Epoch seconds.
  returned: success
  type: float
  sample: 1798761600.0
finished_at:
  description: The time at which the route was proven and O(drain_wait) had ended. Epoch seconds.
  returned: success
  type: float
  sample: 1798761600.1
"""

from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import unwind_when_ended
from ..module_utils._load_balancers import ARGUMENTS as LOAD_BALANCERS, open_load_balancers
from ..module_utils._locking import fence
from ..module_utils._traffic.interface import LoadBalancerError
from ..module_utils._traffic.route import MAP_ARGUMENTS, Request, Rerouting, RouteError, sides_of

# The name of version 0.2.
RENAMED = {"name": "settle", "version": "1.0.0", "collection_name": "alwayson.upgrade"}
ARGUMENTS = {
    **LOAD_BALANCERS,
    **fence.ARGUMENTS,
    **MAP_ARGUMENTS,
    "backend": {"type": "str", "required": True},
    "min_live": {"type": "int", "default": 1},
    "drain_wait": {"type": "float", "default": 0, "aliases": ["settle"], "deprecated_aliases": [RENAMED]},
}
ERRORS = (LoadBalancerError, RouteError, fence.FenceError)


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN, with its difference. Raises one of ERRORS."""
    request = Request(params["key"], params["backend"], params["min_live"], params["drain_wait"])
    with fence.admitted(params["fence"], check_mode):
        sides = sides_of(open_load_balancers(params["load_balancers"]), params["map"], params["persist"])
        rerouting = Rerouting(sides, request)
        result = rerouting.dry_run() if check_mode else rerouting.apply()
    return {
        "changed": result.changed,
        "diff": {"before": result.before, "after": result.after},
        "proof": result.proof,
        "started_at": result.started,
        "finished_at": result.finished,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    unwind_when_ended(RouteError)
    try:
        result = answer(module.params, module.check_mode)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
