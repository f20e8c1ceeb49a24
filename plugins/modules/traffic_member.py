#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_member
short_description: Take members of a pool out of traffic and back without losing a request, proven on every load balancer
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Changes all load balancers of a pool in one call, each step on all of them. A member is out of traffic only when it is out on all of them.
  - When the configuration of a load balancer does not allow a proof of the drain, the module fails before anything is changed. See C(docs/load_balancers.md).
  - Every change is read back, and must persist. An unknown backend, member or load balancer is a failure before anything is changed.
  - When it fails on the way, or is interrupted, the previous state is restored on every load balancer. What could not be restored is named in the
    message, with the command that does it.
  - Changes made through the runtime API are lost when HAProxy is reloaded, unless its state file is written. O(load_balancers[].state_file) does that.
extends_documentation_fragment:
  - alwayson.upgrade.load_balancers
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Reads the load balancers and returns the resulting states. It does not wait.
  diff_mode:
    support: full
    description: Returns the administrative states of the members before and after, for each load balancer.
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
  state:
    description:
      - V(drained) takes the members out of traffic. First they drain until no session is in flight on any load balancer. Then they are set to maintenance,
        which also excludes clients that are bound to them by a cookie. The module waits again until no session is in flight and none is queued, and until no
        connection of an old worker is left that could bring one. When bound clients keep sending requests, draining would not end, so it gets half of
        O(timeout). A member that is in maintenance already is not changed, and must fulfil the same conditions.
      - V(draining) starts to drain the members that are ready, and does not wait for their sessions. A member in maintenance is not changed.
      - V(checked) sets members in maintenance to drain, and waits until they pass their health check. They take no new clients. Until they have passed it,
        bound clients do not reach them either.
      - V(ready) does the same, then sets the members to ready, and waits until they take traffic. A member that does not pass its health
        check returns to its previous state.
    type: str
    required: true
    choices: [drained, draining, checked, ready]
  out:
    description:
      - With O(state=ready), members that start to drain at the same time. Each load balancer gets all changes in one line of commands. Requests between
        these commands are possible. For a change in a single step, use a key of a map, see M(alwayson.upgrade.traffic_route).
      - Members in maintenance are not changed.
    type: list
    elements: str
    default: []
  min_live:
    description:
      - The number of live members that must remain on every load balancer when O(members) start to drain. The module waits up to O(timeout) for them.
      - They are counted before and right after the change, because another run may drain members at the same time. When too few remain, the drain is undone
        and retried later.
      - A member that takes no traffic can always be drained.
    type: int
    default: 0
  timeout:
    description: The longest time of each wait, in seconds, for live members, for sessions to end, and for health checks to pass.
    type: float
    default: 60
  on_timeout:
    description:
      - The action when sessions do not end in time with O(state=drained).
      - V(rollback) restores the previous state on all load balancers, and fails.
      - V(fail) fails, and leaves the members draining, in the same state on all load balancers.
      - V(cut) continues, and closes the remaining sessions when the members are in maintenance. The proof has their number.
    type: str
    choices: [rollback, fail, cut]
    default: rollback
seealso:
  - module: alwayson.upgrade.fleet_lock
  - module: alwayson.upgrade.traffic_info
  - module: alwayson.upgrade.traffic_route
notes:
  - O(fence) protects the host that the module runs on. If one host drives all load balancers, a run on a different host is not detected there.
  - The proof covers the sessions of the process behind O(load_balancers[].endpoint). After a reload, requests may be in flight in an old worker
    process. With O(load_balancers[].master_endpoint), the proof covers these as well.
  - With C(on-marked-down shutdown-sessions) HAProxy closes sessions itself when a member goes into maintenance.
"""

EXAMPLES = r"""
- name: Take a member out of traffic while four others are live
  alwayson.upgrade.traffic_member:
    load_balancers: &load_balancers
      - name: lb1
        endpoint: tcp://10.0.0.11:9999
      - name: lb2
        endpoint: tcp://10.0.0.12:9999
    backend: app
    members: [app1]
    state: drained
    min_live: 4

- name: Return it to traffic when it passes its health check
  alwayson.upgrade.traffic_member:
    load_balancers: *load_balancers
    backend: app
    members: [app1]
    state: ready

- name: Move all traffic from one half of the pool to the other at once
  alwayson.upgrade.traffic_member:
    load_balancers: *load_balancers
    backend: app
    members: [app1, app2, app3]
    out: [app4, app5, app6]
    state: ready
    timeout: 30
"""

RETURN = r"""
proof:
  description:
    - The proof of the state, by load balancer and member.
    - C(before) and C(after) are the administrative states, V(ready), V(drain) or V(maint). C(health), C(check), C(sessions) and C(queued) are what the
      load balancer reported last. C(cut) is the number of sessions that were closed. C(waited_s) is the time until the proof, in seconds from the start.
    - C(note) names what could not be proven, for example because a member has no health check.
  returned: success
  type: dict
  sample:
    lb1:
      app1:
        before: ready
        after: maint
        health: paused
        check: ""
        sessions: 0
        queued: 0
        cut: 0
        waited_s: 1.214
live:
  description: The number of live members of the backend, by load balancer.
  returned: success
  type: dict
  sample:
    lb1: 5
    lb2: 5
started_at:
  description: The time of the first change, or the start of the module if there was no change. Epoch seconds.
  returned: success
  type: float
  sample: 1798761600.0
finished_at:
  description: The time at which the state was proven. Epoch seconds.
  returned: success
  type: float
  sample: 1798761601.2
"""

from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import unwind_when_ended
from ..module_utils._load_balancers import ARGUMENTS as LOAD_BALANCERS, open_load_balancers
from ..module_utils._locking import fence
from ..module_utils._traffic.drain import Request, TrafficError, apply, dry_run
from ..module_utils._traffic.interface import LoadBalancerError

ARGUMENTS = {
    **LOAD_BALANCERS,
    **fence.ARGUMENTS,
    "backend": {"type": "str", "required": True},
    "members": {"type": "list", "elements": "str", "required": True, "aliases": ["member"]},
    "state": {"type": "str", "required": True, "choices": ["drained", "draining", "checked", "ready"]},
    "out": {"type": "list", "elements": "str", "default": []},
    "min_live": {"type": "int", "default": 0},
    "timeout": {"type": "float", "default": 60},
    "on_timeout": {"type": "str", "choices": ["rollback", "fail", "cut"], "default": "rollback"},
}
ERRORS = (LoadBalancerError, TrafficError, fence.FenceError)


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN, with its difference and warnings. Raises one of ERRORS."""
    with fence.admitted(params["fence"], check_mode, params["timeout"]):
        balancers = open_load_balancers(params["load_balancers"])
        request = request_from(params)
        result = dry_run(balancers, request) if check_mode else apply(balancers, request)
    return {
        "changed": result.changed,
        "diff": {"before": result.before, "after": result.after},
        "proof": result.proof,
        "live": result.live,
        "started_at": result.started,
        "finished_at": result.finished,
        "warnings": list(result.warnings),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    unwind_when_ended(TrafficError)
    try:
        result = answer(module.params, module.check_mode)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


def request_from(params: dict[str, Any]) -> Request:
    """The request that the module's options make; a member that is named twice is meant once."""
    return Request(
        backend=params["backend"],
        members=tuple(dict.fromkeys(params["members"])),
        state=params["state"],
        out=tuple(dict.fromkeys(params["out"])),
        min_live=params["min_live"],
        timeout=params["timeout"],
        on_timeout=params["on_timeout"],
    )


if __name__ == "__main__":
    main()
