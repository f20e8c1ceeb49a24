# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was planned is what is done, or nothing is."""

from __future__ import annotations

import json

import pytest

EVERYBODY = {f"app{number}" for number in range(1, 7)}


@pytest.mark.thorough
def test_exactly_the_plan_is_done_or_the_drift_is_named(operator):
    path = operator.fleet.directory / "plan.json"
    assert operator.run("plan", upgrade_release="2.0.0").code == 0
    plan = json.loads(path.read_text(encoding="utf-8"))
    assert len(plan["plan"]["step_of"]) == 6
    kept = operator.fleet.directory / "agreed.json"
    kept.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")

    otherwise = operator.run("upgrade", upgrade_plan=str(kept), upgrade_max_unavailable=1)
    assert otherwise.code != 0 and "upgrade_max_unavailable was 34% when the plan was made, and is 1 now" in otherwise.words
    missing = operator.run("upgrade", upgrade_plan=str(kept) + ".gone")
    assert missing.code != 0 and "there is no such file" in missing.words and "alwayson.upgrade.plan" in missing.words
    assert set(operator.versions().values()) == {"1.0.0"}

    # The release comes from the plan.
    done = operator.run("upgrade", upgrade_plan=str(kept), upgrade_probe={})
    assert done.code == 0, done.output[-3000:]
    assert operator.versions() == dict.fromkeys(EVERYBODY, "2.0.0")

    again = operator.run("upgrade", upgrade_plan=str(kept))
    assert again.code != 0 and f"plan {plan['id']} no longer matches the fleet" in again.words and "app1 ran 1.0.0 and runs 2.0.0 now" in again.words
    assert not (operator.fleet.directory / "state" / "shop.lock").exists()
