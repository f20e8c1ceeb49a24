# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every roll, whatever its pools, limits, policy and luck. tests/simulation goes further: whole fleets, with a judge of its own."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy, resolve_count
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import BACK, FORWARD, OUTCOMES, Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import NAMED_STEPS, Member, split_into_steps
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.waves import waves

percents = st.integers(0, 100).map("{}%".format)
counts = st.integers(0, 6) | percents
steps = st.sampled_from(sorted(NAMED_STEPS.values(), key=str)) | st.lists(st.integers(1, 99), unique=True, max_size=3).map(
    lambda values: (*(f"{value}%" for value in sorted(values)), "100%"))
limits = st.builds(Limits, max_unavailable=counts, min_live=st.none() | percents, max_per_domain=st.none() | counts, steps=steps)
policies = st.builds(RunPolicy, max_failures=counts, on_failure=st.sampled_from(("stop", "skip", "rollback")), domains_at_once=st.none() | counts,
                     max_in_flight=st.none() | st.integers(1, 5))


EITHER = st.booleans()


@st.composite
def fleets(draw, in_traffic=EITHER) -> list[Member]:
    """One to three pools over the same few domains."""
    member = st.tuples(st.sampled_from((None, "east", "west", "north")), in_traffic, st.sampled_from((0.0, 5.0, 60.0)))
    return [
        Member(f"{pool}{index}", domain=domain, in_traffic=live, expected_s=expected, pool=pool)
        for pool in ("web", "app", "batch")[:draw(st.integers(1, 3))]
        for index, (domain, live, expected) in enumerate(draw(st.lists(member, min_size=1, max_size=9)))
    ]


@given(number=st.integers(0, 100), total=st.integers(0, 5000))
def test_percentages_are_exact(number, total):
    down, up = (resolve_count(f"{number}%", total, name="x", round_up=round_up) for round_up in (False, True))
    assert down == total * number // 100 and up == -(-total * number // 100)


@given(members=fleets(), steps=steps)
def test_every_member_is_in_one_step_and_no_step_is_larger_than_asked_for(members, steps):
    step_of = split_into_steps(members, steps)
    assert step_of.keys() == {member.name for member in members}
    for index, step in enumerate(steps):
        asked = min(len(members), resolve_count(step, len(members), name="steps", round_up=True))
        assert sum(1 for value in step_of.values() if value <= index) == asked


@given(members=fleets(in_traffic=st.just(True)))
def test_each_half_covers_every_domain_that_has_two_members(members):
    step_of = split_into_steps(members, NAMED_STEPS["half_pool"])
    for domain, size in Counter(member.domain for member in members).items():
        assert size < 2 or {step_of[member.name] for member in members if member.domain == domain} == {0, 1}


@given(members=fleets(), limits=limits, policy=policies)
def test_the_plan_names_every_member_once_or_says_why_not(members, limits, policy):
    predicted = waves(Schedule(members, limits, policy))
    named = [name for wave in predicted for name in wave["members"]]
    assert len(named) == len(set(named)) <= len(members)
    assert len(named) == len(members) or predicted[-1]["reason"]


@given(members=fleets(), limits=limits, policy=policies, data=st.data())
def test_a_healthy_fleet_that_may_lose_one_member_is_done(members, limits, policy, data):
    schedule = Schedule(members, limits, policy)
    if any(pool.floor >= pool.size for pool in schedule.pools.values()):
        return
    done = []
    while not schedule.done:
        for name in schedule.decide().start:
            schedule.started(name)
        done.append(data.draw(st.sampled_from(list(schedule.in_flight))))
        schedule.finished(done[-1], "ok")
    assert sorted(done) == sorted(member.name for member in members)


