# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of the fault table's rows."""

from __future__ import annotations

from pathlib import Path

from guards.guard import Guard

FAULTS = Path(__file__).resolve().parents[1] / "faults"


def row(number: int, what: str, changes: tuple[tuple[str, str, str], ...]) -> Guard:
    """A guard that its row of the fault table is to miss."""
    file = next(FAULTS.glob(f"test_row_{number:02}_*.py"))
    return Guard(f"row {number}", what, (f"tests/faults/{file.name}",), changes)


ROWS = (
    row(6, "a holder that is alive is believed dead", (
        ("plugins/module_utils/_host/processes.py", '    """True when no process has this id,', '    return True\n    """True'),)),
    row(7, "a holder elsewhere is looked for here", (
        ("plugins/module_utils/_host/processes.py", "    if _is_of_this_boot(former, here):\n        if", "    if True:\n        if"),)),
    row(33, "nobody says who was left out", (
        ("plugins/plugin_utils/_run/record.py", '        elif member["outcome"] == "left_out":', '        elif False:'),)),
    row(35, "the pool is not compared with the inventory", (
        ("plugins/plugin_utils/_plan/refusals.py", "        *_unknown_members(service, observed),\n", ""),)),
    row(36, "a group that is not there is empty", (
        ("plugins/plugin_utils/_plan/service.py", "    if not isinstance(group, str) or group not in groups:\n",
         "    if not isinstance(group, str) or group not in groups:\n        return [], ''\n"),)),
    row(38, "any word is a version", (
        ("plugins/plugin_utils/_plan/service.py", "    if not is_valid(release):", "    if False:"),)),
    row(39, "the version check is not kept", (
        ("playbooks/phases/open.yml", "alwayson_problems + [ansible_failed_task.name", "alwayson_problems + [] if true else [ansible_failed_task.name"),
        ("plugins/plugin_utils/_run/record.py", 'bool(plan["nothing_to_do"] or run.get("version_check"))', "True"),
    )),
    row(42, "the checksum is not compared, neither on the controller nor on the host", (
        ("playbooks/tasks/find_the_archive.yml", "  when: alwayson_archive.stat.checksum |", "  when: false and alwayson_archive.stat.checksum |"),
        ("plugins/module_utils/_release/releases.py", "    if found != sha256:", "    if False:"))),
    # Without the check of names the writer still refuses to leave its folder; without this one nobody does.
    row(44, "links may lead out of the archive", (
        ("plugins/module_utils/_release/archive_names.py", '    if target.startswith("/"):\n', "    if False:\n"),)),
    row(46, "the password is an option like any other", (
        ("plugins/module_utils/_database/interface.py", '"login_password": {"type": "str", "no_log": True}',
         '"login_password": {"type": "str", "no_log": False}'),)),
    Guard("preflight", "what members answer before an upgrade is not looked at", (
        "tests/unit/plugin_utils/_plan/test_preflight.py", "tests/integration/upgrade/test_preflight.py"), (
        ("plugins/plugin_utils/_plan/refusals.py", "        *preflight.sentences(service, observed, plan),\n", ""),)),
    Guard("preflight, tests", "a test that the old release never passed keeps it out", ("tests/integration/upgrade/test_preflight.py",), (
        ("plugins/plugin_utils/_plan/observation.py", "        own = that_hold(own, plan[\"own_tests\"].get(release, {}))\n", "        pass\n"),)),
    Guard("preflight, prober", "a prober that reaches nothing begins", ("tests/unit/plugin_utils/_plan/test_preflight.py",), (
        ("plugins/plugin_utils/_plan/preflight.py", ", *_silent_targets(observed, plan)]", "]"),)),
    Guard("whole run", "a run of which a part is skipped begins", ("tests/integration/upgrade/test_preflight.py",), (
        ("playbooks/phases/observe.yml", "'localhost' | alwayson.upgrade.whole_run(groups)", "'localhost'"),)),
)
