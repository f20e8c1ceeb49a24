# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as a user runs them: by Ansible's own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SUBPROCESS_SECONDS = 180


def ansible(module: str, *flags: str, collections: Path = REPOSITORY / "build" / "collections", **arguments: object) -> tuple[int, dict, str]:
    """Run a module of the collection; returns the exit status, the result, and what was shown before it.

    :param collections: where the collection is looked for.
    """
    environment = {
        **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_HOME": str(REPOSITORY / "build" / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [str(Path(sys.executable).with_name("ansible")), "localhost", "-m", f"alwayson.upgrade.{module}", *flags,
               "-a", json.dumps(arguments), "-e", f"ansible_python_interpreter={sys.executable}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SUBPROCESS_SECONDS, check=False)
    shown, arrow, result = done.stdout.partition(" => ")
    assert arrow, done.stdout + done.stderr
    return done.returncode, json.loads(result), shown
