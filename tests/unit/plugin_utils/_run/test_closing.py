# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last message: every reason once, and going back only where something has moved and can."""

from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.closing import closing_text
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._text.command_line import AGAIN


def record(after="2.0.0", direction="upgrade", phases=(), **changes):
    databases = {"shop": {"migrations": [{"phase": phase} for phase in phases]}} if phases else {}
    return {"service": "shop", "outcome": "stopped", "direction": direction, "release_from": "1.0.0", "release_to": "2.0.0", "problems": ["a", "b"],
            "members": {"app1": {"release_after": after}, "app2": {"release_after": "1.0.0"}}, "databases": databases, **changes}


def test_a_refusal_is_its_sentences():
    assert closing_text(None, "the floor is 3").splitlines()[0] == "the floor is 3"
    lines = closing_text(None, "one\ntwo\none").splitlines()
    assert lines[:2] == ["- one", "- two"] and lines[2].startswith("Nothing was changed.") and lines[3:] == [f"  {AGAIN}"]


def test_each_reason_once_and_the_next_commands():
    lines = closing_text(record(problems=["a", "b"]), "b\nc", has_begun=True).splitlines()
    assert lines[:5] == ["shop: stopped", "- a", "- b", "- c", "Next:"]
    assert lines[5].split("#")[0].strip() == "ansible-playbook alwayson.upgrade.status" and "continues" in lines[6]
    assert lines[7].strip() == "ansible-playbook alwayson.upgrade.rollback -e upgrade_release=1.0.0  # returns to 1.0.0"


@pytest.mark.parametrize("ended", [
    record(after="1.0.0"), record(direction="rollback"), record(direction="patch"), record(phases=["expand", "contract"]), record(release_from="2.0.0"), None,
    record(migration_tool={"keeps_previous": False, "status": "applied"})])
def test_no_way_back_where_nothing_has_moved_or_it_cannot(ended):
    text = closing_text(ended, "why", has_begun=True)
    assert AGAIN in text and "rollback" not in text


def test_an_expanded_schema_keeps_the_way_back():
    assert "rollback" in closing_text(record(phases=["expand"]), has_begun=True)


@pytest.mark.parametrize("tool", [{"keeps_previous": True, "status": "applied"}, {"keeps_previous": False, "status": "unneeded"}, None])
def test_a_migration_tool_that_took_nothing_away_keeps_the_way_back(tool):
    assert "rollback" in closing_text(record(migration_tool=tool), has_begun=True)
