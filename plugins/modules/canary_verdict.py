#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: canary_verdict
short_description: Compare upgraded members with the others by the load balancers' counters
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Watches members of a pool for some time, and compares their requests in that time with those of the other members. The numbers are the load balancers'
    counters, so they show what users got.
  - Fails when too many requests failed or answers took too long, and also when there were too few requests for a verdict. The next step of a
    roll is then not started.
  - Failures are answers of 500 and above, failed connections, and truncated answers.
  - The load balancers are asked every second, because a reload resets their counters. When a process is replaced, its requests since the last
    reading are not counted.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
  - alwayson.upgrade.load_balancers
options:
  backend:
    description: The pool, which is the name of the backend on the load balancers.
    type: str
    required: true
  members:
    description: The upgraded members, by their names on the load balancers. They are compared with all other live members of the pool.
    type: list
    elements: str
    required: true
    aliases: [member]
  seconds:
    description: For how many seconds the members are watched.
    type: float
    default: 30
  max_error_percent:
    description: The highest percentage of their requests that may fail.
    type: float
    default: 1
  max_latency_factor:
    description:
      - The highest factor by which their mean response time may exceed that of the other members. With V(0), and when a load balancer does not report response
        times, they are not compared.
    type: float
    default: 2
  latency_slack_ms:
    description: Milliseconds that are allowed in addition to the factor, so that small differences between short response times do not count.
    type: float
    default: 50
  min_requests:
    description: The number of requests that a verdict needs.
    type: int
    default: 10
notes:
  - In check mode it reads once, does not wait, and gives no verdict.
  - HAProxy reports failed requests and response times, and Envoy only failed requests (see RV(canary)). Other kinds report neither.
seealso:
  - module: alwayson.upgrade.traffic_member
"""

EXAMPLES = r"""
- name: Continue only when the first upgraded member does as well as the others for a minute
  alwayson.upgrade.canary_verdict:
    load_balancers:
      - name: lb1
        endpoint: tcp://10.0.0.11:9999
      - name: lb2
        endpoint: tcp://10.0.0.12:9999
    backend: app
    members: [app1]
    seconds: 60
    max_error_percent: 0.5
    min_requests: 100
"""

RETURN = r"""
verdict:
  description: V(good), V(bad) or V(unclear). The module fails with V(bad) and V(unclear). V(null) in check mode.
  returned: always
  type: str
  sample: good
reasons:
  description: Why the verdict is not good.
  returned: always
  type: list
  elements: str
  sample: []
canary:
  description: The outcomes of the requests of O(members). C(response_ms) is V(null) where it is not reported.
  returned: when they were watched
  type: dict
  sample: {requests: 412, errors: 0, error_percent: 0.0, response_ms: 4.1}
others:
  description: The same figures of the other members.
  returned: when they were watched
  type: dict
  sample: {requests: 2056, errors: 1, error_percent: 0.049, response_ms: 4.0}
"""

import time
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._load_balancers import ARGUMENTS, open_load_balancers
from ..module_utils._traffic.interface import Backend, LoadBalancerError, View, require_members
from ..module_utils._traffic.verdict import GOOD, Limits, Watch, analysis, sampled, uncounted

# A reload of a load balancer resets its counters: so often they are read.
LOOK_SECONDS = 1.0
LIMITS = {
    "max_error_percent": {"type": "float", "default": 1},
    "max_latency_factor": {"type": "float", "default": 2},
    "latency_slack_ms": {"type": "float", "default": 50},
    "min_requests": {"type": "int", "default": 10},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            **LIMITS,
            "backend": {"type": "str", "required": True},
            "members": {"type": "list", "elements": "str", "required": True, "aliases": ["member"]},
            "seconds": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        result = watched(module.params, module.check_mode)
    except LoadBalancerError as error:
        module.fail_json(msg=str(error))
    if result["verdict"] not in (GOOD, None):
        module.fail_json(msg=f"{', '.join(module.params['members'])}: {'; '.join(result['reasons'])}", **result)
    module.exit_json(changed=False, **result)


def watched(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Look, wait, look again, and compare; returns what `RETURN` says."""
    balancers = open_load_balancers(params["load_balancers"])

    def look() -> dict[str, View]:
        return {balancer.name: balancer.read(params["backend"]) for balancer in balancers}

    watches = {name: Watch(view, params["backend"]) for name, view in look().items()}
    require_comparable({name: watch.first for name, watch in watches.items()}, params["backend"], params["members"])
    if check_mode:
        return {"verdict": None, "reasons": []}
    ends = time.monotonic() + params["seconds"]
    while True:
        time.sleep(max(0.0, min(LOOK_SECONDS, ends - time.monotonic())))
        is_last = time.monotonic() >= ends
        for name, view in look().items():
            watches[name].look(view)
        if is_last:
            break
    pools = [pool for watch in watches.values() for pool in (watch.first, watch.last)]
    others = [name for name in pools[0].members
              if name not in params["members"] and all(name in pool.members and pool.members[name].live for pool in pools)]
    canary, rest = (sampled(watches.values(), names) for names in (params["members"], others))
    verdict, reasons = analysis(canary, rest, Limits(**{name: params[name] for name in LIMITS}))
    return {"verdict": verdict, "reasons": reasons, "canary": canary.as_data(), "others": rest.as_data()}


def require_comparable(pools: dict[str, Backend], backend: str, members: list[str]) -> None:
    """Refuse members that are not there, and load balancers that do not count."""
    if not members:
        raise LoadBalancerError("members is empty: name at least one")
    for balancer, pool in pools.items():
        require_members(balancer, backend, pool.members, members)
    silent = uncounted(pools, members)
    if silent:
        raise LoadBalancerError(f"{', '.join(silent)} does not report how many requests failed: check these members otherwise, "
                                "in a playbook with upgrade_soak=0 and upgrade_gate_tasks")


if __name__ == "__main__":
    main()
