# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One controller: runs the module database_migration for one phase after the other, as Ansible would, and may be killed at any time.

Standard input has the options in JSON, a list with one entry for each phase. A line `begun` says that it is at work; the exit status is that of the module
that failed, or 0.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible.module_utils.testing import patch_module_args
from ansible_collections.alwayson.upgrade.plugins.modules import database_migration
from fleet.postgres import use_driver


def main() -> None:
    phases = json.load(sys.stdin)
    use_driver()
    print("begun", flush=True)
    for options in phases:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), patch_module_args({**options, "_ansible_remote_tmp": "/tmp"}):
                database_migration.main()
        except SystemExit as ended:
            status = ended.args[0] if ended.args else 0
            if status:
                print(said.getvalue(), file=sys.stderr, flush=True)
                sys.exit(status)


if __name__ == "__main__":
    main()
