# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.outcomes import failure_text, or_nobody


@pytest.mark.parametrize(("hosts", "pattern"), [(["app1", "app2"], ["app1", "app2"]), ([], ["localhost", "!localhost"])])
def test_a_play_without_hosts_runs_on_none(hosts, pattern):
    assert or_nobody(hosts) == pattern


@pytest.mark.parametrize(("result", "words"), [
    ({"msg": "no"}, "no"),
    ({"msg": "One or more items failed", "results": [{"failed": True, "msg": "lb1 is gone"}, {"msg": "fine"}, {"unreachable": True, "msg": "no route"}]},
     "lb1 is gone; no route"),
    ({"msg": "One or more items failed", "results": [{"failed": True, "msg": "the same"}] * 2}, "the same"),
    ({"msg": "the loop itself", "results": []}, "the loop itself"),
    ({}, "failed"),
])
def test_a_failure_is_told_in_the_words_of_what_failed(result, words):
    assert failure_text(result) == words
