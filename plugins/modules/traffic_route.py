#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

DOCUMENTATION = r"""
module: traffic_route
short_description: Send a service's traffic to another pool at once, on every load balancer
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - The cutover of a blue-green upgrade, and the return from it. One key of a map decides which pool the requests go to. The key is changed on all load
    balancers right after one another, on each by one command, so that no user sees one release and then the other again.
  - The pool must be there on every load balancer, with enough live members, before anything is changed. Every change is read back.
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
    description: Reads the load balancers and returns the routes that would be reached.
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
  settle:
    description: For how many seconds at most the previous pools are watched until no session is in flight there. RV(proof) says how many are left.
    type: float
    default: 0
seealso:
  - module: alwayson.upgrade.traffic_info
  - module: alwayson.upgrade.traffic_member
notes:
  - Requests in flight end where they are. Leave the previous pool unchanged until they have, and for as long as you want to be able to return at once.
  - O(fence) guards the host that this runs on.
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

- name: And back at once
  alwayson.upgrade.traffic_route:
    load_balancers: *load_balancers
    map: /etc/haproxy/active.map
    key: active
    backend: "{{ cutover.proof[inventory_hostname].before }}"

- name: Two load balancers in one call, until their next reload
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
    - What proves the route, by load balancer. C(before) and C(after) are the pools that the key's requests went and go to, V(null) when the map did not
      have the key and the configuration decided.
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
  description: When the load balancers were first read. Epoch seconds.
  returned: success
  type: float
  sample: 1798761600.0
finished_at:
  description: When the route was proven, and the previous pools were watched. Epoch seconds.
  returned: success
  type: float
  sample: 1798761600.1
"""

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import unwind_when_ended
from ..module_utils._load_balancers import ARGUMENTS as LOAD_BALANCERS, open_load_balancers
from ..module_utils._locking import fence
from ..module_utils._traffic.interface import LoadBalancerError
from ..module_utils._traffic.route import MAP_ARGUMENTS, Request, Rerouting, RouteError, sides_of

ARGUMENTS = {
    **LOAD_BALANCERS,
    **fence.ARGUMENTS,
    **MAP_ARGUMENTS,
    "backend": {"type": "str", "required": True},
    "min_live": {"type": "int", "default": 1},
    "settle": {"type": "float", "default": 0},
}
ERRORS = (LoadBalancerError, RouteError, fence.FenceError)


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN, with its difference. Raises one of ERRORS."""
    request = Request(params["key"], params["backend"], params["min_live"], params["settle"])
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
