#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_info
short_description: Return which members of a pool take traffic, as every load balancer sees it
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Reads the pools from each load balancer, and compares them.
  - Fails when a load balancer does not answer, or does not have the backend. The error names the load balancer.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
  - alwayson.upgrade.load_balancers
options:
  backend:
    description:
      - The backend to read. It must be on every load balancer.
      - By default, all backends are read.
    type: str
  map:
    description:
      - A map to read, see O(alwayson.upgrade.traffic_route#module:map). It must be on every load balancer.
    type: str
    version_added: 0.2.0
  recheck:
    description:
      - The longest time to wait, in seconds, for members that would take traffic but fail their health check. Use it when a health check may fail for a
        moment on one load balancer.
      - The last reading is returned. The module returns earlier when all these members pass their checks.
    type: float
    default: 0
    version_added: 0.2.0
  recheck_backends:
    description: The backends whose members O(recheck) waits for. By default, all backends that are read.
    type: list
    elements: str
    version_added: 0.2.0
seealso:
  - module: alwayson.upgrade.traffic_route
  - module: alwayson.upgrade.traffic_member
"""

EXAMPLES = r"""
- name: Read which members take traffic
  alwayson.upgrade.traffic_info:
    load_balancers:
      - name: lb1
        endpoint: tcp://10.0.0.11:9999
      - name: lb2
        endpoint: tcp://10.0.0.12:9999
    backend: app
  register: app_traffic

- name: Stop when the load balancers disagree, or fewer than four members are live on one of them
  ansible.builtin.assert:
    that:
      - app_traffic.agree
      - app_traffic.live.app >= 4
    fail_msg: "{{ app_traffic.disagreements | default(['too few members are live'], true) | join('; ') }}"

- name: Do the same, and wait ten seconds for failing health checks
  alwayson.upgrade.traffic_info:
    load_balancers:
      - name: lb1
        endpoint: tcp://10.0.0.11:9999
    recheck: 10
    recheck_backends: [app]

- name: Read all backends on the load balancer itself
  alwayson.upgrade.traffic_info:
    load_balancers:
      - name: "{{ inventory_hostname }}"
        endpoint: unix:/run/haproxy/admin.sock
"""

RETURN = r"""
load_balancers:
  description: The view of each load balancer, by its name.
  returned: success
  type: dict
  contains:
    endpoint:
      description: Its endpoint.
      type: str
      returned: success
    version:
      description: Version of its software, empty when it is not reported.
      type: str
      returned: success
    routes:
      description: The keys and values of O(map) in the running process.
      type: dict
      returned: when O(map) is given
    backends:
      description: Its backends by name.
      type: dict
      returned: success
      contains:
        cookie_name:
          description: Name of the cookie that binds clients to members, V(null) when there is none.
          type: str
          returned: success
        live:
          description: The number of members that take new traffic.
          type: int
          returned: success
        refusals:
          description:
            - One sentence for each reason why a drain cannot be proven with the configuration of this pool, with the change that is needed.
            - M(alwayson.upgrade.traffic_member) refuses to drain members until this is changed.
          type: list
          elements: str
          returned: success
        risks:
          description: One sentence for each risk in the configuration of this pool.
          type: list
          elements: str
          returned: success
        unproven:
          description: One sentence for each thing that this kind of load balancer cannot prove.
          type: list
          elements: str
          returned: success
        drained_with:
          description: The backends whose members are drained and returned together with those of this one, because they have the same endpoints (Envoy).
          type: list
          elements: str
          returned: success
          version_added: 0.3.0
        members:
          description:
            - The members by name. C(admin) is the administrative state, V(ready), V(drain) or V(maint).
            - C(health) is V(up), V(down), V(stopping) (its health check answers 404), V(paused) (in maintenance it is not checked), or
              V(unchecked) (no health check is configured). C(check) is the result of the last check, and C(check_code) the status of its answer,
              V(null) when it is not reported.
            - C(address) is empty for a server without an address, because its name cannot be resolved, or because it is a free slot of a template.
            - C(live) is whether it takes new traffic. A live member is ready and healthy, has a weight, and is not a backup.
            - C(sessions) is the number of sessions in flight, and C(queued) of those that wait for the member. C(arrivals) counts all sessions, C(errors)
              those that failed, and C(response_ms) is the mean time of the last ones. The last two are V(null) when the load balancer does not report them.
          type: dict
          returned: success
  sample:
    lb1:
      endpoint: tcp://10.0.0.11:9999
      version: 2.8.25
      backends:
        app:
          cookie_name: SRV
          live: 1
          refusals: []
          risks: []
          unproven: []
          drained_with: []
          members:
            app1:
              address: 10.0.0.21:8080
              admin: ready
              health: up
              check: L7OK
              check_code: 200
              live: true
              sessions: 3
              queued: 0
              arrivals: 1042
              errors: 0
              response_ms: 4.0
              weight: 1
              cookie: app1
              backup: false
agree:
  description: Whether all load balancers see the same backends and members, in the same states.
  returned: success
  type: bool
  sample: true
disagreements:
  description: One sentence for each difference between the load balancers.
  returned: success
  type: list
  elements: str
  sample: ["app/app1 is ready on lb1 but drain on lb2: bring it into one state with alwayson.upgrade.traffic_member"]
live:
  description: For each backend, the lowest number of live members on any load balancer.
  returned: success
  type: dict
  sample:
    app: 6
"""

from functools import partial
from typing import Any, Callable

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.clock import Clock
from ..module_utils._load_balancers import ARGUMENTS as LOAD_BALANCERS, open_load_balancers
from ..module_utils._traffic.interface import LoadBalancerError
from ..module_utils._traffic.views import disagreements, lowest_live, members_down, view_as_data

RECHECK_PAUSE_SECONDS = 0.5
CLOCK = Clock()
ARGUMENTS = {
    **LOAD_BALANCERS,
    "backend": {"type": "str"},
    "map": {"type": "str"},
    "recheck": {"type": "float", "default": 0},
    "recheck_backends": {"type": "list", "elements": "str"},
}
ERRORS = (LoadBalancerError,)


def answer(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN. Raises one of ERRORS."""
    balancers = open_load_balancers(params["load_balancers"])
    seen = look_again(partial(look, balancers, params["backend"]), params["recheck_backends"], params["recheck"])
    if params["map"]:
        from ..module_utils._traffic.route import sides_of

        for side in sides_of(balancers, params["map"], is_kept=False):
            seen[side.name]["routes"] = side.table.routes()
    sentences = disagreements(seen)
    return {"changed": False, "load_balancers": seen, "agree": not sentences, "disagreements": sentences, "live": lowest_live(seen)}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = answer(module.params, module.check_mode)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def look(balancers: list[Any], backend: str | None) -> dict[str, Any]:
    """What each load balancer sees now."""
    return {balancer.name: view_as_data(balancer.endpoint, balancer.read(backend)) for balancer in balancers}


def look_again(read: Callable[[], dict[str, Any]], backends: list[Any] | None, seconds: float, clock: Clock = CLOCK) -> dict[str, Any]:
    """The first look in which no member is down that would get traffic, or the last one after so many seconds."""
    give_up = clock.steady() + seconds
    while True:
        seen = read()
        wanted = {name for balancer in seen.values() for name in balancer["backends"]} if backends is None else backends
        if not members_down(seen, wanted) or clock.steady() >= give_up:
            return seen
        clock.sleep(RECHECK_PAUSE_SECONDS)


if __name__ == "__main__":
    main()
