#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_fence
short_description: Keep an old PostgreSQL primary from taking writes when it is started again
version_added: 0.3.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - After a standby has replaced a primary that died, a service manager or an operator may start the old primary again. Then two servers take writes.
  - This module writes C(standby.signal) into the old primary's data directory. A server that is started afterwards is in recovery and takes no writes. A
    recovery target in its configuration does not make it a primary either.
  - M(alwayson.upgrade.database_rejoin) makes it a standby of the new primary later.
  - A server that runs as a primary is refused, unless O(stop_command) is given. Nothing is changed when the server is fenced already, or is a standby.
  - Run it on the old primary's host. It needs no session with any server.
extends_documentation_fragment:
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Checks everything that could prevent the change, and returns whether it would be made.
  diff_mode:
    support: none
    description: The module changes the role of a server, so there is no text to compare.
options:
  data_directory:
    description: The data directory of the old primary.
    type: path
    required: true
  bin_dir:
    description: Folder of C(pg_controldata), such as V(/usr/lib/postgresql/15/bin).
    type: path
    required: true
  system_identifier:
    description:
      - The system identifier of the cluster, see RV(alwayson.upgrade.database_switchover#module:system_identifier). A server of another cluster is refused.
      - This option or O(port) is required.
    type: str
  port:
    description: The port that the old primary listens on, or listened on when it last ran. A server with another port is refused.
    type: int
  new_timeline:
    description:
      - The timeline of the new primary, see RV(alwayson.upgrade.database_switchover#module:timeline). A server on this timeline is the new
        primary, or follows it, and is refused.
      - Required with O(stop_command).
    type: int
  stop_command:
    description: The command that stops the server when it runs as a primary, as a list of words. Without it, such a server is refused.
    type: list
    elements: str
    default: []
  timeout:
    description: The seconds within which the server must stop.
    type: float
    default: 60
notes:
  - Run it as root, or as the owner of the data directory.
seealso:
  - module: alwayson.upgrade.database_switchover
  - module: alwayson.upgrade.database_rejoin
"""

EXAMPLES = r"""
- name: Have db2 take over from db1, which has died
  alwayson.upgrade.database_switchover:
    state: failed_over
    old_primary: {name: db1, host: 10.0.0.51}
    new_primary: {name: db2, host: 10.0.0.52}
    login_user: upgrade
  delegate_to: pooler1
  register: exchanged

- name: Fence db1
  alwayson.upgrade.database_fence:
    data_directory: /var/lib/postgresql/15/main
    bin_dir: /usr/lib/postgresql/15/bin
    system_identifier: "{{ exchanged.system_identifier }}"
    new_timeline: "{{ exchanged.timeline }}"
    stop_command: [systemctl, stop, postgresql@15-main]
  become: true
  delegate_to: db1
"""

RETURN = r"""
system_identifier:
  description: The identifier of the server's data.
  returned: success
  type: str
  sample: "7578237019120937433"
timeline:
  description: The newest timeline that the server has been on.
  returned: success
  type: int
  sample: 1
state:
  description: The cluster state that C(pg_controldata) reports.
  returned: success
  type: str
  sample: in production
running:
  description: Whether the server runs. If so, it is in recovery.
  returned: success
  type: bool
  sample: false
"""

from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._locking import fence as locking_fence
from ..module_utils._postgresql.data_directory import DataDirectory, DataDirectoryError
from ..module_utils._postgresql.rejoin.demote import DatabaseFence, DatabaseFenceError, Wanted

ARGUMENTS = {
    "data_directory": {"type": "path", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "system_identifier": {"type": "str"},
    "port": {"type": "int"},
    "new_timeline": {"type": "int"},
    "stop_command": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 60},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**locking_fence.ARGUMENTS, **ARGUMENTS}, required_one_of=[("system_identifier", "port")], supports_check_mode=True)
    try:
        with locking_fence.admitted(module.params["fence"], module.check_mode):
            result = fence(module.params, module.check_mode)
    except (DatabaseFenceError, DataDirectoryError, OSError, locking_fence.FenceError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def fence(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have it fenced, or see whether it would be; see RETURN."""
    if options["stop_command"] and options["new_timeline"] is None:
        raise DatabaseFenceError("stop_command is given without new_timeline: nothing would keep it from stopping the new primary. Give the timeline of that")
    directory = DataDirectory(options["data_directory"], options["bin_dir"])
    wanted = Wanted(options["system_identifier"], options["port"], options["new_timeline"])
    task = DatabaseFence(directory, wanted, options["stop_command"], options["timeout"])
    changed = task.survey()
    if changed and not check_mode:
        task.apply()
    control = directory.control()
    return {"changed": changed, "system_identifier": control.system_identifier, "timeline": control.timeline, "state": control.state,
            "running": directory.server() is not None}


if __name__ == "__main__":
    main()
