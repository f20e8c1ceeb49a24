# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member that stops answering in the middle of its upgrade: the roll stops, on every supported ansible-core, and no user notices."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PLUGINS = Path(__file__).parent / "plugins"
CORES = ("2.19", "2.20", "2.21")
LOSABLE = {"ansible_connection": "losable"}
EVERYBODY = {f"app{number}" for number in range(1, 7)}


@pytest.fixture
def lost(tmp_path, monkeypatch):
    """A folder with a file for each host that is lost."""
    monkeypatch.setenv("LOSABLE_DIRECTORY", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("core", "method"), [
    (core, method) if core == "2.21" else pytest.param(core, method, marks=pytest.mark.thorough)
    for core, method in zip(CORES, ("half_pool", "rolling", "rolling"), strict=True)])
def test_a_lost_member_stops_the_roll(another_operator, lost, core, method):
    operator = another_operator
    playbook = REPOSITORY / "build" / "cores" / core / "bin" / "ansible-playbook"
    if not playbook.exists():
        pytest.skip(f"ansible-core {core}: no Python on this machine runs it (see tests/cores.sh)")
    run = operator.run("upgrade", core=playbook, upgrade_release="2.0.0", upgrade_method=method,
                       upgrade_before_roll=[str(PLUGINS / "lose_app1.yml")], **LOSABLE)
    assert run.code != 0
    report = run.report
    assert report["ok"] is False and report["core_version"].startswith(core)
    assert report["members"]["app1"]["outcome"] == "lost"
    assert any("app1 was lost" in sentence for sentence in report["problems"])
    started = {name for name, member in report["members"].items() if member["outcome"] != "untouched"}
    assert len(started) == {"half_pool": 3, "rolling": 2}[method]
    assert report["requests_scheduled"] > 300 and report["requests_failed"] == 0, report["failures_by_class"]
    assert operator.in_traffic() == {"lb1": EVERYBODY - {"app1"}, "lb2": EVERYBODY - {"app1"}}
    if method == "half_pool":
        assert {version for name, version in operator.versions().items() if name != "app1"} == {"1.0.0"}
        (lost / "app1").unlink()
        back = operator.run("rollback", upgrade_release="1.0.0", upgrade_probe={}, **LOSABLE)
        assert back.code == 0, back.output[-3000:]
        assert operator.versions() == dict.fromkeys(EVERYBODY, "1.0.0")
        assert operator.in_traffic() == {"lb1": EVERYBODY, "lb2": EVERYBODY}
