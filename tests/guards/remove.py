# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a test fail when the guard that it tests is gone? Each guard is removed in a copy of the repository, and its tests run there.

    build/venv/bin/python tests/guards/remove.py                       # all of them, about half a minute each
    build/venv/bin/python tests/guards/remove.py trap "row 39"         # those whose name begins so
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))

from guards.anywhere import ANYWHERE
from guards.databases import DATABASES
from guards.guard import Guard
from guards.intents import INTENTS
from guards.journals import JOURNALS
from guards.kinds import KINDS
from guards.releases import RELEASES
from guards.rows import ROWS
from guards.secrets import SECRETS
from guards.traps import TRAPS
from guards.users import USERS

GUARDS = (*ANYWHERE, *ROWS, *TRAPS, *INTENTS, *DATABASES, *USERS, *RELEASES, *JOURNALS, *KINDS, *SECRETS)
TESTS_SECONDS = 600
FAILED = 1  # pytest's status when tests ran and some failed


def copy_without(guard: Guard, target: Path) -> None:
    """A copy of what git knows of the repository, with the guard removed; the virtual environment is shared."""
    shutil.rmtree(target, ignore_errors=True)
    names = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target / name)
    for name, old, new in guard.changes:
        text = (target / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{guard.name}: {name} has {text.count(old)} times: {old}")
        (target / name).write_text(text.replace(old, new), encoding="utf-8")
    link = target / "build" / "collections" / "ansible_collections" / "alwayson" / "upgrade"
    link.parent.mkdir(parents=True)
    link.symlink_to(target)


def is_noticed(guard: Guard, target: Path) -> bool:
    """Whether a test of the copy fails, rather than none being there or all being broken."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-m", "not lab", *guard.tests], cwd=target, capture_output=True, text=True,
                          errors="replace", check=False, timeout=TESTS_SECONDS)
    (target.parent / f"{target.name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    return done.returncode == FAILED and re.search(r"^1 failed", done.stdout, re.MULTILINE) is not None


def main() -> int:
    wanted = tuple(sys.argv[1:]) or ("",)
    guards = [guard for guard in GUARDS if guard.name.startswith(wanted)]
    unnoticed = []
    for guard in guards:
        target = REPOSITORY / "build" / "guards" / re.sub(r"\W+", "-", guard.name)
        copy_without(guard, target)
        noticed = is_noticed(guard, target)
        print(f"{guard.name:20}  {'noticed' if noticed else 'NOT NOTICED'}  {guard.what}", flush=True)
        unnoticed += [] if noticed else [guard.name]
        shutil.rmtree(target, ignore_errors=True)
    print(f"{len(guards)} guards removed, {len(guards) - len(unnoticed)} noticed")
    return 1 if unnoticed or not guards else 0


if __name__ == "__main__":
    sys.exit(main())
