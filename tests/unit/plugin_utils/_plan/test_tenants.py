# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.tenants import tenants_affected

MAPPED = {"db1": {"postgresql_tenants": {"east": ["globex", "acme"], "west": "initech"}}, "db2": {}}


@pytest.mark.parametrize(("away", "tenants", "unmapped", "unknown"), [
    ({"db1": ["east"]}, ["acme", "globex"], [], []),
    ({"db1": None}, ["acme", "globex", "initech"], [], []),
    ({"db1": ["west", "north"]}, ["initech"], ["db1/north"], []),
    ({"db1": {"east": ["umbrella"], "west": None}}, ["initech", "umbrella"], [], []),
    ({"db1": {"east": []}}, [], [], []),
    ({"db2": ["east", "shop"]}, ["east", "shop"], [], []),
    ({"db2": None}, [], [], ["db2"]),
    ({"elsewhere": ["a"], "db1": ["west"]}, ["a", "initech"], [], []),
    ({}, [], [], []),
])
def test_who_is_affected(away, tenants, unmapped, unknown):
    found = tenants_affected(away, MAPPED)
    assert (found["tenants"], found["unmapped"], found["unknown"]) == (tenants, unmapped, unknown)
    assert len(found["text"]) == 1 + bool(unmapped) + bool(unknown)


def test_what_is_not_known_is_said():
    text = tenants_affected({"db1": ["north"], "db2": None}, MAPPED)["text"]
    assert text[0] == "affected tenants (0): none" and "db1/north" in text[1] and "db2; name them in postgresql_tenants" in text[2]


@pytest.mark.parametrize("wrong", ["acme", ["acme"]])
def test_a_variable_of_another_form_is_refused(wrong):
    with pytest.raises(ValueError, match="postgresql_tenants of db1 is"):
        tenants_affected({"db1": None}, {"db1": {"postgresql_tenants": wrong}})
