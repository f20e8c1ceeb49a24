# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prober alone: `ansible-playbook alwayson.upgrade.probe`."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.process import find_running


def test_it_measures_reports_and_leaves_nothing_running(operator):
    run = operator.run("probe", upgrade_probe_seconds=4)
    assert run.code == 0, run.output[-4000:]
    assert run.report["requests_scheduled"] > 100 and run.report["requests_failed"] == 0, run.report["failures_by_class"]
    assert "shop measured, " in run.words and "Nobody noticed: 0 of" in run.words
    # On a busy machine it may have been late itself, and says so.
    assert [sentence for sentence in run.report["not_proven"] if not sentence.startswith("The prober itself was late")] == []
    assert find_running(str(operator.fleet.directory / "probe")) is None


def test_a_failed_request_is_its_failure(operator):
    mix = [{"kind": "keepalive", "share": 1, "path": "/nothing-answers-this"}]
    run = operator.run("probe", upgrade_probe_seconds=2, upgrade_probe={"targets": operator.fleet.front_urls, "rate": 20, "mix": mix})
    assert run.code != 0 and run.report["failures_by_class"]["http_4xx"] == run.report["requests_scheduled"] > 20
    assert find_running(str(operator.fleet.directory / "probe")) is None


def test_what_cannot_be_measured_is_refused_by_name(operator):
    assert "upgrade_probe names no targets" in operator.run("probe", upgrade_probe={}).words
    assert "upgrade_probe_seconds is soon" in operator.run("probe", upgrade_probe_seconds="soon").words
