# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The coordinator and the agents of poolers: which are missing, which have exited, and which are released."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.coordinator import SEND_AWAY_SECONDS, PoolerAgents
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.pooler.pgbouncer import PoolerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._postgresql.switchover.advisory_signals import HELD, HOLD, COORDINATOR, LED, READY, of
from fake_load_balancer import Time


class Server:
    """Where signals are set: each from a second on."""

    def __init__(self, time, words, is_taken=False):
        self.time, self.words, self.is_taken, self.own = time, words, is_taken, []

    def signal(self, what):
        self.own.append(what)
        return not self.is_taken

    def signals(self, names):
        return {name for name in names if name in self.words and self.time.now >= self.words[name]}


def meet(words, is_taken=False, names=("b", "c"), patience=10.0):
    time = Time()
    began = time.now
    return PoolerAgents(names, patience, time.clock), Server(time, {word: began + after for word, after in words.items()}, is_taken), time, began


def test_all_are_waited_for_and_those_that_do_not_join_are_named():
    agents, server, time, began = meet({of(READY, "b"): 1, of(READY, "c"): 4})
    agents.gather(server)
    assert server.own == [COORDINATOR] and 4 <= time.now - began < 4.1
    agents, server, time, began = meet({of(READY, "b"): 1})
    with pytest.raises(PoolerError, match="no database_pooler joined for the poolers c within 10 s"):
        agents.gather(server)
    assert time.now - began >= 10


def test_a_second_coordinator_is_refused():
    agents, server, _time, _began = meet({of(READY, "b"): 0, of(READY, "c"): 0}, is_taken=True)
    with pytest.raises(PoolerError, match=r"another switchover to .* is in progress"):
        agents.gather(server)


def test_they_hold_when_all_do_and_one_that_has_gone_is_named():
    words = {of(READY, "b"): 0, of(READY, "c"): 0, of(HELD, "b"): 0}
    agents, server, _time, _began = meet(words)
    agents.hold(server)
    assert server.own == [HOLD] and not agents.are_holding(server)
    server.words[of(HELD, "c")] = 0
    assert agents.are_holding(server)
    del server.words[of(READY, "b")]
    with pytest.raises(PoolerError, match="the database_pooler of b has exited"):
        agents.are_holding(server)


def test_poolers_that_were_not_led_are_named_after_the_time_that_they_have():
    agents, server, time, began = meet({of(LED, "c"): 2})
    assert agents.not_led(server, 5.0) == ["b"] and time.now - began >= 5
    server.words[of(LED, "b")] = time.now + 1
    assert agents.not_led(server, 5.0) == [] and time.now - began < 7


def test_an_agent_that_joins_late_is_released_and_one_that_does_not_join_is_not_waited_for_long():
    agents, server, time, began = meet({of(READY, "b"): 0, of(READY, "c"): 3})
    agents.send_away(server)
    assert server.own == [COORDINATOR] and 3 <= time.now - began < SEND_AWAY_SECONDS
    agents, server, time, began = meet({})
    agents.send_away(server)
    assert time.now - began >= SEND_AWAY_SECONDS


def test_without_agents_there_is_no_signal_and_no_wait():
    agents, server, time, began = meet({}, names=())
    agents.gather(server)
    agents.hold(server)
    agents.send_away(server)
    assert agents.are_holding(server) and agents.not_led(server, 5.0) == [] and server.own == [] and time.now == began


def test_a_name_twice_is_refused():
    with pytest.raises(PoolerError, match="pooler_agents has a name twice: b, b"):
        PoolerAgents(["b", "b"])
