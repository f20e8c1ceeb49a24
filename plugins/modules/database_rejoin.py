#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_rejoin
short_description: Make an old PostgreSQL primary a standby of the new one
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Stops the old primary, rewinds it with C(pg_rewind) to the point at which the two servers diverged, configures it as a standby of the new primary, and
    starts it. The module succeeds only when the new primary reports that the standby streams.
  - Both servers are checked before anything is stopped. The module refuses when the server in O(data_directory) is the current primary, is newer than the
    server at O(login_host), or is no former primary of its cluster, and when O(primary_conninfo) does not reach the new primary.
  - Files of the host in the data directory are kept, such as configuration, certificates and server logs. The configuration may be in another folder.
  - After a crash, the old primary runs crash recovery first. When the module fails, the server cannot start with partly rewound data, and the next run
    continues.
  - Nothing is changed when the old primary is a streaming standby already.
  - Run it on the host of the old primary. O(login_host) is the new primary.
extends_documentation_fragment:
  - alwayson.upgrade.postgresql
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Returns whether the old primary would be changed.
  diff_mode:
    support: none
    description: The module changes a data directory, so there is no text to compare.
options:
  name:
    description: The C(application_name) of the standby, under which it streams.
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
    description: The command that stops the old primary, as a list of words.
    type: list
    elements: str
    required: true
  start_command:
    description: The command that starts the old primary, as a list of words. If it names the C(config_file), the module reads that file when the server does
      not run.
    type: list
    elements: str
    required: true
  primary_conninfo:
    description:
      - The connection string with which the standby streams from the new primary, as keywords or a URI of libpq, without C(application_name).
      - The module tests it before anything is stopped, from this host, as the account that owns the data directory.
      - Do not put the password into it. Use V(~/.pgpass) of the server's account.
    type: str
    required: true
  timeout:
    description: The seconds within which the server must stop, and within which it must stream.
    type: float
    default: 60
notes:
  - The servers need C(data_checksums) or C(wal_log_hints=on).
  - The login role needs C(pg_monitor) and C(pg_checkpoint), and the right to execute C(pg_ls_dir), C(pg_stat_file) and both forms of C(pg_read_binary_file),
    see PostgreSQL's documentation of C(pg_rewind).
  - Run it as root, or as the owner of the data directory if this account may create a folder beside it.
seealso:
  - module: alwayson.upgrade.database_switchover
"""

EXAMPLES = r"""
- name: Make db1 a standby of db2
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

from typing import Any

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
