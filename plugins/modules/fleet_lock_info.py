#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_lock_info
short_description: Return the holder of a service's lock, and its history
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Reads the lock of M(alwayson.upgrade.fleet_lock) on this host, and its history. It does not wait for the lock.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
options:
  service:
    description: The name of the service.
    type: str
    required: true
  directory:
    description: Absolute path of the folder of the lock on this host.
    type: path
    default: /var/lib/alwayson
seealso:
  - module: alwayson.upgrade.fleet_lock
"""

EXAMPLES = r"""
- name: Read who holds the lock
  alwayson.upgrade.fleet_lock_info:
    service: shop
  delegate_to: db1
  run_once: true
  become: true
  register: who
"""

RETURN = r"""
lock:
  description: The lock as in M(alwayson.upgrade.fleet_lock), V(null) when no run holds it.
  returned: success
  type: dict
  sample:
    id: 9f86d081884c7d65
    service: shop
    token: 5
    owner: anna
    host: ctl1
    since: 1798761600.0
    run: 0d9bbd1e-5f5c-4d5c-9a52-0b8c4f2f3f0a
    plan: 4f1f5a
    controller:
      machine: 2c26b46b68ffc68ff99b453c1d304134
      boot: 6f0a7a3e-7b0f-4a58-9f4c-0c3a4d9f1a11
      namespace: pid:[4026531836] time:[4026531834]
      pid: 4242
      started: "151234"
    intent:
      direction: upgrade
      method: half_pool
      release_from: 1.0.0
      release_to: 2.0.0
      state: under_way
interrupted:
  description: The lock of an interrupted run that must be continued although its lock was released, V(null) when there is none.
  returned: success
  type: dict
intent:
  description: The intent of the current lock, or of the last one when no run holds the lock. Empty when there was none.
  returned: success
  type: dict
  sample:
    direction: upgrade
    method: half_pool
    release_from: 1.0.0
    release_to: 2.0.0
    state: succeeded
token:
  description: The last token, V(0) when there was none.
  returned: success
  type: int
  sample: 5
history:
  description:
    - The last 20 events of the lock, oldest first.
    - C(event) is V(taken), V(taken_over) or V(released), and C(at) is its time in epoch seconds. The other fields are those of the lock.
      C(reason) and C(journal_head) are returned if they were given. C(former) is the lock that was taken over.
    - An entry is written before its event. If the run is killed in between, there is an entry for an event that did not happen.
  returned: success
  type: list
  elements: dict
  sample:
    - event: taken
      at: 1798761600.0
      id: 9f86d081884c7d65
      token: 5
      owner: anna
"""

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._locking.lock import FleetLockError
from ..module_utils._locking.store import FleetLock

HISTORY = 20


def main() -> None:
    module = AnsibleModule(
        argument_spec={"service": {"type": "str", "required": True}, "directory": {"type": "path", "default": "/var/lib/alwayson"}},
        supports_check_mode=True,
    )
    try:
        fleet_lock = FleetLock(module.params["directory"], module.params["service"])
        lock, last = fleet_lock.read(), fleet_lock.last()
        interrupted = last if last and not lock and last.is_interrupted else None
        result = {"lock": lock and lock.as_dict(), "interrupted": interrupted and interrupted.as_dict(), "intent": dict(last.intent) if last else {},
                  "token": fleet_lock.last_token(), "history": fleet_lock.history(HISTORY)}
    except FleetLockError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
