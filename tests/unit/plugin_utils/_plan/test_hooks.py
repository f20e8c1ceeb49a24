# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks: an entry that is a path alone does not run during the rollback."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.hooks import hook_paths

ENTRIES = ["/a.yml", {"path": "/b.yml", "directions": ["rollback"]}, {"path": "/c.yml"}]


@pytest.mark.parametrize(("direction", "paths"), [
    ("upgrade", ["/a.yml", "/c.yml"]), ("patch", ["/a.yml", "/c.yml"]), ("rollback", ["/b.yml"]), (None, ["/a.yml", "/b.yml", "/c.yml"])])
def test_hooks_by_direction(direction, paths):
    assert hook_paths(ENTRIES, direction) == paths


def test_one_entry_may_stand_alone_and_none_is_none():
    assert hook_paths("/a.yml", "upgrade") == ["/a.yml"] and hook_paths({"path": "/a.yml"}) == ["/a.yml"] and hook_paths(None) == []


@pytest.mark.parametrize("entry", [3, {"file": "/a.yml"}, {"path": 3}, {"path": "/a.yml", "directions": "rollback"}, {"path": "/a.yml", "directions": ["back"]},
                                   {"path": "/a.yml", "directions": []}])
def test_what_is_no_hook_is_named(entry):
    with pytest.raises(ValueError, match="hook"):
        hook_paths([entry])


def test_what_prepares_a_release_prepares_the_first_one_too():
    assert hook_paths(ENTRIES, "install") == hook_paths(ENTRIES, "upgrade") == ["/a.yml", "/c.yml"]
