# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a switchover that did not get to its end is ended: with whom clients go on, for everything that can have become of the two servers."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PoolerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.session import PostgresqlError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.recovery import NEW, OLD, PATIENCE_SECONDS, READ_ONLY, recover
from fake_load_balancer import Time

PRIMARY, STANDBY, DEAD, SILENT = "primary", "standby", "dead", "silent"


class Node:
    """A server that is `state`, from the moment `later[0]` on `later[1]`."""

    def __init__(self, name, state, time, later=None):
        self.name = self.address = name
        self._state, self._time, self._later = state, time, later
        self.calls, self.is_claimed, self.streams = [], False, False

    @property
    def state(self):
        if self._later and self._time.now - self._time_zero() >= self._later[0]:
            return self._later[1]
        return self._state

    def _time_zero(self):
        self._zero = getattr(self, "_zero", self._time.now)
        return self._zero

    @contextlib.contextmanager
    def opened(self):
        if self.state in (DEAD, SILENT):
            raise PostgresqlError(f"{self.name} does not answer")
        yield self

    def is_in_recovery(self):
        return self.state == STANDBY

    def is_refusing(self):
        return self.state == DEAD

    def is_fed(self):
        return self.streams

    def claim_promotion(self):
        return not self.is_claimed

    def promote(self):
        self.calls.append("promote")
        self._state = PRIMARY

    def unfence(self):
        self.calls.append("unfence")


class Pooler:
    """Keeps what it is told; one that is broken gives no session, and a step may fail."""

    def __init__(self, is_broken=False, fails=""):
        self.calls, self.is_broken, self.fails = [], is_broken, fails

    def _do(self, step, reported):
        self.calls.append(reported)
        if step == self.fails:
            raise PoolerError(f"{step} fails")

    def point(self, old, new):
        self._do("point", f"{old} to {new}")

    @contextlib.contextmanager
    def opened(self):
        if self.is_broken:
            raise PoolerError("pooler is gone")
        yield self

    def follow(self):
        self._do("follow", "follow")

    def resume(self):
        self._do("resume", "resume")


def recovered(old, new, may_promote=False, poolers=None, is_claimed=False, streams=False, **known):
    """With whom clients go on, what was done to the servers, and what each pooler was told."""
    time = Time()
    nodes = [Node(name, *(state if isinstance(state, tuple) else (state,))[:1], time, state[1] if isinstance(state, tuple) else None)
             for name, state in (("db1", old), ("db2", new))]
    nodes[1].is_claimed, nodes[1].streams = is_claimed, streams
    began, poolers = time.now, poolers or [Pooler()]
    target, problems = recover(*nodes, poolers, may_promote, **known, steady=time.clock.steady, sleep=time.sleep)
    return target, [node.calls for node in nodes], [pooler.calls for pooler in poolers], problems, time.now - began


TO_OLD, TO_NEW = ["db2 to db1", "follow", "resume"], ["db1 to db2", "follow", "resume"]


@pytest.mark.parametrize("may_promote", [False, True])
@pytest.mark.parametrize(("old", "new", "target", "calls"), [
    (PRIMARY, STANDBY, OLD, [["unfence"], []]),
    (PRIMARY, PRIMARY, NEW, [[], []]),
    (DEAD, PRIMARY, NEW, [[], []]),
    (SILENT, PRIMARY, NEW, [[], []]),
    (PRIMARY, DEAD, OLD, [["unfence"], []]),
])
def test_clients_go_on_with_the_one_that_takes_writes_at_once(old, new, target, calls, may_promote):
    found = recovered(old, new, may_promote)
    assert found == (target, calls, [TO_OLD if target == OLD else TO_NEW], [], 0)


def test_a_standby_that_has_everything_follows_a_dead_primary_and_no_silent_one():
    assert recovered(DEAD, STANDBY, may_promote=True)[:3] == (NEW, [[], ["promote"]], [TO_NEW])
    target, calls, reported, _problems, seconds = recovered(SILENT, STANDBY, may_promote=True)
    assert (target, calls, reported) == (READ_ONLY, [[], []], [TO_NEW]) and seconds >= PATIENCE_SECONDS


def test_a_standby_is_not_promoted_while_the_guard_of_the_old_primary_lets_that_start():
    assert recovered((DEAD, (3.0, PRIMARY)), STANDBY, may_promote=True, is_claimed=True)[:3] == (OLD, [["unfence"], []], [TO_OLD])
    assert recovered(DEAD, STANDBY, may_promote=True, is_claimed=True)[:2] == (READ_ONLY, [[], []])


def test_a_standby_that_streams_is_not_promoted_although_connections_to_its_primary_are_refused():
    assert recovered(DEAD, STANDBY, may_promote=True, streams=True)[:2] == (READ_ONLY, [[], []])


def test_a_standby_that_may_lack_something_waits_for_the_primary_and_then_clients_only_read():
    assert recovered((DEAD, (3.0, PRIMARY)), STANDBY)[:3] == (OLD, [["unfence"], []], [TO_OLD])
    target, calls, reported, _problems, seconds = recovered(DEAD, STANDBY)
    assert (target, calls, reported) == (READ_ONLY, [[], []], [TO_NEW]) and seconds >= PATIENCE_SECONDS


def test_as_long_as_the_new_one_may_be_a_primary_nobody_goes_back_to_the_old_one():
    """It was told to be one, and does not answer: what it has become is not known."""
    assert recovered(PRIMARY, (SILENT, (2.0, PRIMARY)))[:3] == (NEW, [[], []], [TO_NEW])


def test_one_pooler_that_is_gone_does_not_keep_the_others():
    poolers = [Pooler(is_broken=True), Pooler()]
    _target, _calls, reported, problems, _seconds = recovered(DEAD, PRIMARY, poolers=poolers)
    assert reported == [["db1 to db2"], TO_NEW] and problems == ["pooler is gone"]


@pytest.mark.parametrize("step", ["point", "follow", "resume"])
def test_clients_are_resumed_whatever_becomes_of_their_way(step):
    _target, _calls, reported, problems, _seconds = recovered(DEAD, PRIMARY, poolers=[Pooler(fails=step)])
    assert reported == [TO_NEW] and problems == [f"{step} fails"]


def test_once_the_new_one_was_told_to_be_a_primary_nobody_goes_back():
    """Its promotion may come to its end at any moment, and then both would take writes."""
    assert recovered(PRIMARY, STANDBY, is_promoted=True)[:3] == (NEW, [[], ["promote"]], [TO_NEW])
    target, calls, reported, _problems, seconds = recovered(PRIMARY, DEAD, is_promoted=True)
    assert (target, calls, reported) == (READ_ONLY, [[], []], [TO_NEW]) and seconds >= PATIENCE_SECONDS


def test_a_fence_that_somebody_else_may_be_about_to_put_up_is_left_alone():
    assert recovered(PRIMARY, STANDBY, may_unfence=False)[:3] == (OLD, [[], []], [TO_OLD])
