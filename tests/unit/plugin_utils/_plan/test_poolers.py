# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which poolers one process drives, and which send to a server."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.poolers import poolers_beside, poolers_of

HOSTVARS = {"p1": {"ansible_host": "10.0.0.1"}, "p2": {"ansible_host": "10.0.0.2"}, "p3": {"ansible_host": "10.0.0.1", "pooler_servers": ["db3"]},
            "p4": {"pooler_servers": ["db1", "db2"]}, "db1": {"ansible_host": "10.0.0.2"}}
POOLERS = ["p1", "p2", "p3", "p4"]


def test_poolers_of_one_machine_are_driven_together():
    assert poolers_beside(POOLERS, "p1", HOSTVARS) == ["p1", "p3"]
    assert poolers_beside(POOLERS, "p3", HOSTVARS) == ["p3", "p1"]
    assert poolers_beside(POOLERS, "p4", HOSTVARS) == ["p4"]


def test_what_is_no_pooler_drives_those_of_its_machine():
    assert poolers_beside(POOLERS, "db1", HOSTVARS) == ["p2"] and poolers_beside(POOLERS, "localhost", HOSTVARS) == []


def test_a_pooler_sends_to_every_server_unless_it_names_some():
    assert poolers_of(POOLERS, "db1", HOSTVARS) == ["p1", "p2", "p4"] and poolers_of(POOLERS, "db3", HOSTVARS) == ["p1", "p2", "p3"]
