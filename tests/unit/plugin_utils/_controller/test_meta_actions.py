# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every action of ``meta`` that an ansible-core knows has a meaning in a rolling play, or is refused; a refreshed inventory is one at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.modules import meta
from ansible.parsing.dataloader import DataLoader

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.meta_actions import ACTIONS, REFUSED, refreshed_at_once, shown, why_refused

REPOSITORY = Path(__file__).resolve().parents[4]
CORES = sorted(REPOSITORY.glob("build/cores/*/lib/python*/site-packages/ansible/modules/meta.py")) or [Path(meta.__file__)]


def actions_of(module: Path) -> set[str]:
    documentation = re.search(r'^DOCUMENTATION = r?"""(.*?)"""', module.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[1]
    return set(yaml.safe_load(documentation)["options"]["free_form"]["choices"])


@pytest.mark.parametrize("module", CORES, ids=lambda module: module.parts[-7])
def test_every_action_of_a_core_is_known_and_documented(module):
    actions = actions_of(module)
    assert len(actions) >= 9 and actions == {*ACTIONS, *REFUSED}
    documented = re.findall(r"^\| (`[a-z_`, ]+`) \|", (REPOSITORY / "docs" / "strategy.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert actions <= {name for cell in documented for name in re.findall(r"`([a-z_]+)`", cell)}


def test_an_action_that_nobody_knows_is_refused():
    assert not any(map(why_refused, ACTIONS)) and "no batches" in why_refused("end_batch")
    assert why_refused("end_everything").startswith("is none of those that a rolling play knows: clear_facts, ")


@pytest.fixture(name="made")
def _made(tmp_path):
    path = tmp_path / "hosts.yml"

    def write(*names, **variables):
        path.write_text(yaml.safe_dump({"web": {"hosts": dict.fromkeys(names, variables)}}), encoding="utf-8")
    write("a", "b", "c", port=1)
    return InventoryManager(DataLoader(), [str(path)]), write


@pytest.mark.parametrize(("action", "names"), [("clear_facts", "a"), ("clear_host_errors", "ac"), ("end_play", "abc"), ("refresh_inventory", "abc")])
def test_what_is_for_all_hosts_of_a_play_reaches_nobody_in_flight(made, action, names):
    inventory, _write = made
    for restriction in (None, [inventory.get_host(name) for name in "abc"]):
        inventory.restrict_to_hosts(restriction)
        before = inventory._restriction
        with shown(inventory, action, "a", ["a", "b"]):
            assert [host.name for host in inventory.get_hosts("web")] == list(names)
        assert inventory._restriction == before


def test_a_refreshed_inventory_is_one_at_once_and_its_hosts_are_the_same(made):
    inventory, write = made
    old = inventory.get_host("a")
    renewed = []

    def host_is_there(*_args, **_options):
        assert inventory.get_host("a") is old
        return parse(*_args, **_options)
    with refreshed_at_once(inventory, ["a", "b"], AnsibleError, renewed.append):
        write("a", "b", "d", port=2)
        parse, type(inventory).parse_sources = type(inventory).parse_sources, host_is_there
        try:
            inventory.refresh_inventory()
        finally:
            type(inventory).parse_sources = parse
        new = inventory.get_host("a")
        assert new is not old and new == old and new.vars["port"] == 2 and renewed == [inventory.get_host]
        assert [host.name for host in inventory.get_hosts("web")] == ["a", "b", "d"]
        inventory.refresh_inventory()
        assert inventory.get_host("a") == old


def test_a_host_of_the_roll_that_the_inventory_lacks_leaves_it_as_it_was(made):
    inventory, write = made
    old = inventory.get_host("a")
    with refreshed_at_once(inventory, ["a", "b"], AnsibleError, lambda host_of_name: None):
        write("a", "c", port=2)
        with pytest.raises(AnsibleError, match="the refreshed inventory has no b, which the roll takes through the play, so the inventory stays as it was"):
            inventory.refresh_inventory()
        assert inventory.get_host("a") is old and inventory.get_host("b") is not None
    inventory.refresh_inventory()
    assert inventory.get_host("b") is None
