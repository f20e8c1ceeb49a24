#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_info
short_description: Tell which members of a pool take traffic, as every load balancer sees it
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Reads the pools from each load balancer, as its kind tells them, and compares them.
  - A load balancer that does not answer is a failure that names it, and so is a backend that one of them does not have.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
  - alwayson.upgrade.load_balancers
options:
  backend:
    description:
      - The only backend to read. It must be on every load balancer.
      - Without it, all backends are read.
    type: str
  map:
    description:
      - A map to read as well, as O(alwayson.upgrade.traffic_route#module:map). It must be on every load balancer.
    type: str
    version_added: 0.2.0
seealso:
  - module: alwayson.upgrade.traffic_route
  - module: alwayson.upgrade.traffic_member
"""

EXAMPLES = r"""
- name: See who takes traffic
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

- name: Read all backends on the load balancer itself
  alwayson.upgrade.traffic_info:
    load_balancers:
      - name: "{{ inventory_hostname }}"
        endpoint: unix:/run/haproxy/admin.sock
"""

RETURN = r"""
load_balancers:
  description: What each load balancer sees, by its name.
  returned: success
  type: dict
  contains:
    endpoint:
      description: Where it was asked.
      type: str
      returned: success
    version:
      description: Version of its software, empty where it does not tell.
      type: str
      returned: success
    routes:
      description: Key to value in O(map), as the process has them.
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
          description: The number of members that take new traffic now.
          type: int
          returned: success
        members:
          description:
            - The members by name. C(admin) is what was asked of the member, V(ready), V(drain) or V(maint).
            - C(health) is V(up), V(down), V(stopping) (its health check answers 404), V(paused) (in maintenance it is not checked), or
              V(unchecked) (no health check is configured). C(check) is how the last check ended.
            - C(live) tells whether it takes new traffic now. It is ready, healthy, has a weight, and is no backup.
            - C(sessions) are in flight, and C(queued) wait for the member. C(arrivals) counts all that it was ever given, C(errors) those that failed, and
              C(response_ms) is how long the last ones took on average. The last two are V(null) where the load balancer does not tell.
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
          members:
            app1:
              address: 10.0.0.21:8080
              admin: ready
              health: up
              check: L7OK
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
  description: A sentence for each thing that they see differently.
  returned: success
  type: list
  elements: str
  sample: ["app/app1 is ready on lb1 but drain on lb2: bring it into one state with alwayson.upgrade.traffic_member"]
live:
  description: For each backend, the live members on the load balancer that has the fewest.
  returned: success
  type: dict
  sample:
    app: 6
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy_map import sides_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import ARGUMENTS, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic import disagreements, lowest_live, view_as_data


def main() -> None:
    module = AnsibleModule(argument_spec={**ARGUMENTS, "backend": {"type": "str"}, "map": {"type": "str"}}, supports_check_mode=True)
    try:
        balancers = open_load_balancers(module.params["load_balancers"])
        seen = {balancer.name: view_as_data(balancer.endpoint, balancer.read(module.params["backend"])) for balancer in balancers}
        if module.params["map"]:
            for side in sides_of(balancers, module.params["map"], is_kept=False):
                seen[side.name]["routes"] = side.table.routes()
    except LoadBalancerError as error:
        module.fail_json(msg=str(error))
    sentences = disagreements(seen)
    module.exit_json(changed=False, load_balancers=seen, agree=not sentences, disagreements=sentences, live=lowest_live(seen))


if __name__ == "__main__":
    main()
