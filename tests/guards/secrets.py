# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of secrets: a canary comes out nowhere, and who answers is looked at when that is asked for."""

from __future__ import annotations

from guards.guard import Guard

CORE, CANARY = "plugins/module_utils", ("tests/unit/modules/test_canary_secrets.py",)

SECRETS = (
    Guard("secrets, within", "a secret within an option that is none as a whole is reported", CANARY, (
        (f"{CORE}/_host/ansible_module.py", "        self.no_log_values |= secrets_in(self.params, self.argument_spec)\n", ""),)),
    Guard("secrets, log", "what is masked in results is in the system log", CANARY, (
        (f"{CORE}/_host/ansible_module.py", "        # Called at the end", "        super()._log_invocation()\n        # Called at the end"),)),
    Guard("secrets, new module", "a module masks what Ansible masks, and no more", CANARY, (
        ("plugins/modules/traffic_info.py", "from ..module_utils._host.ansible_module import AnsibleModule",
         "from ansible.module_utils.basic import AnsibleModule"),)),
    Guard("secrets, checked", "what an answer says is masked before it is checked", ("tests/unit/modules/test_checked_unmasked.py",), (
        (f"{CORE}/_host/ansible_module.py", "        self.no_log_values = set()\n", ""),)),
    Guard("secrets, verdict", "a failure tells a secret that the answer repeats", ("tests/unit/modules/test_checked_unmasked.py",), (
        ("plugins/plugin_utils/_smoke/expectation.py", "    text = masked(json.dumps(value), secrets)\n", "    text = json.dumps(value)\n"),)),
    Guard("secrets, words", "a password that is the next word of a command is reported", ("tests/unit/module_utils/_host/test_credentials.py",), (
        (f"{CORE}/_host/credentials.py", "        yield from () if is_named else _in_words(value)\n", ""),)),
    Guard("secrets, time", "looking for secrets takes quadratic time", ("tests/unit/module_utils/_host/test_credentials.py",), (
        (f"{CORE}/_host/credentials.py", 're.compile(r"(?<=[\\w+.-])://', 're.compile(r"[A-Za-z][\\w+.-]*://'),)),
    Guard("secrets, facts", "the settings of load balancers are facts, which -v prints", ("tests/unit/plugin_utils/_plan/test_observation.py",), (
        ("plugins/plugin_utils/_plan/observation.py", 'for option in ("settings", "headers")}', 'for option in ("headers",)}'),)),
    Guard("secrets, endpoint", "a password in an endpoint is reported", ("tests/unit/module_utils/_host/test_json_api.py",), (
        (f"{CORE}/_host/json_api.py", '({shown_url(self.endpoint)}) {what}', '({self.endpoint}) {what}'),)),
    Guard("encryption, MariaDB", "a session in the clear is taken for an encrypted one", ("tests/unit/module_utils/_mariadb/test_login.py",), (
        (f"{CORE}/_mariadb/session.py", "    if login.is_encrypted and not isinstance", "    if False and not isinstance"),)),
    Guard("encryption, plan", "the plan does not say which databases are not verified", ("tests/unit/plugin_utils/_plan/test_plan.py",), (
        ("plugins/plugin_utils/_plan/refusals.py", ', *(observed.get("unverified") or [])]', "]"),)),
)
