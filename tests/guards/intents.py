# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of what a run is to do: it stands in the lock, a rollback goes back, and every member of the pool has what a resumed roll reads."""

from __future__ import annotations

from guards.guard import Guard

UNIT = "tests/unit/plugin_utils"
TARGET = (f"{UNIT}/_plan/test_target.py",)
RESUME = (f"{UNIT}/_schedule/test_resume_at_every_member.py",)

INTENTS = (
    Guard("intent, forward", "a rollback may go to a release that is newer than one that runs", TARGET, (
        ("plugins/plugin_utils/_plan/target.py", "            and not any(is_newer(release, now) for now, _before in pairs)\n", ""),)),
    Guard("intent, unknown", "a fleet of which nobody knows a release before is back already", TARGET, (
        ("plugins/plugin_utils/_plan/target.py", "            and any(now != release or is_newer(before, release) for now, before in pairs)]",
         "            ]"),)),
    Guard("intent, wrong way", "an explicit release that is newer is not refused", TARGET, (
        ("plugins/plugin_utils/_plan/refusals.py", 'if plan["direction"] == ROLLBACK and is_newer(after, before):', "if False:"),)),
    Guard("intent, lock", "the next run does not know what the last one was to do", ("tests/unit/module_utils/_locking/test_lock_intent.py",), (
        ("plugins/module_utils/_locking/store.py", "claim.intent or (last.intent if last else {}),", "claim.intent,"),)),
    Guard("intent, interrupted", "a run that changed nothing ends the interrupted one", ("tests/unit/module_utils/_locking/test_lock_intent.py",), (
        ("plugins/module_utils/_locking/store.py", "interrupted = current or (last if last and last.is_interrupted else None)", "interrupted = current"),)),
    Guard("intent, playbooks", "nobody writes down what the run is to do", (f"{UNIT}/_plan/test_target.py",), (
        ("playbooks/phases/guard.yml", "      ansible.builtin.import_tasks: ../tasks/keep_the_intent.yml\n", "      ansible.builtin.debug:\n"),)),
    Guard("intent, blue-green", "a return that is done is undone", (f"{UNIT}/_plan/test_blue_green.py",), (
        ("plugins/plugin_utils/_plan/blue_green.py", "for pool in (*serving, *runs) if pool in known]",
         "for pool in (*runs,) if pool not in serving]"),)),
    Guard("partial, steps", "only pending members have a step", RESUME, (
        ("plugins/plugin_utils/_plan/plan.py", '    plan["step_of"] = step_of\n',
         '    plan["step_of"] = {name: step_of[name] for name in plan["pending"]}\n'),)),
    Guard("stale, flip", "who was live before the flip counts after it", RESUME, (
        ("playbooks/phases/roll.yml", "hostvars['localhost']['alwayson_serving']['everywhere']", "alwayson_plan.live"),)),
    Guard("stale, put back", "members that serve are put back", (f"{UNIT}/_run/test_record.py",), (
        ("plugins/plugin_utils/_run/outcomes.py", ' if name not in serving["anywhere"]]', "]"),)),
)
