# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets behind real Envoy, Caddy, Traefik and nginx, and behind a load balancer that nobody may drive: upgraded under load.

What the modules do with each of them is seen in a minute in integration/balancers; this is the whole playbook.
"""

from __future__ import annotations

import pytest
from integration.upgrade.conftest import an_operator

METHODS = {"envoy": "half_pool", "caddy": "rolling", "traefik": "rolling", "nginx": "half_pool", "none": "rolling"}
# A file is on the load balancer, which drives itself then.
DRIVES_ITSELF = ("nginx",)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", METHODS)
def test_a_fleet_behind_it_is_upgraded_and_nobody_notices(kind):
    with an_operator(f"test_kinds_{kind}", kind=kind) as operator:
        run = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method=METHODS[kind], demo_capacity=[],
                           **({"upgrade_traffic_via": None} if kind in DRIVES_ITSELF else {}))
        assert run.code == 0, run.output[-4000:]
        assert set(operator.versions().values()) == {"2.0.0"} and len(operator.versions()) == 6
        assert run.report["requests_scheduled"] > 1000
        failures = {what: count for what, count in run.report["failures_by_class"].items() if count}
        if kind == "caddy":
            # At every change, which is a reload, Caddy ends connections on which a client may be sending: 10 of 7,414 in a bench.
            assert set(failures) <= {"reset_on_reused", "reset_new"} and sum(failures.values()) < run.report["requests_scheduled"] / 100
        else:
            assert failures == {}
        again = operator.run("upgrade", upgrade_release="2.0.0", upgrade_method=METHODS[kind], demo_capacity=[],
                             **({"upgrade_traffic_via": None} if kind in DRIVES_ITSELF else {}))
        assert again.code == 0 and set(again.changed.values()) == {0}
