#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_tool
short_description: Run a release's own migration tool, once
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Runs the command of a migration tool, such as C(alembic upgrade head) or C(manage.py migrate), on this host, once for a release.
  - The status command decides whether the tool runs. Without a status command, the ledger on this host decides.
  - The module waits for a tool that still runs, also when its controller has died. After a kill, the status command is run first.
  - There is no rollback. To run a tool once in each of many databases, with a ledger in each of them, use M(alwayson.upgrade.database_migration).
attributes:
  check_mode:
    support: full
    description: Runs the status command, and returns whether the tool would run.
  diff_mode:
    support: none
    description: The tool does not report what it changes.
options:
  release:
    description: The release that the migration belongs to.
    type: str
    required: true
  command:
    description:
      - The command line, as a list of words, or as a text that is split like in a shell. It is run without a shell.
      - When the command line changes, the tool runs again for the same release.
    type: raw
    required: true
  timeout:
    description: The seconds after which the tool is ended, and for which to wait for another run of the tool.
    type: float
    default: 3600
extends_documentation_fragment:
  - alwayson.upgrade.migration_tool
  - alwayson.upgrade.fence
seealso:
  - module: alwayson.upgrade.migration_tool_info
  - module: alwayson.upgrade.database_migration
"""

EXAMPLES = r"""
- name: Migrate the database of the shop with Alembic
  alwayson.upgrade.migration_tool:
    release: 2.0.0
    ledger: /srv/shop/.migrations.json
    command: [/srv/shop/releases/2.0.0/bin/alembic, upgrade, head]
    status_command: [/srv/shop/releases/2.0.0/bin/alembic, current, --check-heads]
    directory: /srv/shop/releases/2.0.0
    environment:
      DATABASE_URL: "{{ vault_database_url }}"
"""

RETURN = r"""
status:
  description:
    - V(applied) when the tool has run for this release, in this or an earlier run. V(unneeded) when the status command reported nothing to apply before the
      tool ever ran.
    - V(pending) in check mode when the tool would run.
  returned: success
  type: str
  sample: applied
exit_status:
  description: The tool's exit status. V(null) when it has not run, or was ended by a timeout.
  returned: always
  type: int
  sample: 0
output:
  description: The last lines of the tool's output, if it ran.
  returned: success
  type: list
  elements: str
  sample: ["Running upgrade 3f2a -> 9b1c, add currency"]
tries:
  description: How often the tool was run for this release.
  returned: success
  type: int
  sample: 1
started_at:
  description: The time at which the tool was started, in epoch seconds. V(null) when it was never started.
  returned: always
  type: float
  sample: 1798761600.1
finished_at:
  description: The time at which it ended, in epoch seconds.
  returned: always
  type: float
  sample: 1798761612.4
"""

from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._locking.fence import ARGUMENTS as FENCE_ARGUMENTS, FenceError, admitted
from ..module_utils._release.migration_tool import ARGUMENTS, DONE, LOCKED, MigrationTool, MigrationToolError, rows_of, words_of


def tool_of(params: dict[str, Any]) -> MigrationTool:
    """The tool that the options describe."""
    command = words_of(params["command"], "command")
    if not command:
        raise MigrationToolError("command is empty: give the command line of the tool")
    return MigrationTool(params["ledger"], params["release"], command, words_of(params["status_command"], "status_command"), params["directory"],
                         params["environment"], params["timeout"])


def times_of(row: dict[str, Any]) -> dict[str, Any]:
    """What a row of the ledger says of the last run."""
    return {"exit_status": row.get("exit_status"), "started_at": row.get("started"), "finished_at": row.get("ended"), "tries": row.get("attempts", 0)}


def run(tool: MigrationTool, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Do what the options ask for; returns the module's result."""
    with admitted(params["fence"], check_mode, params["timeout"]):
        if check_mode:
            row = rows_of(tool.ledger).get(tool.release) or {}
            pending = tool.is_pending()
            left = row.get("status") not in DONE if pending is None else pending
            return {"changed": left, "status": "pending" if left else row.get("status", "unneeded"), "output": [], **times_of(row)}
        outcome = tool.migrate()
    return {"changed": outcome.ran, "status": outcome.row["status"], "output": outcome.output, **times_of(outcome.row)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS, **FENCE_ARGUMENTS,
            "release": {"type": "str", "required": True},
            "command": {"type": "raw", "required": True},
            "timeout": {"type": "float", "default": 3600.0},
        },
        supports_check_mode=True,
    )
    row: dict[str, Any] = {}
    try:
        tool = tool_of(module.params)
        try:
            result = run(tool, module.params, module.check_mode)
        except MigrationToolError:
            row = rows_of(tool.ledger).get(tool.release) or {}
            raise
    except (MigrationToolError, FenceError, OSError, *LOCKED) as error:
        module.fail_json(msg=str(error), **times_of(row))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
