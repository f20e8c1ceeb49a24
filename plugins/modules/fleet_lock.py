#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_lock
short_description: Take or release the lock of a service, so that one operator at a time changes it
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - The lock is a file on the host that the module runs on. All operators use the same host for the service. No server process is needed.
  - A second run is refused. The error names the holder of the lock, its host, the time since which it holds the lock, and the command that takes the lock over.
  - A lock is taken over in two cases only. An operator gives its id and a reason, or the module proves that the holder is dead. The proof is that the holder's
    controller was a process on the machine of the current controller, and has ended. Machines that are clones of one image are distinguished by the id of their
    hardware, which only root can read. The result and a warning report each takeover.
  - Each time the lock is taken, the run gets a token that is larger than all earlier ones. A host that has seen a token refuses smaller ones,
    see the option C(fence) of M(alwayson.upgrade.release) and others. So a run whose lock was taken over cannot continue by mistake.
attributes:
  check_mode:
    support: full
    description: Returns what would be changed. The lock that would be taken has no id.
  diff_mode:
    support: none
    description: See RV(lock), RV(taken_over) and RV(released) instead.
options:
  service:
    description: The name of the service. Letters, digits, dots, underscores and hyphens are allowed.
    type: str
    required: true
  directory:
    description:
      - Absolute path of the folder of the lock on this host. It is created if it does not exist.
      - It must be on a local disk, and not on a disk that hosts share.
    type: path
    default: /var/lib/alwayson
  state:
    description:
      - V(held) takes the lock. A run that holds the lock already keeps it.
      - V(released) releases the lock if O(run) holds it, or if O(id) is its id. Otherwise nothing is changed.
    type: str
    choices: [held, released]
    default: held
  owner:
    description: The owner of the lock. By default the user at the controller, and the user before C(sudo).
    type: str
  host:
    description: The owner's host. By default the node name of the controller.
    type: str
  run:
    description:
      - The unique name of the run, for example a UUID. By default a name that only this process of C(ansible-playbook) has.
      - Another process with the same name is a different holder.
    type: str
  plan:
    description: The id of the plan that the run follows. The error of a second run names it.
    type: str
    default: ""
  intent:
    description:
      - The intent of the run. It is kept in the lock, and in the history when the lock is released.
      - A run that holds the lock calls the module again with its intent, as soon as the intent is known and before anything is changed.
        Until then, the lock has the intent of the previous run.
    type: dict
    suboptions:
      direction:
        description: The direction of the run.
        type: str
        choices: [upgrade, rollback, patch]
        required: true
      method:
        description: The method, such as V(half_pool).
        type: str
        required: true
      release_from:
        description: The release that runs before the run. Empty when there is none.
        type: str
        default: ""
      release_to:
        description: The target release.
        type: str
        required: true
  result:
    description:
      - With O(state=released), the result of the run. It is kept as the C(state) of the lock's C(intent).
      - Use V(unchanged) for a run that changed nothing. If an earlier run was interrupted, it must then still be continued.
    type: str
    choices: [succeeded, failed, unchanged]
    default: unchanged
  take_over:
    description:
      - The id of the lock to take over, from the error of the refused run. A lock with another id is not taken over. Requires O(reason).
      - When no run holds the lock, it is taken normally.
    type: str
  id:
    description: With O(state=released), the id of the lock to release, which may be held by another run. Requires O(reason).
    type: str
  reason:
    description: The reason for taking over or releasing the lock of another run. It is kept in the history.
    type: str
  journal:
    description:
      - Path on the controller of the run's journal, which P(alwayson.upgrade.rollout#callback) writes.
      - The content of its C(journal.head) is kept in the history each time the lock is taken or released. When the lock is taken, the journal is compared
        with the head that the previous run on this machine left. A warning is given when its newest entries are missing. A notice is given when it is a
        different journal, for example because a CI runner empties its folder between runs.
    type: path
    version_added: 0.3.0
  journal_head:
    description: Kept in the history instead of the head of O(journal).
    type: str
    default: ""
  controller:
    description: The controller's process. Filled in by the action plugin.
    type: dict
    suboptions:
      machine:
        description: A hash of the machine's id and node name.
        type: str
        default: ""
      boot:
        description: The boot identifier.
        type: str
        default: ""
      namespace:
        description: The namespace of the process id.
        type: str
        default: ""
      pid:
        description: The process id.
        type: int
        required: true
      started:
        description: The start time of the process.
        type: str
        default: ""
      hardware:
        description: A hash of the hardware's id, which differs between clones of a machine.
        type: str
        default: ""
        version_added: 0.3.0
seealso:
  - module: alwayson.upgrade.fleet_lock_info
notes:
  - All operators must become the same user on the lock's host, because the files belong to the user that created them.
  - The proof that a holder is dead needs a controller on Linux. A container cannot prove it for a controller in another container.
"""

EXAMPLES = r"""
- name: Take the lock of the shop
  alwayson.upgrade.fleet_lock:
    service: shop
    take_over: "{{ upgrade_take_over | default(omit) }}"
    reason: "{{ upgrade_reason | default(omit) }}"
  delegate_to: db1
  run_once: true
  become: true
  register: fleet_lock

- name: Record the intent of this run
  alwayson.upgrade.fleet_lock:
    service: shop
    intent:
      direction: upgrade
      method: rolling
      release_from: 1.0.0
      release_to: 2.0.0
  delegate_to: db1
  run_once: true
  become: true

