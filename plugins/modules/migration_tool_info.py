#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_tool_info
short_description: Return what a release's own migration tool has applied, and whether anything is left to apply
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Reads the ledger of M(alwayson.upgrade.migration_tool) on this host, and runs the status command.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
  - alwayson.upgrade.migration_tool
options:
  command:
    description: The command line of the tool. It is used to check whether its program is on this host, and is not run.
    type: raw
    default: []
  timeout:
    description: The seconds after which the status command is ended.
    type: float
    default: 60
seealso:
  - module: alwayson.upgrade.migration_tool
"""

EXAMPLES = r"""
- name: Read what Alembic has left to apply
  alwayson.upgrade.migration_tool_info:
    ledger: /srv/shop/.migrations.json
    status_command: [/srv/shop/releases/2.0.0/bin/alembic, current, --check-heads]
  register: alembic
"""

RETURN = r"""
releases:
  description:
    - The ledger, with a row for each release. Each has C(status), C(started), C(ended), C(exit_status) and C(attempts).
    - C(status) is V(begun), V(applied), V(unneeded) or V(failed).
  returned: success
  type: dict
  sample: {"2.0.0": {"status": "applied", "attempts": 1}}
pending:
  description: Whether the tool has anything left to apply. V(null) when this is unknown.
  returned: success
  type: bool
  sample: true
absent:
  description: The programs and the folder that are not on this host.
  returned: success
  type: list
  elements: str
  sample: []
command:
  description: The words of the command line, without passwords in URLs.
  returned: success
  type: list
  elements: str
  sample: [/srv/shop/releases/2.0.0/bin/alembic, upgrade, head]
"""

import re
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._release.migration_tool import ARGUMENTS, LOCKED, MigrationTool, MigrationToolError, rows_of, words_of

PASSWORD = re.compile(r"(://[^/:@\s]*:)[^/@\s]+(?=@)")


def look(params: dict[str, Any]) -> dict[str, Any]:
    """What the module returns."""
    command, status = (words_of(params[name], name) for name in ("command", "status_command"))
    tool = MigrationTool(params["ledger"], "", command, status, params["directory"], params["environment"], params["timeout"])
    absent = tool.absent()
    return {"releases": rows_of(tool.ledger), "pending": None if absent else tool.is_pending(), "absent": absent,
            "command": [PASSWORD.sub(r"\1***", word) for word in command]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**ARGUMENTS, "command": {"type": "raw", "default": []}, "timeout": {"type": "float", "default": 60.0}},
        supports_check_mode=True,
    )
    try:
        result = look(module.params)
    except (MigrationToolError, OSError, *LOCKED) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
