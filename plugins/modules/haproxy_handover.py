#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_handover
short_description: Hand a running HAProxy over to the installed binary, without losing a connection
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - After a package upgrade, the running process still uses the old binary. This module makes the master process re-execute itself as the new
    binary, and pass its listening sockets to a new worker. The old worker finishes its requests in flight.
  - Before anything is changed, the new binary must accept the configuration. It is checked with the master's command line, working directory, environment
    and account. The files of maps and ACLs are read again, so they must have the entries of the running process, such as a route of
    M(alwayson.upgrade.traffic_route). Afterwards the new worker must answer, and every member must have its previous state and weight.
  - Nothing is changed when the process already runs the installed binary.
extends_documentation_fragment:
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Returns whether the process would be handed over, and fails when that would be refused.
  diff_mode:
    support: full
    description: Returns the version before and after.
options:
  name:
    description: Name of the load balancer, for messages.
    type: str
    required: true
  endpoint:
    description: Its runtime API, V(tcp://HOST:PORT) or V(unix:/PATH). The process must run on the host that the module runs on.
    type: str
    required: true
  force:
    description:
      - Hand over even when the installed binary runs already, for example after a change of the configuration.
      - When the file of a map or an ACL differs from the running process, the file is used, and a warning lists the changes.
    type: bool
    default: false
  timeout:
    description: The seconds within which the new worker must answer.
    type: float
    default: 30
  drain_wait:
    description: How long to wait for the old workers to end, in seconds. RV(old_workers) has the number that is left.
    type: float
    aliases: [settle]
    default: 0
notes:
  - HAProxy must run with a master process (C(-W) or C(-Ws), as Debian's unit starts it, or C(master-worker) in its configuration), and with
    C(stats socket ... expose-fd listeners).
  - The module needs the rights of root, or of the account of HAProxy's master.
seealso:
  - module: alwayson.upgrade.traffic_member
"""

EXAMPLES = r"""
- name: Upgrade the load balancers one after the other, without a failed request
  hosts: load_balancers
  serial: 1
  any_errors_fatal: true
  become: true
  tasks:
    - name: Install the package without a restart of the service
      ansible.builtin.apt:
        name: "haproxy={{ haproxy_version }}"
        policy_rc_d: 101
    - name: Hand over to the installed binary
      alwayson.upgrade.haproxy_handover:
        name: "{{ inventory_hostname }}"
        endpoint: unix:/run/haproxy/admin.sock
        drain_wait: 60
"""

RETURN = r"""
version:
  description: The version before and after.
  returned: success
  type: dict
  sample: {before: 2.6.12, after: 2.8.5}
worker:
  description: The id of the worker process before and after.
  returned: success
  type: dict
  sample: {before: 811, after: 2932}
old_workers:
  description: The number of old workers that still have requests in flight.
  returned: success
  type: int
  sample: 0
"""

from functools import partial

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._locking import fence
from ..module_utils._traffic.interface import LoadBalancerError
from ..module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ..module_utils._traffic.kinds.haproxy.handover import children, forgotten_tables, hand_over, require_possible, wait_for_old_workers
from ..module_utils._traffic.kinds.haproxy.master import running

# The name of version 0.2.
RENAMED = {"name": "settle", "version": "1.0.0", "collection_name": "alwayson.upgrade"}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **fence.ARGUMENTS,
            "name": {"type": "str", "required": True},
            "endpoint": {"type": "str", "required": True},
            "force": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 30},
            "drain_wait": {"type": "float", "default": 0, "aliases": ["settle"], "deprecated_aliases": [RENAMED]},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        with fence.admitted(params["fence"], module.check_mode):
            balancer = Haproxy(params["name"], params["endpoint"])
            before = running(balancer)
            changed = params["force"] or not before.is_current
            loses = partial(_warn_of_lost_entries, module) if params["force"] else None
            for forgotten in forgotten_tables(balancer) if changed else []:
                module.warn(forgotten)
            if changed and module.check_mode:
                require_possible(balancer, before, loses)
            after = hand_over(balancer, before, params["timeout"], loses=loses) if changed and not module.check_mode else before
            left = wait_for_old_workers(lambda: len(children(after.master) - {after.worker}), params["drain_wait"])
    except (LoadBalancerError, fence.FenceError) as error:
        module.fail_json(msg=str(error))
    version = {"before": before.version, "after": after.version}
    module.exit_json(
        changed=changed,
        diff={"before": f"{before.version}\n", "after": f"{after.version}\n"},
        version=version,
        worker={"before": before.worker, "after": after.worker},
        old_workers=left,
    )


def _warn_of_lost_entries(module: AnsibleModule, lost: str) -> None:
    module.warn(f"the hand-over of {module.params['name']} reads a file again that differs from what was set in the process: {lost}")


if __name__ == "__main__":
    main()
