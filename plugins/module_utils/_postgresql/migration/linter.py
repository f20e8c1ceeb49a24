# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What squawk finds in steps for PostgreSQL, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from ..._database.migration.choice import AFTER, LAST
from ..._database.migration.hazards import AUTO, OFF, Finding
from ..._database.migration.lock_retries import MigrationError
from ..._database.migration.step import TRANSACTION, Step, quoted, with_cursor
from ..._host.foreign_json import parse
from .dialect import POSTGRESQL

SQUAWK = "squawk"
SQUAWK_SECONDS = 60
# Rules of taste, and rules about what the runner itself takes care of: lock_timeout, one transaction, each step once.
NOT_ABOUT_DANGER = ("ban-char-field", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-identity", "prefer-robust-stmts", "prefer-text-field",
                    "prefer-timestamptz", "require-lock-timeout", "require-statement-timeout", "require-timeout-settings", "transaction-nesting")
# From the contract phase on, no release needs what is taken away.
MEANT_LATER = ("ban-drop-column", "ban-drop-table", "ban-drop-not-null")


def find_linter(wanted: str) -> str | None:
    """The path of squawk; None when it is not wanted, or `auto` finds none. MigrationError when a path that was given is no program."""
    if wanted == OFF:
        return None
    if wanted == AUTO:
        beside = os.path.join(os.path.dirname(sys.executable), SQUAWK)
        return shutil.which(SQUAWK) or (beside if os.access(beside, os.X_OK) else None)
    if not (os.path.isfile(wanted) and os.access(wanted, os.X_OK)):
        raise MigrationError(f"linter: {wanted} is no program on this host: install squawk-cli from PyPI there, or say auto or off")
    return wanted


def lint(step: Step, linter: str) -> list[Finding]:
    """What squawk finds in a step; MigrationError when it cannot be run or understood."""
    ignored = NOT_ABOUT_DANGER + (MEANT_LATER if step.phase in ("contract", "optimise") else ())
    # Left out here and not by --exclude: a version that does not know one of the rules would refuse to start.
    command = [linter, "--reporter", "Json", *["--assume-in-transaction"] * (step.kind == TRANSACTION)]
    # The linter knows no cursors.
    script = step.sql
    after = step.directives.after
    if after is not None:
        for name in (AFTER, LAST):
            script = with_cursor(script, quoted(after), POSTGRESQL, name)
    try:
        done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=SQUAWK_SECONDS, check=False)
        found = parse(done.stdout or b"[]") if done.returncode in (0, 1) else None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise MigrationError(f"{linter} did not check {step.title}: {error}; give linter=off to do without it") from error
    if found is None:
        raise MigrationError(f"{linter} did not check {step.title}: {done.stderr.decode(errors='replace').strip()}; give linter=off to do without it")
    return [Finding(entry["rule_name"], entry["line"] + 1, entry["message"]) for entry in found if entry["rule_name"] not in ignored]
