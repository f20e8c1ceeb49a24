# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A computed play runs on the hosts that were meant: ansible-core itself is asked what it makes of a name."""

from __future__ import annotations

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.host_names import is_plain
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.outcomes import play_hosts

PLAIN = ["app1", "app-1.example.com", "10.0.0.1", "2001:db8::1", "::1", "app_1", "app1!", "i-0abc#2", "sh\u00f6p1", "app1=a", "app+1", "all-in-one",
         "app[12]", "aws_instance.web[0]", "module.a[0].web[\"b\"]", "web(1)", "o'neil", "web[]", "1:2:3:4:5:6::", "::2:3:4:5:6:7", "1::3:4:5:6:7:8",
         "::ffff:10.0.0.1", "::", "2001:DB8::A"]
PATTERNS = ["shop app 1", "app1,app2", "app1:app2", "app*", "app?", "web[1", "web]1", "web[[1]]",
            "app[a*]", "!app1", "&app1", "~app.*", "@hosts", "app\t1", "", "-app1", "app1;id",
            "fe80::1%eth0", "64:ff9b::10.0.0.1", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"]


def selected(name: str) -> set[str]:
    """The hosts of a play whose hosts are [name], in an inventory that has groups and hosts by the words of the name."""
    manager = InventoryManager(loader=DataLoader(), sources=[])
    manager.add_host(name)
    for group in ("shop", "app", "all-in-one", "app1"):
        manager.add_group(group)
        manager.add_host("stranger", group=group)
    manager.reconcile_inventory()
    return {host.name for host in manager.get_hosts([name])}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_one_host(name):
    assert is_plain(name) and selected(name) == {name}
    assert play_hosts([name]) == [name]


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_refused(name):
    assert not is_plain(name)
    with pytest.raises(ValueError, match="pattern"):
        play_hosts(["app1", name])


def test_a_name_with_spaces_is_another_groups_hosts():
    assert "stranger" in selected("shop app 1")


def test_a_group_with_such_names_is_refused_before_anything_runs_on_it():
    groups = {"app": [f"shop app {number}" for number in range(1, 6)], "load_balancers": ["lb 1"]}
    service = describe({"upgrade_release": "2.0.0"}, ["upgrade_release"], groups)
    problem = next(sentence for sentence in service["problems"] if "pattern" in sentence)
    assert "upgrade_members" in problem and "'shop app 1'" in problem and "2 more" in problem and "member_name" in problem
    assert service["hosts"]["members"] == [] and not any("lb 1" in sentence for sentence in service["problems"])
