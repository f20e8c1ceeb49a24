#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

DOCUMENTATION = r"""
module: database_rejoin
short_description: Have an old PostgreSQL primary follow the new one
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Stops the old primary, rewinds it with C(pg_rewind) to where the two servers diverged, has it follow the new primary, starts it, and waits until the new
    primary reports that it streams. Nothing else counts as a proof.
  - Both servers are checked before anything is stopped. It refuses when the server in O(data_directory) is the primary, or newer than O(login_host), or
    no old primary of it, and when O(primary_conninfo) does not reach that primary.
  - Files of the host in the data directory stay as they are, such as configuration, certificates, server logs. The configuration may be elsewhere.
  - A server that crashed is recovered first. When it fails, no server starts from partly rewound data, and the next run continues.
  - Nothing is changed when it follows already.
  - Run it on the host of the old primary. O(login_host) is the new one.
extends_documentation_fragment:
  - alwayson.upgrade.postgresql
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Says whether it would be done.
  diff_mode:
    support: none
    description: What is rewound is a data directory. There is no text to compare.
options:
  name:
    description: The C(application_name) under which it streams, and by which the primary names it.
    type: str
    required: true
  data_directory:
    description: The data directory of the old primary.
    type: path
    required: true
  bin_dir:
    description: Folder of C(pg_rewind), such as V(/usr/lib/postgresql/15/bin).
    type: path
    required: true
  stop_command:
    description: What stops the old primary's service, as a list of words.
    type: list
    elements: str
    required: true
  start_command:
    description: What starts it, as a list of words. If they name its C(config_file), that is used when it is not running.
    type: list
    elements: str
    required: true
  primary_conninfo:
    description:
      - How it reaches the new primary to stream from it, as keywords or a URI of libpq, without C(application_name).
      - It is tried before anything is stopped, from this host, by the account that owns the data directory.
      - Keep the password out of it, in V(~/.pgpass) of the server's account.
    type: str
    required: true
  timeout:
    description: Seconds for it to stop, and for it to stream.
    type: float
    default: 60
notes:
  - The servers need C(data_checksums) or C(wal_log_hints=on).
  - The login role needs C(pg_monitor) and C(pg_checkpoint), and the right to execute C(pg_ls_dir), C(pg_stat_file) and both forms of C(pg_read_binary_file),
    as PostgreSQL's documentation of C(pg_rewind) says.
  - Run it as root, or as the owner of the data directory if that may make a folder beside it.
seealso:
  - module: alwayson.upgrade.database_switchover
"""

EXAMPLES = r"""
- name: Have db1 follow db2
  alwayson.upgrade.database_rejoin:
    login_host: 10.0.0.52
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    name: db1
    data_directory: /var/lib/postgresql/15/main
    bin_dir: /usr/lib/postgresql/15/bin
    stop_command: [systemctl, stop, postgresql@15-main]
    start_command: [systemctl, start, postgresql@15-main]
    primary_conninfo: host=10.0.0.52 user=replicator
  become: true
  delegate_to: db1
"""

RETURN = r"""
said:
  description: The output of C(pg_rewind). Empty when nothing was done.
  returned: success
  type: str
  sample: "pg_rewind: Done!"
"""

from ..module_utils._database.errors import DatabaseError
from ..module_utils._database.interface import LOGIN_EXCLUSIVE
from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.small_files import SmallFileError
from ..module_utils._locking import fence
from ..module_utils._postgresql.data_directory import DataDirectoryError
from ..module_utils._postgresql.rejoin.run import OldPrimary, Rejoin
from ..module_utils._postgresql.session import LOGIN_ARGUMENTS, Login

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "data_directory": {"type": "path", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "stop_command": {"type": "list", "elements": "str", "required": True},
    "start_command": {"type": "list", "elements": "str", "required": True},
    "primary_conninfo": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "float", "default": 60},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**LOGIN_ARGUMENTS, **fence.ARGUMENTS, **ARGUMENTS}, mutually_exclusive=LOGIN_EXCLUSIVE, supports_check_mode=True)
    try:
        with fence.admitted(module.params["fence"], module.check_mode):
            changed, said = rejoin(module.params, module.check_mode)
    except (DatabaseError, DataDirectoryError, SmallFileError, OSError, fence.FenceError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, said=said)


def rejoin(options: dict[str, Any], check_mode: bool) -> tuple[bool, str]:
    """Whether it had to be done, and what pg_rewind said."""
    old = OldPrimary(
        name=options["name"],
        data_directory=options["data_directory"],
        bin_dir=options["bin_dir"],
        stop_command=options["stop_command"],
        start_command=options["start_command"],
        primary_conninfo=options["primary_conninfo"],
    )
    task = Rejoin(old, Login.of(options), options["timeout"])
    if not task.is_needed():
        return False, ""
    return True, "" if check_mode else task.apply()


if __name__ == "__main__":
    main()
