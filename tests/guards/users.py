# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of what users get: it decides the exit status, it stops the roll, and what the prober could not measure is never taken for well."""

from __future__ import annotations

from guards.guard import Guard

BUDGET = ("tests/unit/plugin_utils/_schedule/test_error_budget.py",)
REPORT = ("tests/unit/plugin_utils/_report/test_summary.py",)
PLACES = ("tests/unit/test_users_decide.py",)
ENGINE = ("tests/unit/module_utils/_probe/test_engine.py",)
PROCESS = ("tests/unit/modules/test_availability_probe.py",)

USERS = (
    Guard("users, budget", "any number of requests may fail", BUDGET, (
        ("plugins/plugin_utils/_schedule/error_budget.py", "    if failed <= most:\n", "    if True:\n"),)),
    Guard("users, unmeasured", "any number of requests may stay unmeasured", REPORT, (
        ("plugins/plugin_utils/_schedule/error_budget.py", "    if unknown <= most:\n", "    if True:\n"),)),
    Guard("users, incomplete", "a prober that was killed has measured all", REPORT, (
        ("plugins/plugin_utils/_report/verdict.py", '    if report["probe_problem"]:\n', "    if False:\n"),)),
    Guard("users, exit status", "the run's own word is the exit status, not the report's", PLACES, (
        ("playbooks/phases/end.yml", "report_result | default(alwayson_record)", "alwayson_record"),)),
    Guard("users, gate", "the roll goes on while users get errors", PLACES, (
        ("plugins/strategy/rolling.py", "                self._schedule.stop_for_failures(why)\n", "                pass\n"),)),
    Guard("users, flip", "traffic is flipped while users get errors", PLACES, (
        ("playbooks/phases/roll.yml", "      when: alwayson_flips and alwayson_users_suffer | length > 0\n", "      when: false\n"),)),
    Guard("users, own fault", "what the prober could not send is the service's failure", ENGINE, (
        ("plugins/module_utils/_probe/engine.py", "            self.record.finish(index, outcomes.UNSENT, lag)\n",
         "            self.record.finish(index, outcomes.TIMEOUT, lag)\n"),)),
    Guard("users, frozen", "a prober that is stopped is waited for without end", PROCESS, (
        ("plugins/module_utils/_probe/process.py", "signal.SIGTERM, signal.SIGCONT), patience", "signal.SIGTERM,), 2.0"),)),
    Guard("users, part of a description", "a description that is a part of one ends member_info with a KeyError", (
        "tests/unit/modules/test_examples.py", "tests/unit/action/test_member_info_action.py"), (
        ("plugins/action/member_info.py", 'health_and_release(read["description"], command)', 'given.get("description") or {}'),)),
    Guard("users, keys of a dictionary", "a module has a dictionary whose keys no argument spec knows", ("tests/unit/modules/test_examples.py",), (
        ("plugins/modules/member_info.py", ', "options": DESCRIPTION}', "}"),)),
    Guard("users, secrets", "the prober's headers go into the system log", ("tests/unit/modules/test_availability_probe.py",), (
        # Either of the two is enough.
        ("plugins/modules/availability_probe.py", '"headers": {"type": "dict", "no_log": True}', '"headers": {"type": "dict"}'),
        ("plugins/modules/availability_probe.py", "from ..module_utils._host.ansible_module import AnsibleModule",
         "from ansible.module_utils.basic import AnsibleModule"),)),
)
