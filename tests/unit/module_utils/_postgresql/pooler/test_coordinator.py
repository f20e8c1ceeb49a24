# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a leader hears of its companions: who is missing, who has gone, and whom it sends away."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.coordinator import SEND_AWAY_SECONDS, Companions
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PoolerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.advisory_signals import HELD, HOLD, LEADER, LED, READY, of
from fake_load_balancer import Time


class Server:
    """Where words are said: each from a second on."""

    def __init__(self, time, words, is_taken=False):
        self.time, self.words, self.is_taken, self.own = time, words, is_taken, []

    def say(self, what):
        self.own.append(what)
        return not self.is_taken

    def said(self, words):
        return {word for word in words if word in self.words and self.time.now >= self.words[word]}


def meet(words, is_taken=False, names=("b", "c"), patience=10.0):
    time = Time()
    began = time.now
    return Companions(names, patience, time.clock), Server(time, {word: began + after for word, after in words.items()}, is_taken), time, began


def test_all_are_waited_for_and_who_does_not_come_is_named():
    companions, server, time, began = meet({of(READY, "b"): 1, of(READY, "c"): 4})
    companions.gather(server)
    assert server.own == [LEADER] and 4 <= time.now - began < 4.1
    companions, server, time, began = meet({of(READY, "b"): 1})
    with pytest.raises(PoolerError, match="nobody has come for the poolers c within 10 s"):
        companions.gather(server)
    assert time.now - began >= 10


def test_a_second_leader_is_refused():
    companions, server, _time, _began = meet({of(READY, "b"): 0, of(READY, "c"): 0}, is_taken=True)
    with pytest.raises(PoolerError, match="another switchover to .* is under way"):
        companions.gather(server)


def test_they_hold_when_all_do_and_one_that_has_gone_is_named():
    words = {of(READY, "b"): 0, of(READY, "c"): 0, of(HELD, "b"): 0}
    companions, server, _time, _began = meet(words)
    companions.hold(server)
    assert server.own == [HOLD] and not companions.are_holding(server)
    server.words[of(HELD, "c")] = 0
    assert companions.are_holding(server)
    del server.words[of(READY, "b")]
    with pytest.raises(PoolerError, match="whoever held the clients of b has gone"):
        companions.are_holding(server)


def test_poolers_that_were_not_led_are_named_after_the_time_that_they_have():
    companions, server, time, began = meet({of(LED, "c"): 2})
    assert companions.not_led(server, 5.0) == ["b"] and time.now - began >= 5
    server.words[of(LED, "b")] = time.now + 1
    assert companions.not_led(server, 5.0) == [] and time.now - began < 7


def test_who_comes_late_is_told_that_nothing_is_begun_and_who_does_not_come_is_not_waited_for_long():
    companions, server, time, began = meet({of(READY, "b"): 0, of(READY, "c"): 3})
    companions.send_away(server)
    assert server.own == [LEADER] and 3 <= time.now - began < SEND_AWAY_SECONDS
    companions, server, time, began = meet({})
    companions.send_away(server)
    assert time.now - began >= SEND_AWAY_SECONDS


def test_without_companions_nothing_is_said_and_nobody_waited_for():
    companions, server, time, began = meet({}, names=())
    companions.gather(server)
    companions.hold(server)
    companions.send_away(server)
    assert companions.are_holding(server) and companions.not_led(server, 5.0) == [] and server.own == [] and time.now == began


def test_a_name_twice_is_refused():
    with pytest.raises(PoolerError, match="companions has a name twice: b, b"):
        Companions(["b", "b"])
