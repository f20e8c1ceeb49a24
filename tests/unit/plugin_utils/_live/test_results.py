# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the screen takes from a task's result."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.results import delegate_of


@pytest.mark.parametrize(("result", "delegate_to", "reported"), [
    ({}, None, ""), ({}, "lb1", "lb1"), ({}, "localhost", ""), ({}, "{{ call.host }}", ""),
    ({"_ansible_delegated_vars": {"ansible_delegated_host": "lb1"}}, "{{ call.host }}", "lb1"),
    ({"_ansible_delegated_vars": {"ansible_delegated_host": "localhost"}}, "{{ call.host }}", ""),
])
def test_where_a_delegated_task_ran_is_reported_by_its_name(result, delegate_to, reported):
    assert delegate_of(result, delegate_to, "localhost") == reported
