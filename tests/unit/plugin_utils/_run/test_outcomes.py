# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.outcomes import failure_text, or_nobody, probe_figures


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


def test_figures_of_an_earlier_run_are_not_those_of_this_one():
    earlier = {"result": {"started": 999.0, "requests_failed": 0, "requests_scheduled": 25_016}}
    assert probe_figures(earlier, 1000.0) == {"problem": "the prober of this run did not start: what is in its directory is of an earlier run"}
    mine = {"result": {"started": 1001.0, "requests_failed": 0}, "msg": "it was killed"}
    assert probe_figures(mine, 1000.0) == {"started": 1001.0, "requests_failed": 0, "problem": "it was killed"}
    assert probe_figures({"msg": "no probe runs"}, 1000.0) == {"problem": "no probe runs"}
