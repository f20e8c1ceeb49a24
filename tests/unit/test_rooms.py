# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of module_utils and plugin_utils, called rooms, and which of them may import which: read from the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.alwayson.upgrade.plugins."

# The rooms of module_utils, and the other rooms that each may import.
ROOMS = {
    "_host": set(),
    "_locking": {"_host"},
    "_release": {"_host"},
    "_packages": {"_host"},
    "_probe": {"_host"},
    "_traffic": {"_host"},
    "_database": {"_host"},
    "_postgresql": {"_host", "_database"},
    "_mariadb": {"_host", "_database"},
    "_sqlite": {"_host", "_database"},
}
# Front doors at the root of module_utils: each knows all kinds of one thing. Rooms do not import them.
REGISTRIES = {"_load_balancers", "_database_engines"}
# Rooms of plugin_utils, each of which imports itself and those before it. The last one does I/O, and is imported by plugins only.
PURE_ROOMS = ("_text", "_smoke", "_schedule", "_plan", "_run", "_report", "_live")
CONTROLLER = "_controller"
# What the pure rooms may import of module_utils.
PURE = {"_host.credentials", "_host.foreign_json", "_host.version", "_locking.lock", "_probe.plan", "_traffic.interface", "_traffic.not_live", "_traffic.views"}
IMPURE = {"ansible", "asyncio", "fcntl", "http", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "urllib"}
CLOCKS = ("time.time(", "time.monotonic(", "time.sleep(", "datetime.now(")


def sources() -> dict[str, Path]:
    """Every file of plugins/ by its dotted name, without those that only make a folder a package."""
    return {".".join(path.relative_to(PLUGINS).with_suffix("").parts): path for path in sorted(PLUGINS.rglob("*.py")) if path.name != "__init__.py"}


def imports_of(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """What a file imports, at any depth of its tree: names in full, those of the collection without its prefix, each with the level of the import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.removeprefix(PREFIX), 0
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".")[:-node.level] if node.level else []
            module = ".".join([*package, *filter(None, [node.module])]).removeprefix(PREFIX)
            for alias in node.names:
                yield f"{module}.{alias.name}", node.level


def graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """The files of the collection that each file imports."""
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        wanted = {target for target, _level in imports_of(name, path)}
        found[name] = {target for full in wanted for target in (full, full.rpartition(".")[0]) if target in files} - {name}
    return found


def refusal(importer: str, imported: str) -> str:
    """Why one file may not import another; empty when it may."""
    kind, room = importer.split(".")[:2]
    other_kind, other = imported.split(".")[:2]
    if kind == "module_utils":
        if other_kind != "module_utils":
            return "module_utils imports itself only"
        if room in REGISTRIES or other == room or other in ROOMS.get(room, set()):
            return ""
        return f"{room} may import {', '.join(sorted(ROOMS.get(room, set()))) or 'nothing of ours'}"
    if kind == "modules":
        return "" if other_kind == "module_utils" else "a module runs on a host, where module_utils alone is there"
    if kind == "action" and other_kind == "modules":
        return "" if room == other else "an action plugin is the controller's half of its own module only"
    if kind != "plugin_utils" or room == CONTROLLER:
        return "" if other_kind in ("module_utils", "plugin_utils") else "plugins do not import plugins"
    if other_kind == "module_utils":
        return "" if imported.removeprefix("module_utils.") in PURE else "it is not among the pure files of module_utils"
    if other_kind != "plugin_utils" or other not in PURE_ROOMS:
        return f"it is in no pure room: {', '.join(PURE_ROOMS)}"
    return "" if PURE_ROOMS.index(other) <= PURE_ROOMS.index(room) else f"{other} comes after {room}"


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The import cycles that a depth-first walk meets, each as the path from a file back to itself."""
    state: dict[str, int] = {}
    found, path = [], []

    def walk(name: str) -> None:
        state[name] = 1
        path.append(name)
        for other in sorted(edges[name]):
            if state.get(other) == 1:
                found.append([*path[path.index(other):], other])
            elif other not in state:
                walk(other)
        path.pop()
        state[name] = 2

    for name in edges:
        if name not in state:
            walk(name)
    return found


def test_every_file_is_in_a_room():
    names = [name for name in sources() if name.split(".")[0] in ("module_utils", "plugin_utils")]
    astray = [name for name in names if name.split(".")[1] not in {*(ROOMS if name.startswith("module") else {}), *REGISTRIES, *PURE_ROOMS, CONTROLLER}
              or (name.count(".") == 1 and name.split(".")[1] not in REGISTRIES)]
    assert len(names) > 200 and astray == []


def test_each_room_is_a_package():
    """Python and Ansible need no `__init__.py`; pylint follows relative imports only where there is one, and takes classes for what they are not without."""
    files = [path for name in ("module_utils", "plugin_utils") for path in (PLUGINS / name).rglob("*.py")]
    folders = {parent for path in files for parent in path.parents if PLUGINS in parent.parents}
    assert len(folders) > 20 and [str(folder) for folder in folders if not (folder / "__init__.py").is_file() or (folder / "__init__.py").read_bytes()] == []


def test_each_room_imports_only_what_it_may():
    edges = graph(sources())
    wrong = [f"{name} imports {other}: {why}" for name in edges for other in sorted(edges[name]) if (why := refusal(name, other))]
    assert sum(map(len, edges.values())) > 900 and wrong == []
    assert refusal("action.traffic_info", "modules.traffic_member") and not refusal("action.traffic_info", "modules.traffic_info")
    for importer, imported in (("_mariadb.session", "_postgresql.session"), ("_host.flock", "_locking.fence"), ("_traffic.pool", "_load_balancers")):
        assert refusal(f"module_utils.{importer}", f"module_utils.{imported}")


def test_there_is_no_import_cycle():
    edges = graph(sources())
    assert cycles(edges) == [] and cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"]]


def test_what_is_called_pure_is():
    files = sources()
    edges = graph(files)
    for name in sorted(PURE):
        reached, left = set(), [f"module_utils.{name}"]
        while left:
            reached.add(one := left.pop())
            left.extend(edges[one] - reached)
        outside = {target for one in reached for target, _level in imports_of(one, files[one]) if target.split(".")[0] in IMPURE}
        assert not {target for target in outside if not target.startswith("urllib.parse")}, name
        assert not [clock for one in reached for clock in CLOCKS if clock in files[one].read_text(encoding="utf-8")], name


def test_imports_of_the_collection_are_relative():
    absolute = [f"{name}: {target}" for name, path in sources().items() for target, level in imports_of(name, path)
                if not level and target.split(".")[0] in ("module_utils", "plugin_utils")]
    assert absolute == []
