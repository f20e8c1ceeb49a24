# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input, and fleets that are not as they should be: one clear message, exit status not 0, nothing drained, nothing staged."""

from __future__ import annotations

import pytest

NEW = {"upgrade_release": "2.0.0"}


@pytest.fixture
def untouched(operator):
    """Whatever the test asks for, the fleet is afterwards as it was before."""
    before = operator.in_traffic(), operator.versions(), _releases(operator)
    yield
    assert (operator.in_traffic(), operator.versions(), _releases(operator)) == before


def _releases(operator) -> set[str]:
    return {str(path.relative_to(operator.fleet.directory)) for path in (operator.fleet.directory / "hosts").glob("*/releases/*")}


@pytest.mark.thorough
@pytest.mark.parametrize(("variables", "words"), [
    ({}, ["upgrade_release is not set"]),
    ({"upgrade_release": "latest"}, ["'latest'", "not a version"]),
    ({"upgrade_release": "2.0 .0"}, ["not a version"]),
    ({**NEW, "upgrade_members": "ap"}, ["'ap'", "did you mean 'app'"]),
    ({**NEW, "upgrade_metod": "rolling"}, ["upgrade_metod", "did you mean upgrade_method"]),
    ({**NEW, "upgrade_backend": "web"}, ["no backend 'web'"]),
    ({**NEW, "upgrade_max_unavailable": "lots", "upgrade_method": "rolling"}, ["upgrade_max_unavailable", "lots"]),
    ({**NEW, "upgrade_min_live": 6, "upgrade_method": "rolling"}, ["never finish"]),
    ({"upgrade_release": "0.9.0", "upgrade_artifact": "/dev/null", "upgrade_artifact_sha256": "0"}, ["older than 1.0.0", "alwayson.upgrade.rollback"]),
    ({**NEW, "upgrade_artifact": "/nonexistent.tar.gz", "upgrade_artifact_sha256": "0" * 64}, ["/nonexistent.tar.gz"]),
    ({**NEW, "upgrade_after_roll": ["/nonexistent/hook.yml"]}, ["/nonexistent/hook.yml", "absolute path of a task file"]),
], ids=lambda value: "-".join(map(str, value))[:40] if isinstance(value, list) else None)
def test_bad_input_is_refused(operator, untouched, variables, words):
    playbook = "upgrade" if "nonexistent" in str(variables) else "plan"
    run = operator.run(playbook, **variables)
    assert run.code != 0, run.output
    assert all(word in run.words for word in words), run.output


def test_a_pool_under_its_floor_is_refused(operator):
    names = ["app1", "app2", "app3", "app4"]
    for balancer in ("lb1", "lb2"):
        for name in names:
            operator.fleet.runtime(balancer, f"set server app/{name} state maint")
    try:
        run = operator.run("upgrade", **NEW)
        assert run.code != 0 and "only 2 of 6 members are live" in run.words, run.output
        assert {len(members) for members in operator.in_traffic().values()} == {2}
    finally:
        _ready(operator, names)


def test_load_balancers_that_disagree_are_refused(operator):
    operator.fleet.runtime("lb1", "set server app/app3 state drain")
    try:
        run = operator.run("upgrade", **NEW)
        assert run.code != 0 and "app3" in run.words and "lb1" in run.words and "lb2" in run.words, run.output
        assert {name: len(members) for name, members in operator.in_traffic().items()} == {"lb1": 5, "lb2": 6}
    finally:
        _ready(operator, ["app3"])


def test_an_unreachable_load_balancer_is_refused_by_its_name(operator, untouched):
    inventory = operator.fleet.directory / "inventory.yml"
    endpoint = next(balancer.traffic_endpoint for balancer in operator.fleet.layout.load_balancers if balancer.name == "lb2")
    text = inventory.read_text(encoding="utf-8")
    assert text.count(endpoint) == 1
    inventory.write_text(text.replace(endpoint, endpoint.rsplit(":", 1)[0] + ":1"), encoding="utf-8")
    try:
        run = operator.run("upgrade", **NEW)
        assert run.code != 0 and "lb2" in run.words, run.output
    finally:
        inventory.write_text(text, encoding="utf-8")


def _ready(operator, names) -> None:
    for balancer in ("lb1", "lb2"):
        for name in names:
            operator.fleet.runtime(balancer, f"set server app/{name} state ready")
    operator.fleet._wait_in_traffic()
