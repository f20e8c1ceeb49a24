# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a row of the fault table fail when the guard that it tests is gone? Each guard is removed in a copy of the repository, and its row run there.

    build/venv/bin/python tests/faults/remove_guards.py            # all of them, about half a minute each
    build/venv/bin/python tests/faults/remove_guards.py 35 39      # these rows
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROW_SECONDS = 600
FAILED = 1  # pytest's status when tests ran and some failed


@dataclass(frozen=True)
class Guard:
    """A place in a file, and what stands there when nobody guards any more."""

    row: int
    what: str
    changes: tuple[tuple[str, str, str], ...]


GUARDS = (
    Guard(6, "a holder that is alive is believed dead", (
        ("plugins/module_utils/_controller.py", '    """True when no process has this id,', '    return True\n    """True'),)),
    Guard(7, "a holder elsewhere is looked for here", (
        ("plugins/module_utils/_controller.py", "    if former.boot == here.boot:\n        if", "    if True:\n        if"),)),
    Guard(33, "nobody says who was left out", (
        ("plugins/plugin_utils/run_record.py", '        elif member["outcome"] == "left_out":', '        elif False:'),)),
    Guard(35, "the pool is not compared with the inventory", (
        ("plugins/plugin_utils/refusals.py", "        *_unknown_members(service, observed),\n", ""),)),
    Guard(36, "a group that is not there is empty", (
        ("plugins/plugin_utils/service.py", "    if group not in groups:\n", "    if group not in groups:\n        return [], ''\n"),)),
    Guard(38, "any word is a version", (
        ("plugins/plugin_utils/service.py", "    if not is_valid(release):", "    if False:"),)),
    Guard(39, "the census is not kept", (
        ("playbooks/phases/open.yml", "alwayson_problems + [ansible_failed_task.name", "alwayson_problems + [] if true else [ansible_failed_task.name"),
        ("plugins/plugin_utils/run_record.py", 'bool(plan["nothing_to_do"] or run.get("census"))', "True"),
    )),
    Guard(42, "the checksum is not compared, neither on the controller nor on the host", (
        ("playbooks/tasks/find_the_archive.yml", "  when: alwayson_archive.stat.checksum |", "  when: false and alwayson_archive.stat.checksum |"),
        ("plugins/module_utils/_release.py", "    if found != sha256:", "    if False:"))),
    # Without the check of names the writer still refuses to leave its folder; without this one nobody does.
    Guard(44, "links may lead out of the archive", (
        ("plugins/module_utils/_archive_names.py", '        raise ArchiveNameError(f"it is a link to the absolute name {ascii(target)}")', "        pass"),)),
    Guard(46, "the password is an option like any other", (
        ("plugins/module_utils/_postgresql.py", '"login_password": {"type": "str", "no_log": True}', '"login_password": {"type": "str", "no_log": False}'),)),
)


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
            raise SystemExit(f"row {guard.row}: {name} has {text.count(old)} times: {old}")
        (target / name).write_text(text.replace(old, new), encoding="utf-8")
    link = target / "build" / "collections" / "ansible_collections" / "alwayson" / "upgrade"
    link.parent.mkdir(parents=True)
    link.symlink_to(target)


def main() -> int:
    wanted = {int(argument) for argument in sys.argv[1:]} or {guard.row for guard in GUARDS}
    guards = [guard for guard in GUARDS if guard.row in wanted]
    unnoticed = []
    for guard in guards:
        target = REPOSITORY / "build" / "guards" / str(guard.row)
        copy_without(guard, target)
        row = next((target / "tests" / "faults").glob(f"test_row_{guard.row:02}_*.py"))
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "not lab", str(row)], cwd=target, capture_output=True, text=True, check=False,
                              timeout=ROW_SECONDS)
        noticed = done.returncode == FAILED and "1 failed" in done.stdout
        print(f"row {guard.row:2}  {'noticed' if noticed else 'NOT NOTICED'}  {guard.what}", flush=True)
        unnoticed += [] if noticed else [guard.row]
        (target.parent / f"{guard.row}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
    print(f"{len(guards)} guards removed, {len(guards) - len(unnoticed)} noticed")
    return 1 if unnoticed or not guards else 0


if __name__ == "__main__":
    sys.exit(main())
