# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to name the kinds of load balancers and the database engines names those of the registries, and no module imports one that it does not use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.doc_fragments import database, load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils import _database_engines, _load_balancers

REPOSITORY = Path(__file__).resolve().parents[3]
MODULE_UTILS = "ansible_collections.alwayson.upgrade.plugins.module_utils"
KINDS, ENGINES = list(_load_balancers.KINDS), list(_database_engines.ENGINES)


def options_of(fragment: object) -> dict:
    return yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"]


def test_the_documentation_lists_the_kinds_of_the_registry():
    entry = options_of(load_balancers)["load_balancers"]["suboptions"]
    assert (entry["kind"]["choices"], entry["kind"]["default"]) == (KINDS, KINDS[0])
    assert set(entry) == set(_load_balancers.ARGUMENTS["load_balancers"]["options"])
    reported = " ".join(entry["kind"]["description"])
    assert [kind for kind in KINDS if f"V({kind})" not in reported] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_options_of_a_kind_are_options_of_an_entry(kind):
    assert set(_load_balancers.KINDS[kind]().options) <= set(_load_balancers.OPTIONS)


def test_the_documentation_lists_the_engines_of_the_registry():
    options = options_of(database)
    assert (options["engine"]["choices"], options["engine"]["default"]) == (ENGINES, ENGINES[0])
    assert set(options) == set(_database_engines.ARGUMENTS)
    for role in ("database_backup", "migration"):
        specs = yaml.safe_load((REPOSITORY / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
        option = specs["argument_specs"]["main"]["options"][f"{role}_engine"]
        assert (option["choices"], option["default"]) == (ENGINES, ENGINES[0]), role


@pytest.mark.parametrize("registry", [_load_balancers, _database_engines])
def test_a_registry_imports_what_it_opens_only_when_that_is_opened(registry):
    """Imports inside functions are found by Ansible, which copies their files to a host, and executed by none that does not call them."""
    tree = ast.parse(Path(registry.__file__).read_text(encoding="utf-8"))
    at_once = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    later = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} - at_once
    assert len(later) >= 3
    assert [name for name in at_once if name.startswith(("_traffic.kinds", "_postgresql", "_mariadb", "_sqlite"))] == []


def test_an_engine_is_imported_without_the_others():
    options = {name: option.get("default") for name, option in _database_engines.ARGUMENTS.items()}
    script = (f"import sys; sys.path[:0] = {sys.path!r}\n"
              f"from {MODULE_UTILS} import _database_engines\n"
              f"_database_engines.of({{**{options!r}, 'engine': 'sqlite'}}).migrations()\n"
              "print(*(name for name in sys.modules if name.startswith("
              f"'{MODULE_UTILS}._')))")
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    rooms = {name[len(MODULE_UTILS) + 1:].split(".")[0] for name in loaded}
    assert "_sqlite" in rooms and not rooms & {"_postgresql", "_mariadb"}
    assert not [name for name in loaded if name.startswith(f"{MODULE_UTILS}._database.backup")]
