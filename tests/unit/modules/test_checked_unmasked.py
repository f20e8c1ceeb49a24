# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides about a release reaches its judge as it was seen: an answer that says what was sent is no secret that is masked on the way."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.alwayson.upgrade.plugins.action import smoke_test as action
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.http import Answer
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import smoke_tests
from ansible_collections.alwayson.upgrade.plugins.modules import member_info, smoke_test

TOKEN = "canary-7f1-secret"
SENT = {"product": "running-shoes", "user": "production", "status": "2.0.0-rc1", "token": TOKEN}
SEEN = {"order": {"product": "running-shoes"}, "environment": "production", "state": "established", "release": "2.0.0-rc1", "echo": f"Bearer {TOKEN}"}
TEST = {"name": "running-shoes", "url": f"http://127.0.0.1:1/orders?session_state=established&token={TOKEN}", "method": "GET", "body": SENT,
        "secret_headers": {"X-Any": TOKEN}}
RIGHT = {"order.product": "running-shoes", "environment": "production", "state": "established", "release": "2.0.0-rc1", "echo": f"Bearer {TOKEN}"}


def said_by(module, monkeypatch, capsys, **params) -> dict:
    """What the module answers when the service says SEEN."""
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, msg, log_args=None: None)
    monkeypatch.setattr(smoke_tests, "fetch", lambda *args: Answer(200, [("X-Product", "running-shoes")], json.dumps(SEEN), False, 0.12345678))
    arguments = {"tests": [TEST], **params, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


def verdict_on(outcome: dict, **expect) -> dict:
    tests = [{**TEST, "expect": expect, "expect_answer": {'headers."x-product"': "running-shoes"}}]
    arguments = {"tests": [{**{name: option.get("default") for name, option in smoke_tests.TEST_ARGUMENTS.items()}, **test} for test in tests]}
    given = {**{name: option.get("default") for name, option in smoke_tests.ARGUMENTS.items()}, **arguments}
    expected = action.ActionModule._expected(None, given)
    return expected["running-shoes"].verdict(outcome, action.secrets_in(given, smoke_tests.ARGUMENTS))


def test_write_and_read_back_passes(monkeypatch, capsys):
    [outcome] = said_by(smoke_test, monkeypatch, capsys)["outcomes"]
    assert outcome["name"] == "running-shoes" and TOKEN not in outcome["url"]
    assert verdict_on(outcome, **RIGHT)["why"] == []


def test_what_is_reported_of_a_failure_has_no_secret(monkeypatch, capsys):
    [outcome] = said_by(smoke_test, monkeypatch, capsys)["outcomes"]
    verdict = verdict_on(outcome, echo="other", environment="staging")
    assert verdict["passed"] is False and TOKEN not in str(verdict)
    assert verdict["why"] == ['expected echo to be "other", saw "Bearer ********"', 'expected environment to be "staging", saw "production"']


def test_a_long_answer_is_masked_before_it_is_cut(monkeypatch, capsys):
    [outcome] = said_by(smoke_test, monkeypatch, capsys)["outcomes"]
    outcome["answers"][0]["body"] = json.dumps({"echo": "x" * 190 + TOKEN})
    assert "canary" not in str(verdict_on(outcome, echo="other"))


def test_a_member_is_described_as_it_is(monkeypatch, capsys, tmp_path):
    (tmp_path / "releases" / "2.0.0-rc1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/2.0.0-rc1")
    answer = said_by(member_info, monkeypatch, capsys, root=str(tmp_path), preflight=False, timeout=0.0, in_a_row=1)
    assert answer["current"] == "2.0.0-rc1" and verdict_on(answer["outcomes"][0], **RIGHT)["passed"]
    assert TOKEN not in str(answer["invocation"])
