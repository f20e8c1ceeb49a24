#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_read_only
short_description: Make a service read only for a limited time, on every load balancer
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Users can read during maintenance, for example of a database. Writes are refused with a status and a retry time, for the whole service or for one tenant.
  - O(key) selects the writes of the service or of a tenant. The configuration of the load balancers defines the keys.
  - The value of the key in a map is the time until which writes are refused. The load balancers compare it with their clock. So they accept writes again
    at that time, even when the run, the controller or this host has failed.
  - The key is changed on all load balancers, one right after another, and read back. When a change fails, the previous time is restored on every
    load balancer. If it cannot be restored, the error has the command for it.
extends_documentation_fragment:
  - alwayson.upgrade.load_balancers
  - alwayson.upgrade.map_key
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Reads the load balancers and returns the resulting times.
  diff_mode:
    support: full
    description: Returns the time before and after, for each load balancer.
options:
  state:
    description:
      - V(read_only) refuses writes for O(seconds) from now. Running it again extends the time.
      - V(open) accepts writes at once.
    type: str
    choices: [read_only, open]
    default: read_only
  seconds:
    description: For how many seconds writes are refused, unless O(state=open) ends this earlier.
    type: int
    default: 300
seealso:
  - module: alwayson.upgrade.traffic_route
notes:
  - Requests in flight are not affected, so earlier writes are finished.
  - The clocks of the load balancers and of the host that this runs on should agree.
"""

EXAMPLES = r"""
# In haproxy.cfg, in the frontend; the file has no lines at first:
#   http-request set-var(txn.now) date
#   http-request set-var(txn.read_only) str(shop),map_str_int(/etc/haproxy/read_only.map,0),sub(txn.now)
#   http-request return status 503 content-type text/plain string "read only, try again later"
#     hdr Retry-After %[var(txn.read_only)] if { var(txn.read_only) -m int gt 0 } !{ method GET HEAD OPTIONS }
- name: Refuse writes for at most two minutes
  alwayson.upgrade.traffic_read_only:
    load_balancers: &load_balancers
      - name: "{{ inventory_hostname }}"
        endpoint: unix:/run/haproxy/admin.sock
    map: /etc/haproxy/read_only.map
    key: shop
    seconds: 120

- name: Accept writes again
  alwayson.upgrade.traffic_read_only:
    load_balancers: *load_balancers
    map: /etc/haproxy/read_only.map
    key: shop
    state: open
"""

RETURN = r"""
until:
  description: The time until which writes are refused, in epoch seconds. 0 when they are accepted.
  returned: success
  type: int
  sample: 1798761720
proof:
  description: The proof, by load balancer. C(before) and C(after) are epoch seconds, C(before) is V(null) when the key was not there.
  returned: success
  type: dict
  sample:
    lb1:
      before: null
      after: 1798761720
      map: /etc/haproxy/read_only.map
"""

import time
from collections.abc import Iterable
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import unwind_when_ended
from ..module_utils._load_balancers import ARGUMENTS as LOAD_BALANCERS, open_load_balancers
from ..module_utils._locking import fence
from ..module_utils._traffic.interface import LoadBalancerError
from ..module_utils._traffic.route import MAP_ARGUMENTS, Request, Rerouting, RouteError, sides_of

ARGUMENTS = {
    **LOAD_BALANCERS,
    **fence.ARGUMENTS,
    "state": {"type": "str", "choices": ["read_only", "open"], "default": "read_only"},
    "seconds": {"type": "int", "default": 300},
    **MAP_ARGUMENTS,
}
ERRORS = (LoadBalancerError, RouteError, fence.FenceError)


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN, with its difference. Raises one of ERRORS."""
    until = until_when(params["state"], params["seconds"], time.time())
    with fence.admitted(params["fence"], check_mode):
        sides = sides_of(open_load_balancers(params["load_balancers"]), params["map"], params["persist"])
        rerouting = Rerouting(sides, Request(params["key"], str(until), min_live=None))
        before = {name: moment(value) for name, value in rerouting.before.items()}
        changed = is_change(before.values(), until, time.time())
        result = rerouting.apply() if changed and not check_mode else rerouting.dry_run()
    after = {name: until if changed else value for name, value in before.items()}
    return {
        "changed": changed,
        "diff": {"before": before, "after": after},
        "until": until,
        "proof": {name: {"before": before[name], "after": after[name], "map": side["map"]} for name, side in result.proof.items()},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    unwind_when_ended(RouteError)
    try:
        result = answer(module.params, module.check_mode)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def until_when(state: str, seconds: int, now: float) -> int:
    """The moment that the key leads to: epoch seconds, 0 for one that never comes."""
    if state == "open":
        return 0
    if seconds < 1:
        raise RouteError(f"seconds is {seconds}: it must be at least 1; state=open lets writes in")
    return int(now) + seconds


def is_change(before: Iterable[int | None], until: int, now: float) -> bool:
    """Whether the change has an effect on any client's writes: a deadline that has passed equals none."""
    return until > 0 or any((moment_before or 0) > now for moment_before in before)


def moment(value: str | None) -> int | None:
    """A value of the map as epoch seconds; 0 for what HAProxy takes for no number."""
    if value is None:
        return None
    return int(value) if value.isdecimal() else 0


if __name__ == "__main__":
    main()
