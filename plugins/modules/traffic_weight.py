#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_weight
short_description: Set the weight of members of a pool as a percentage, on every load balancer
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Sets the weight of members, for example of a canary, as a percentage of their weight in the configuration.
  - Every weight is read back. When a change fails or is interrupted, the previous weights are restored on every load balancer. The error names weights that
    could not be restored.
  - Clients that are bound to a member by a cookie stay with it, regardless of its weight.
extends_documentation_fragment:
  - alwayson.upgrade.load_balancers
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Reads the load balancers and returns the resulting weights.
  diff_mode:
    support: full
    description: Returns the weights before and after, for each load balancer.
options:
  backend:
    description: The pool, which is the name of the backend on the load balancers.
    type: str
    required: true
  members:
    description: The members, by their names on the load balancers.
    type: list
    elements: str
    required: true
    aliases: [member]
  percent:
    description: Percentage of the configured weight, from 1 to 100, rounded down. The result must not be 0.
    type: int
    required: true
notes:
  - Only supported with load balancers of the kind V(haproxy).
  - Give the servers C(weight 100) in the configuration, so that each percentage is a whole weight.
seealso:
  - module: alwayson.upgrade.traffic_member
  - module: alwayson.upgrade.canary_verdict
"""

EXAMPLES = r"""
- name: Give the canary a tenth of its share
  alwayson.upgrade.traffic_weight:
    load_balancers:
      - name: lb1
        endpoint: tcp://10.0.0.11:9999
      - name: lb2
        endpoint: tcp://10.0.0.12:9999
    backend: app
    members: [app1]
    percent: 10
"""

RETURN = r"""
weights:
  description: The weights before and after, by load balancer and member.
  returned: success
  type: dict
  sample:
    lb1:
      app1:
        before: 100
        after: 10
"""

from typing import Any, cast

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import unwind_when_ended
from ..module_utils._load_balancers import ARGUMENTS as LOAD_BALANCERS, open_load_balancers
from ..module_utils._locking import fence
from ..module_utils._traffic.interface import LoadBalancerError
from ..module_utils._traffic.weight import WeightedBalancer, WeightError, apply, dry_run

ARGUMENTS = {
    **LOAD_BALANCERS,
    **fence.ARGUMENTS,
    "backend": {"type": "str", "required": True},
    "members": {"type": "list", "elements": "str", "required": True, "aliases": ["member"]},
    "percent": {"type": "int", "required": True},
}
ERRORS = (LoadBalancerError, WeightError, fence.FenceError)


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN, with its difference. Raises one of ERRORS."""
    with fence.admitted(params["fence"], check_mode):
        balancers = open_load_balancers(params["load_balancers"])
        # Whether their kinds have weights that can be set, is looked at first of all.
        request = cast(list[WeightedBalancer], balancers), params["backend"], list(dict.fromkeys(params["members"])), params["percent"]
        result = dry_run(*request) if check_mode else apply(*request)
    return {
        "changed": result.changed,
        "diff": {"before": result.before, "after": result.after},
        "weights": {name: {member: {"before": weight, "after": result.after[name][member]} for member, weight in weights.items()}
                    for name, weights in result.before.items()},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    unwind_when_ended(WeightError)
    try:
        result = answer(module.params, module.check_mode)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
