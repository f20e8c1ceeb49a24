# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes are those of what the functions return: every key of the one is a key of the other."""

from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan import shapes
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.plan import make_plan
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.service import describe
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.record import make_record

MEMBER = {"name": "a1", "address": "10.0.0.1:80", "domain": "east", "release": "1.0.0", "previous": None, "available": {}, "lost": None}
OBSERVED = {"members": {"a1": MEMBER}, "load_balancers": {}, "disagreements": [], "databases": {}, "migrations": []}
VARIABLES = {"upgrade_release": "2.0.0", "upgrade_artifact": "x", "upgrade_artifact_sha256": "y"}


def test_each_mapping_has_the_keys_of_its_shape():
    service = describe(VARIABLES, list(VARIABLES), {"app": ["a1"], "load_balancers": ["lb1"]})
    plan = make_plan(service, OBSERVED)
    record = make_record(plan, {"started": 0.0, "finished": 1.0, "phases": {}, "members": {}, "observed": OBSERVED})
    report = summarise(record)
    for found, shape, sometimes in ((service, shapes.Service, {"side"}), (plan, shapes.Plan, set()), (record, shapes.RunRecord, set()),
                                    (report, shapes.Report, set())):
        assert set(found) == set(shape.__annotations__) - sometimes, shape.__name__
