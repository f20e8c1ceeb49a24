# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets.

When a password is given for the databases, then after a whole run with the highest verbosity it stands in no log, no report, no journal
and no file that the run left, in no journal of a host, and at no moment in the arguments of a process.
"""

from __future__ import annotations

import secrets

from faults.arguments import ArgumentWatch
from faults.invariants import i9_nowhere, state_is_private

ON = ("embedded", "lab")


def test_a_planted_secret_appears_nowhere(fleet):
    secret = f"canary-{secrets.token_hex(16)}"
    with fleet.group_variables("databases", postgresql_login_password=secret), ArgumentWatch(secret) as watch:
        run = fleet.run("upgrade", {"ANSIBLE_VERBOSITY": "4", "ANSIBLE_STDOUT_CALLBACK": "alwayson.upgrade.rollout"}, upgrade_release="2.0.0")
    assert run.code == 0, run.output[-3000:]
    assert watch.looks > 50 and watch.seen == []
    assert secret not in run.output and len(run.output) > 1000
    i9_nowhere(secret, fleet)
    state_is_private(fleet)
