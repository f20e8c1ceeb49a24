# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last look before a promotion: whatever has changed since the first one keeps the standby a standby."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.failover import Failover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.planned import WRITERS_SECONDS, Switchover
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.run_lock import RunLockError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.window import Limits, SwitchoverError
from fake_load_balancer import Time


class Node:
    """A server. `writes` are the moments at which somebody commits past its fence."""

    def __init__(self, name, time, is_standby=False):
        self.name, self.address, self.time, self.is_standby, self.is_read_only, self.writes, self.is_promoted = name, name, time, is_standby, False, [], False

    def __str__(self):
        return self.name

    def is_in_recovery(self):
        self.time.now += 0.001
        return self.is_standby

    def fence(self):
        self.is_read_only = True

    def is_fenced(self):
        return self.is_read_only

    def end_of_log(self):
        self.time.now += 0.001
        return "0/1"

    def snapshot(self):
        self.time.now += 0.001
        return str(len([moment for moment in self.writes if moment <= self.time.now]))

    def writers(self):
        return []

    def has_replayed(self, lsn):
        return True

    def promote(self):
        self.is_promoted, self.is_standby = True, False

    def write(self):
        assert not self.is_standby

    def is_fed(self):
        return False


def switchover(**lock):
    time = Time()
    made = Switchover(Node("db1", time), Node("db2", time, is_standby=True), [], Limits(), clock=time.clock)
    made._began, made._lock.require_held = time.now, lambda: None
    return made, time


def test_the_standby_of_a_fenced_primary_is_promoted_and_has_taken_a_write():
    made, _time = switchover()
    made._act()
    assert made.new.is_promoted and list(made.result.steps) == ["paused", "fenced", "replayed", "promoted"]


def test_what_was_written_behind_the_end_of_the_log_is_waited_for():
    made, time = switchover()
    made.old.writes = [time.now + 0.003]
    made._act()
    assert made.new.is_promoted and made.old.snapshot() == "1" == made._seen


def test_a_writer_that_does_not_stop_has_it_taken_back():
    made, time = switchover()
    made.old.writes = [time.now + number / 1000 for number in range(10_000)]
    began = time.now
    with pytest.raises(SwitchoverError, match="db1 is written to although it is read only"):
        made._act()
    assert not made.new.is_promoted and not made._is_promoted and time.now - began < WRITERS_SECONDS + 1


@pytest.mark.parametrize(("change", "why"), [
    (lambda made, time: setattr(made.old, "is_read_only", False), "db1 was written to although it was read only, or no longer is"),
    (lambda made, time: setattr(made.old, "is_standby", True), "db1 was written to although it was read only, or no longer is"),
    (lambda made, time: made.old.writes.append(time.now), "db1 was written to although it was read only, or no longer is"),
    (lambda made, time: setattr(made.new, "is_standby", False), "db2 was promoted by another run or program"),
])
def test_whatever_changed_meanwhile_keeps_it_from_the_promotion(change, why):
    made, time = switchover()
    reached = made._reached
    made._reached = lambda step: (reached(step), step == "replayed" and change(made, time))
    with pytest.raises(SwitchoverError, match=why):
        made._act()
    assert not made.new.is_promoted and not made._is_promoted


def test_a_run_that_has_lost_its_lock_promotes_nobody():
    def lost():
        raise RunLockError("this run has lost its lock on db2")

    made, _time = switchover()
    made._lock.require_held = lost
    with pytest.raises(RunLockError):
        made._act()
    time = Time()
    other = Failover(Node("db1", time), Node("db2", time, is_standby=True), [], Limits(), clock=time.clock)
    other.is_lost, other._lock.require_held, other._began = True, lost, time.now
    with pytest.raises(RunLockError):
        other._act()
    assert not made.new.is_promoted and not other.new.is_promoted


def test_a_primary_that_refuses_connections_is_dead_only_if_its_standby_receives_nothing():
    time = Time()
    failover = Failover(Node("db1", time), Node("db2", time, is_standby=True), [], Limits(), clock=time.clock)
    failover.old.is_refusing = lambda: True
    failover._require_dead()
    failover.new.is_fed = lambda: True
    with pytest.raises(SwitchoverError, match="db2 still streams from its primary, so db1 is alive"):
        failover._require_dead()
