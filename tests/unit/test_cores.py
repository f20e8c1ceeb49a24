# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A warning of core that is not listed is found in what a playbook prints."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from integration.cores import EXPECTED_WARNINGS, unexpected_warnings

OUTPUT = """
TASK [Read every load balancer] ****
[WARNING]: Removed reserved key '_ansible_x' from module result.
ok: [lb1]
[DEPRECATION WARNING]: Importing 'to_text' from 'ansible.module_utils._text' is deprecated. This feature will be removed from ansible-core version 2.24.
changed: [lb1] => {"msg": "[WARNING]: of the task itself"}
[DEPRECATION WARNING]: Use of strategy plugins not included in ansible.builtin are deprecated and do not carry any backwards compatibility guarantees.
"""


def test_every_warning_that_has_no_reason_is_found():
    assert [line.partition("]")[0] for line in unexpected_warnings(OUTPUT)] == ["[WARNING", "[DEPRECATION WARNING"]
    assert unexpected_warnings("ok: [app1]\n") == []
    assert len(EXPECTED_WARNINGS) >= 1 and all(reason for reason in EXPECTED_WARNINGS.values())
