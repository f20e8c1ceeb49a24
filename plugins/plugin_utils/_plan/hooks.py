# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A team's hooks: which task files run in which direction. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DIRECTIONS = ("install", "upgrade", "rollback", "patch")
# A path alone: what a release needs on its way forward is wrong during the rollback.
FORWARD = ("install", "upgrade", "patch")


def hook_paths(entries: Iterable[Any], direction: str | None = None) -> list[str]:
    """The task files of the entries that run in this direction, in every one when it is not given.

    :param entries: paths, or ``{path, directions}``.
    :raises ValueError: for an entry that is neither.
    """
    entries = [entries] if isinstance(entries, (str, Mapping)) else list(entries or [])
    return [path for path, directions in map(_entry, entries) if direction is None or direction in directions]


def _entry(entry: object) -> tuple[str, tuple[str, ...]]:
    if isinstance(entry, str):
        return entry, FORWARD
    if not isinstance(entry, Mapping) or not {"path"} <= set(entry) <= {"path", "directions"} or not isinstance(entry["path"], str):
        raise ValueError(f"a hook is {entry!r}: give the absolute path of a task file, or path and directions")
    directions = entry.get("directions", FORWARD)
    if isinstance(directions, str) or not isinstance(directions, Iterable) or not set(directions) <= set(DIRECTIONS) or not list(directions):
        raise ValueError(f"the directions of the hook {entry['path']} are {directions!r}: give a list of {', '.join(DIRECTIONS)}")
    return entry["path"], tuple(directions)