- name: Refuse changes of this host by a run whose lock was taken over
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    service: shop
    fence:
      token: "{{ fleet_lock.lock.token }}"
      owner: "{{ fleet_lock.lock.owner }}"

- name: Release the lock
  alwayson.upgrade.fleet_lock:
    service: shop
    state: released
    result: succeeded
  delegate_to: db1
  run_once: true
  become: true

- name: Release the lock of a run that cannot release it
  alwayson.upgrade.fleet_lock:
    service: shop
    state: released
    id: 9f86d081884c7d65
    reason: anna's laptop was stolen
  delegate_to: db1
  run_once: true
  become: true
"""

RETURN = r"""
lock:
  description:
    - The lock that the run holds, V(null) when it holds none.
    - C(since) is in epoch seconds by the clock of this host. It is for display only.
    - C(intent) is the O(intent) of the run with its C(state), one of V(under_way), V(succeeded) and V(failed). Until the run has given an intent, it is the
      last intent of an earlier run, and empty when there was none.
  returned: success
  type: dict
  sample: &lock
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
      hardware: 6b86b273ff34fce19d6b804eff5a3f57
    intent:
      direction: upgrade
      method: half_pool
      release_from: 1.0.0
      release_to: 2.0.0
      state: under_way
taken_over:
  description: The lock that was taken over, V(null) when there was none.
  returned: success
  type: dict
  sample: *lock
interrupted:
  description:
    - The lock of the interrupted run that this run must continue, V(null) when there is none.
    - Either it was taken over, or it was released while its C(intent) was neither completed nor given up.
  returned: success
  type: dict
  sample: *lock
released:
  description: The lock that was released, V(null) when there was none.
  returned: success
  type: dict
  sample: *lock
held_by:
  description: The lock of the run that holds it.
  returned: failure, when another run holds it
  type: dict
  sample: *lock
journal_heads:
  description: The heads of the journals of earlier runs on the same machine, oldest first. Returned when the lock was taken.
  returned: success
  type: list
  elements: dict
  version_added: 0.3.0
  sample:
    - owner: anna
      at: 1798761600.0
      journal_head: '{"hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "journal": "2c26b46b68ffc68ff99b453c1d304134", "seq": 57}'
unusable:
  description: The path of the lock that cannot be read or written.
  returned: failure, when the lock cannot be read or written
  type: str
  sample: /var/lib/alwayson/shop.lock
  version_added: 0.3.0
"""

import time
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.writers import warning_of_strangers
from ..module_utils._locking.lock import CONTROLLER_TEXTS, DIRECTIONS, FAILED, SUCCEEDED, Claim, FleetLockError
from ..module_utils._locking.store import FleetLock, Outcome

TEXT = {"type": "str", "default": ""}
UNCHANGED = "unchanged"
ARGUMENTS = {
    "service": {"type": "str", "required": True},
    "directory": {"type": "path", "default": "/var/lib/alwayson"},
    "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
    "owner": {"type": "str"},
    "host": {"type": "str"},
    "run": {"type": "str"},
    "plan": TEXT,
    "intent": {"type": "dict", "options": {
        "direction": {"type": "str", "choices": list(DIRECTIONS), "required": True},
        "method": {"type": "str", "required": True},
        "release_from": TEXT,
        "release_to": {"type": "str", "required": True},
    }},
    "result": {"type": "str", "choices": [SUCCEEDED, FAILED, UNCHANGED], "default": UNCHANGED},
    "take_over": {"type": "str"},
    "id": {"type": "str"},
    "reason": {"type": "str"},
    "journal": {"type": "path"},
    "journal_head": TEXT,
    "controller": {"type": "dict", "options": {**dict.fromkeys(CONTROLLER_TEXTS, TEXT), "pid": {"type": "int", "required": True}}},
}
ERRORS = (FleetLockError,)


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN. Raises one of ERRORS."""
    outcome = do(params, check_mode, time.time())
    warnings = filter(None, (outcome.warning, warning_of_strangers(params["directory"], "the lock and its tokens")))
    locks = {"lock": outcome.lock, "taken_over": outcome.taken_over, "released": outcome.released, "interrupted": outcome.interrupted}
    return {"changed": outcome.changed, "journal_heads": list(outcome.journal_heads), "warnings": list(warnings),
            **{name: lock and lock.as_dict() for name, lock in locks.items()}}


def do(params: dict[str, Any], check_mode: bool, now: float) -> Outcome:
    """Bring about the wanted state of the lock."""
    lock = FleetLock(params["directory"], params["service"])
    said = {"reason": params["reason"] or "", "journal_head": params["journal_head"], "check_mode": check_mode}
    if params["state"] == "released":
        result = "" if params["result"] == UNCHANGED else params["result"]
        return lock.release(params["run"] or "", now, lock_id=params["id"] or "", result=result, **said)
    if params["id"]:
        raise FleetLockError("id goes with state=released: name the lock to take over in take_over")
    claim = Claim(
        owner=params["owner"] or "",
        host=params["host"] or "",
        run=params["run"] or "",
        plan=params["plan"],
        controller=params["controller"] or {},
        intent=params["intent"] or {},
    )
    return lock.hold(claim, now, take_over=params["take_over"] or "", **said)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = answer(module.params, module.check_mode)
    except ERRORS as error:
        module.fail_json(msg=str(error), **error.facts)
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