class Roll(RuleBasedStateMachine):
    """Any order of events that a controller and a fleet can bring about."""

    @initialize(members=fleets(), limits=limits, policy=policies)
    def begin(self, members, limits, policy):
        self.schedule = Schedule(members, limits, policy)
        self.limits = limits
        self.member = {member.name: member for member in members}
        self.live = {pool: set(queue.assumed_live()) for pool, queue in self.schedule.pools.items()}
        self.blind: dict[str, str] = {}
        self.starts: Counter[tuple[str, str]] = Counter()
        self.stopped = False

    @rule(how_many=st.integers(0, 12))
    def decide_and_start(self, how_many):
        schedule = self.schedule
        decision = schedule.decide({pool: frozenset(names) for pool, names in self.live.items()}, blind=self.blind)
        assert bool(decision.reason) != bool(decision.start)
        assert not decision.start or not (schedule.hold_reason or decision.stopped)
        assert not (self.stopped and decision.start)
        for name in decision.start[:how_many]:
            self.start(name, decision.direction)

    def start(self, name, direction):
        schedule, member = self.schedule, self.member[name]
        pool = schedule.pools[member.pool]
        assert member.pool not in self.blind
        assert all(schedule.step_of(other) >= schedule.step_of(name) for other in (*pool.waiting, *pool.in_flight))
        assert direction == FORWARD or schedule.outcome[name] == "ok"
        if name in self.live[member.pool]:
            assert len(self.live[member.pool] - pool.in_flight) - 1 >= pool.floor
        schedule.started(name)
        self.starts[name, direction] += 1

    @precondition(lambda self: self.schedule.in_flight)
    @rule(data=st.data(), outcome=st.sampled_from((*OUTCOMES, "ok", "ok")))
    def finish(self, data, outcome):
        name = data.draw(st.sampled_from(sorted(self.schedule.in_flight)))
        self.schedule.finished(name, outcome)
        live = self.live[self.member[name].pool]
        live.discard(name)
        live.update([name] if outcome == "ok" else [])

    @precondition(lambda self: self.schedule.pending_count)
    @rule(data=st.data())
    def lose_one_before_its_start(self, data):
        self.schedule.finished(data.draw(st.sampled_from(self.schedule.pending)), "lost")

    @rule(data=st.data())
    def falls_sick_or_recovers(self, data):
        name = data.draw(st.sampled_from(sorted(self.member)))
        self.live[self.member[name].pool] ^= {name}

    @rule(data=st.data())
    def goes_blind_or_sees_again(self, data):
        pool = data.draw(st.sampled_from(sorted(self.live)))
        self.blind = {} if pool in self.blind else {**self.blind, pool: "no answer"}

    @rule(reason=st.sampled_from(("", "paused")))
    def hold_or_go_on(self, reason):
        if reason:
            self.schedule.hold(reason)
        else:
            self.schedule.go_on()

    @precondition(lambda self: not self.schedule.goes_back)
    @rule(really=st.integers(0, 9))
    def abort(self, really):
        if not really:
            self.schedule.stop("aborted")
            self.stopped = True

    @invariant()
    def keeps_the_window_of_each_pool_and_of_the_run(self):
        schedule = self.schedule
        for pool in schedule.pools.values():
            assert len(pool.in_flight) <= pool.window
            for domain, busy in Counter(self.member[name].domain for name in pool.in_flight).items():
                size = sum(member.domain == domain and member.pool == pool.name for member in self.member.values())
                assert self.limits.max_per_domain is None or busy <= max(1, resolve_count(self.limits.max_per_domain, size, name="x"))
        busy_domains = {self.member[name].domain for name in schedule.in_flight}
        all_domains = len({member.domain for member in self.member.values()})
        at_once = schedule.policy.domains_at_once
        assert at_once is None or len(busy_domains) <= max(1, resolve_count(at_once, all_domains, name="x"))
        assert schedule.policy.max_in_flight is None or len(schedule.in_flight) <= schedule.policy.max_in_flight

    @invariant()
    def starts_nobody_twice_and_keeps_the_books(self):
        schedule = self.schedule
        assert max(self.starts.values(), default=1) == 1
        assert len(schedule.pending) == schedule.pending_count
        assert schedule.in_flight.keys() == {name for pool in schedule.pools.values() for name in pool.in_flight}
        assert not schedule.in_flight.keys() & set(schedule.pending)
        if schedule.direction == BACK:
            assert set(schedule.pending) <= {name for name, outcome in schedule.outcome.items() if outcome == "ok"}

    @invariant()
    def stops_when_the_budget_is_spent(self):
        schedule = self.schedule
        assert len(schedule.unsuccessful) <= schedule.budget or schedule.stop_reason


Roll.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestRoll = Roll.TestCase
