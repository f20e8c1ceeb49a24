# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server may start, for everything that its peers can say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.node import PROMOTION_LOCK

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "database_guard" / "files" / "database_guard.py"
SPEC = importlib.util.spec_from_file_location("database_guard", PROGRAM)
guard = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(guard)

OWN = {"system_identifier": "7", "timeline": 2}
SILENT = {"name": "silent", "error": "does not answer (refused)"}


def answer(name, standby=True, takes_writes=False, timeline=2, system_identifier="7"):
    return {"name": name, "system_identifier": system_identifier, "standby": standby, "takes_writes": takes_writes, "timeline": timeline}


STANDBY, PRIMARY = answer("standby"), answer("primary", False, True, 3)
FENCED, STRANGER, LATER = answer("fenced", False, False, 1), answer("stranger", False, True, 9, "8"), answer("later", timeline=3)


@pytest.mark.parametrize(("answers", "needed", "status", "reported"), [
    ([STANDBY], 1, guard.MAY_START, "standby is a standby"),
    ([PRIMARY], 1, guard.REFUSED, "because primary takes writes in its place. Make it a standby with database_rejoin"),
    ([STANDBY, PRIMARY], 1, guard.REFUSED, "because primary takes writes"),
    ([answer("same", False, True)], 1, guard.REFUSED, "because same takes writes"),
    ([LATER], 1, guard.REFUSED, "later is on timeline 3 and this one on 2: another server was promoted since"),
    ([SILENT], 1, guard.UNKNOWN, "0 of 1 peers report that they are standbys, and 1 must (silent does not answer (refused))"),
    ([STANDBY, SILENT], 1, guard.MAY_START, "standby is a standby; silent does not answer"),
    ([STANDBY, SILENT], 2, guard.UNKNOWN, "1 of 2 peers"),
    ([STANDBY, answer("other")], 2, guard.MAY_START, "other is a standby"),
    # One that was demoted, and is read only, neither takes writes nor follows.
    ([FENCED], 1, guard.UNKNOWN, "fenced is read only"),
    ([STRANGER], 1, guard.UNKNOWN, "stranger is of the system identifier 8, and this server of 7"),
])
def test_who_takes_writes_keeps_it_away_and_who_says_nothing_proves_nothing(answers, needed, status, reported):
    found, why = guard.verdict(OWN, answers, needed)
    assert found == status and reported in why


def test_it_knows_the_lock_of_the_failover():
    assert guard.PROMOTION_LOCK == PROMOTION_LOCK and str(PROMOTION_LOCK) in guard.HOLD


@pytest.mark.parametrize(("changes", "why"), [
    ({"peers": []}, "name at least one of the peers"),
    ({"peers": [{"name": "db2"}]}, "each with name and host"),
    ({"unknown": "perhaps"}, "unknown has to be refuse or start"),
    ({"answers": 2}, "answers from 1 to the number of peers"),
    ({"more": 1}, "lacks these keys, or should not have them: more"),
])
def test_a_configuration_of_no_use_is_refused(tmp_path, changes, why):
    good = {"data_directory": "/x", "bin_dir": "/x", "user": "u", "database": "d", "sslmode": "prefer", "peers": [{"name": "db2", "host": "h"}], "answers": 1,
            "unknown": "refuse", "override": "/x", "wait_seconds": 1}
    path = tmp_path / "guard.json"
    path.write_text(json.dumps(good))
    assert guard.read_options(str(path)) == good
    path.write_text(json.dumps({**good, **changes}))
    with pytest.raises(guard.GuardError, match=why):
        guard.read_options(str(path))
