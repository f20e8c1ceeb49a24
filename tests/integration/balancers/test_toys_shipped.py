# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer added by one file and one entry, an engine by one folder and one entry, in a copy of the collection: Ansible ships them to a host.

What they do there is tested in unit/modules/test_toys.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from integration.by_ansible import REPOSITORY, ansible

TOYS = REPOSITORY / "tests" / "unit" / "toys"


def register(registry: Path, last: str, place: str, name: str) -> None:
    """Add the entry of a toy behind the last one of a registry."""
    text = registry.read_text(encoding="utf-8")
    line, table = f'    "{last}": _{last},\n', "# Each "
    assert text.count(line) == text.count(table) == 1
    text = text.replace(line, f'{line}    "toy": _toy,\n').replace(table, f"def _toy():\n    from {place} import {name}\n\n    return {name}\n\n\n{table}")
    registry.write_text(text, encoding="utf-8")


@pytest.fixture(name="collections")
def _collections(tmp_path):
    root = tmp_path / "collections" / "ansible_collections" / "alwayson" / "upgrade"
    for folder in ("plugins", "meta"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "galaxy.yml", root)
    shared = root / "plugins" / "module_utils"
    shutil.copy(TOYS / "balancer.py", shared / "_traffic" / "kinds" / "toy.py")
    shutil.copytree(TOYS / "engine", shared / "_toy", ignore=shutil.ignore_patterns("__pycache__"))
    register(shared / "_load_balancers.py", "none", "._traffic.kinds.toy", "ToyBalancer")
    register(shared / "_database_engines.py", "sqlite", "._toy.engine", "Toy")
    return tmp_path / "collections"


def test_what_was_added_in_one_place_runs_on_a_host(collections, tmp_path):
    pool, databases = tmp_path / "lb.json", tmp_path / "databases"
    pool.write_text(json.dumps({"app": {name: {"address": "10.0.0.1:80", "admin": "ready", "alive": True, "sessions": 1} for name in ("s1", "s2")}}),
                    encoding="utf-8")
    status, drained, _shown = ansible("traffic_member", collections=collections, backend="app", members=["s1"], state="drained",
                                      load_balancers=[{"name": "lb1", "kind": "toy", "endpoint": f"toy:{pool}"}])
    assert (status, drained.get("changed")) == (0, True), drained
    (databases / "shop").mkdir(parents=True)
    (databases / "shop" / "products.json").write_text('[{"id": 1}]', encoding="utf-8")
    status, backed_up, _shown = ansible("database_backup", collections=collections, engine="toy", login_unix_socket=str(databases),
                                        directory=str(tmp_path / "backups"))
    assert (status, [row["proven"] for row in backed_up["backups"].values()]) == (0, [True]), backed_up
