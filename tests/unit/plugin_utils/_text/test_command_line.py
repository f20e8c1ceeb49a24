# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that is printed can be pasted: it has all that was given, quoted, and nothing that belonged to the one run."""

from __future__ import annotations

import json
import shlex

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._text.command_line import AGAIN, complete

STATUS = "ansible-playbook alwayson.upgrade.status"
UPGRADE = "alwayson.upgrade.upgrade"


@pytest.mark.parametrize(("given", "expected"), [
    ([UPGRADE, "-i", "hosts.yml", "-e", "@shop.yml"], ["-i", "hosts.yml", "-e", "@shop.yml"]),
    (["-i", "my hosts.yml", UPGRADE, "-e", '{"upgrade_service": "o\'brien"}'], ["-i", "my hosts.yml", "-e", '{"upgrade_service": "o\'brien"}']),
    (["-ihosts.yml", UPGRADE, "-vvKe", "a=1", "--vault-id=prod@prompt", "-u", "deploy", "-b"],
     ["-i", "hosts.yml", "-v", "-v", "-K", "-e", "a=1", "--vault-id", "prod@prompt", "-u", "deploy", "-b"]),
    # What belonged to this run.
    ([UPGRADE, "-C", "--start-at-task", "Plan", "--step", "-e", "upgrade_plan=plan.json", "-e", "upgrade_take_over=9f upgrade_reason='he left'", "-D"], ["-D"]),
    ([UPGRADE, "-e", "upgrade_plan=plan.json upgrade_release=2.0.0"], ["-e", "upgrade_plan=plan.json upgrade_release=2.0.0"]),
    ([UPGRADE, "--become", "--ask-become-pass", "--forks", "20", "--", "-odd.yml"], ["--become", "--ask-become-pass", "--forks", "20"]),
])
def test_another_command_has_what_was_given(given, expected):
    text = complete(f"See it: {STATUS} shows it", given)
    assert text.startswith("See it: ") and text.endswith(" shows it")
    assert shlex.split(text.removeprefix("See it: ").removesuffix(" shows it")) == ["ansible-playbook", "alwayson.upgrade.status", *expected]


@pytest.mark.parametrize(("message", "variable", "after"), [
    ("ansible-playbook alwayson.upgrade.rollback -e upgrade_release=1.0.0 goes back", "upgrade_release=1.0.0", " goes back"),
    ("run ansible-playbook alwayson.upgrade.rollback -e upgrade_release=1.0.0.", "upgrade_release=1.0.0", "."),
    ("run ansible-playbook alwayson.upgrade.rollback -e upgrade_release=... now", "upgrade_release=...", " now"),
    ("(ansible-playbook alwayson.upgrade.upgrade -e 'upgrade_release=2.0 beta')", '{"upgrade_release": "2.0 beta"}', ")"),
])
def test_the_variables_that_a_message_gives_replace_what_was_given(message, variable, after):
    text = complete(message, [UPGRADE, "-i", "hosts.yml", "-e", "upgrade_release=2.0.0", "-e", "upgrade_service=shop"])
    command = text[text.index("ansible-playbook"):].removesuffix(after)
    assert text.endswith(after) and shlex.split(command)[2:] == ["-i", "hosts.yml", "-e", "upgrade_service=shop", "-e", variable]


def test_a_playbook_that_was_named_by_its_path_has_siblings_there():
    given = ["/srv/upgrade/playbooks/upgrade.yml", "-i", "hosts"]
    assert complete(STATUS, given) == "ansible-playbook /srv/upgrade/playbooks/status.yml -i hosts"
    assert complete(STATUS, ["site.yml", "-i", "hosts"]) == f"{STATUS} -i hosts"


def test_the_same_command_is_what_was_typed():
    given = [UPGRADE, "-i", "hosts.yml", "-e", "upgrade_plan=plan.json", "-C"]
    assert complete(f"go on: {AGAIN}", given) == "go on: ansible-playbook alwayson.upgrade.upgrade -i hosts.yml -e upgrade_plan=plan.json -C"
    assert complete(AGAIN, given, "/opt/my venv/bin/ansible-playbook").startswith("'/opt/my venv/bin/ansible-playbook' ")


def test_a_command_in_what_was_typed_is_not_completed():
    given = [UPGRADE, "-e", f"note='{STATUS}'"]
    assert complete(f"{AGAIN} or {STATUS}", given).count("ansible-playbook") == 4


def test_without_a_command_line_a_text_stays_as_it_is():
    assert complete(f"{STATUS}; {AGAIN} goes on", []) == f"{STATUS}; the same command goes on"


@pytest.mark.parametrize("given", ["db_password=hunter2 a=1", "API_TOKEN='hunter2 b'", json.dumps({"a": [{"my_secret": "hunter2"}], "n": 1})])
def test_a_secret_that_was_typed_is_not_printed(given):
    text = complete(f"{STATUS} {AGAIN}", [UPGRADE, "-e", given])
    assert "hunter2" not in text and text.count("<") == 2


def test_a_secret_within_what_was_typed_is_not_printed():
    given = {"upgrade_probe": {"targets": ["http://h"], "headers": {"Authorization": "Bearer hunter2hunter2"}}, "upgrade_artifact_signature": "/srv/shop.sig",
             "upgrade_artifact": "https://u:hunter2hunter2@h/a.tar.gz?sig=hunter2hunter2", "upgrade_release": "2.0.0"}
    for typed in (json.dumps(given), f"upgrade_artifact={given['upgrade_artifact']} upgrade_artifact_signature=/srv/shop.sig upgrade_release=2.0.0"):
        text = complete(f"{STATUS} {AGAIN}", [UPGRADE, "-e", typed])
        assert "hunter2" not in text and "/srv/shop.sig" in text and "2.0.0" in text and "<secret>" in text


def test_a_takeover_is_the_whole_command_with_the_lock():
    text = complete("take over: the same command with -e upgrade_take_over=9f -e \"upgrade_reason='...'\"", [UPGRADE, "-i", "hosts"])
    assert text == "take over: ansible-playbook alwayson.upgrade.upgrade -i hosts -e upgrade_take_over=9f -e \"upgrade_reason='...'\""
