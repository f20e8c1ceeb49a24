# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""repmgr is believed by its exit status, and by what the servers say; what it says is shown."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.managers import repmgr as repmgr_manager
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.managers.repmgr import INCOMPLETE, Repmgr, RepmgrNode, RepmgrSwitchover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer_file import Server
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import Login, PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError


def saying(script: str) -> Repmgr:
    return Repmgr(["sh", "-c", script, "repmgr"])


def node(name: str, repmgr: Repmgr | None = None, recovering=()) -> RepmgrNode:
    """A server that is in recovery as long as there is something left in `recovering`."""
    made = RepmgrNode(name, Login(host=f"{name}.example"), Server(name, "5432"), repmgr)
    left = list(recovering)
    made.is_in_recovery = lambda: bool(left and left.pop())
    return made


def test_its_status_and_all_of_its_words_are_shown():
    assert saying("echo $*; echo 'nicht m\\366glich' >&2; exit 18").run("standby", "promote") == (18, "standby promote nicht m\ufffdglich")
    with pytest.raises(SwitchoverError, match="repmgr standby switchover --dry-run ended with 18: no"):
        saying("echo no; exit 18").require("standby", "switchover", "--dry-run")
    with pytest.raises(SwitchoverError, match=r"repmgr.command cannot be run"):
        Repmgr(["/nowhere/repmgr"]).run("node")
    with pytest.raises(SwitchoverError, match=r"has not ended within 0.1 s"):
        saying("sleep 1").run("node", seconds=0.1)


def test_a_command_of_another_host_is_refused():
    saying("""echo '"Node name","db2"'""").require_of(node("db2"))
    for script in ("""echo '"Node name","db3"'""", "true"):
        with pytest.raises(SwitchoverError, match="does not run on the host of db2"):
            saying(script).require_of(node("db2"))


@pytest.mark.parametrize(("status", "refuses", "warns"), [(0, False, False), (INCOMPLETE, False, True), (18, True, True), (1, True, True)])
def test_an_exchange_that_was_refused_is_told_from_one_that_is_incomplete(status, refuses, warns):
    window = RepmgrSwitchover(node("db1"), node("db2"), [], Limits(), saying(f"echo why; exit {status}"))
    assert (window._exchange() == f"repmgr ended with {status}: why") is refuses
    window._finish()
    assert bool(window.result.warnings) is warns
    assert not warns or "make db1 (db1.example:5432) a standby with repmgr node rejoin" in window.result.warnings[0]


def test_a_promotion_is_done_when_the_server_says_so_and_not_before(tmp_path):
    # It goes on to tell other standbys, which nobody waits for.
    reported = f"for i in $(seq 200); do test -e {tmp_path}/told && break; sleep 0.05; done; touch {tmp_path}/ended; echo late; exit 8"
    promoted = node("db2", saying(reported), recovering=[True, True])
    promoted.promote()
    assert not (tmp_path / "ended").exists() and promoted.failed == ""
    (tmp_path / "told").touch()
    promoted.wait_for_repmgr()
    assert "late" in promoted.failed
    with pytest.raises(PostgresqlError, match="repmgr standby promote --siblings-follow ended with 8: no") as raised:
        node("db2", saying("echo no; exit 8"), recovering=[True] * 1000).promote()
    assert raised.value.sqlstate == repmgr_manager.NOT_READY
    # Refused, because somebody else has promoted it.
    node("db2", saying("exit 8")).promote()
