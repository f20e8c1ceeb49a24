# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._smoke.expectation import compiled
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._smoke.verdict import Expected, failure_message


def answer(release, status=200, seconds=0.1):
    return {"status": status, "headers": [["x-release", release]], "body": f'{{"release": "{release}"}}', "truncated": False, "seconds": seconds}


def outcome(*answers, **changes):
    given = {"name": "version", "url": "http://a/version", "method": "GET", "command": None, "sent": True, "ready": True, "requests": len(answers),
             "problem": ""}
    return {**given, "answers": list(answers), **changes}


JUDGE = Expected(compiled({"release": "2.0.0"}), compiled({'headers."x-release"': "2.0.0"}))


def test_a_test_passes_when_every_answer_is_as_expected():
    assert JUDGE.verdict(outcome(answer("2.0.0", seconds=0.3), answer("2.0.0"))) == {
        "name": "version",
        "url": "http://a/version",
        "method": "GET",
        "command": None,
        "status": 200,
        "seconds": 0.3,
        "requests": 2,
        "passed": True,
        "why": [],
    }


def test_one_answer_of_another_release_is_enough_to_fail():
    verdict = JUDGE.verdict(outcome(answer("2.0.0"), answer("1.0.0"), answer("1.0.0")))
    assert verdict["passed"] is False
    assert verdict["why"] == ['expected release to be "2.0.0", saw "1.0.0"', 'expected headers."x-release" to be "2.0.0", saw "1.0.0"']


def test_a_test_that_was_never_ready_says_what_it_saw_last():
    verdict = JUDGE.verdict(outcome(answer("x", status=503), ready=False, problem="answered 503 instead of 200", requests=40))
    assert verdict["why"] == ['answered 503 instead of 200 (40 requests), saw "{\\"release\\": \\"x\\"}"']
    assert (verdict["status"], verdict["passed"]) == (503, False)


def test_a_test_without_any_answer_has_no_status():
    verdict = JUDGE.verdict(outcome(ready=False, problem="connection refused", requests=9))
    assert (verdict["status"], verdict["seconds"], verdict["why"]) == (None, None, ["connection refused (9 requests)"])


def test_a_test_that_was_not_sent_neither_passed_nor_failed():
    verdict = JUDGE.verdict({"name": "order", "url": "http://a/", "method": "POST", "command": None, "sent": False})
    assert verdict["passed"] is None
    assert verdict["why"] == ["not sent in check mode: POST might change something"]


@pytest.mark.parametrize(
    ("method", "url", "command"),
    [("GET", "http://a/?x=1&y=2", "curl -i 'http://a/?x=1&y=2'"), ("POST", "http://a/", "curl -i -X POST http://a/"), ("GET", "http://a/'$(id)", """'"'"'""")],
)
def test_a_failure_names_the_test_the_address_and_what_to_do_next(method, url, command):
    verdict = JUDGE.verdict(outcome(answer("1.0.0"), url=url, method=method))
    message = failure_message([verdict], 3)
    lines = message.splitlines()
    assert lines[0] == "1 of 3 smoke tests failed."
    assert lines[1].startswith(f'version: {method} {url}: expected release to be "2.0.0", saw "1.0.0"; ')
    assert lines[2].startswith("Next: ") and command in lines[2]
    assert len(lines) == 3


def test_a_failed_command_is_named_and_can_be_pasted():
    ran = {"url": None, "method": None, "command": ["/srv/shop/bin/shop", "--what is it"]}
    verdict = JUDGE.verdict(outcome(answer("1.0.0"), **ran))
    lines = failure_message([verdict], 1).splitlines()
    assert lines[1].startswith("version: /srv/shop/bin/shop '--what is it': expected release") and lines[2].endswith("/srv/shop/bin/shop '--what is it'")
    assert JUDGE.verdict({"name": "version", "sent": False, **ran})["why"] == ["not sent in check mode: a command might change something"]
