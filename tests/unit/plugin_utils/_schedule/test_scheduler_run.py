# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens while a roll is under way: failures, the way back, the operator, deadlines, load balancers that do not answer, resume."""

from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits, RunPolicy, ScheduleError
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import BACK, FORWARD, Decision, Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import Member

WIDE = Limits(max_unavailable="100%")


def pool(count: int, domains: int = 1, name: str = "app") -> list[Member]:
    return [Member(f"{name}{n}", f"zone{(n - 1) % domains}", pool=name) for n in range(1, count + 1)]


def roll(schedule: Schedule, **outcomes: str) -> Schedule:
    """Start and finish these members one after the other."""
    for name, outcome in outcomes.items():
        schedule.started(name)
        schedule.finished(name, outcome)
    return schedule


# -- failures


def test_the_budget_is_one_for_all_pools():
    schedule = Schedule([*pool(3), *pool(3, name="web")], WIDE, RunPolicy(max_failures=1))
    assert not roll(schedule, app1="failed").decide().stopped
    decision = roll(schedule, web1="lost").decide()
    assert decision.stopped and decision.reason == "app1 failed, web1 was lost; rolling_max_failures allows 1"


def test_a_percentage_of_failures_is_of_all_members_and_rounds_down():
    schedule = Schedule([*pool(5), *pool(4, name="web")], WIDE, RunPolicy(max_failures="25%"))
    assert schedule.budget == 2


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(ScheduleError, match="rolling_on_failure is 'retry': give one of stop, skip, rollback"):
        Schedule(pool(2), WIDE, RunPolicy(on_failure="retry"))


def test_those_in_flight_are_finished_after_a_stop():
    schedule = Schedule(pool(4), WIDE)
    schedule.started("app1")
    schedule.started("app2")
    schedule.finished("app1", "failed")
    assert schedule.decide().stopped and not schedule.done
    schedule.finished("app2", "ok")
    assert schedule.done and schedule.outcome == {"app1": "failed", "app2": "ok"} and schedule.pending == ["app3", "app4"]


@pytest.mark.parametrize("policy", [RunPolicy(on_failure="skip"), RunPolicy(max_failures=5), RunPolicy(max_failures="100%")])
def test_when_nobody_of_a_step_succeeds_no_later_step_starts_whatever_the_budget(policy):
    schedule = Schedule(pool(6), Limits(max_unavailable=2, min_live=0, steps=(2, "100%")), policy)
    assert not roll(schedule, app1="failed").decide().stopped
    decision = roll(schedule, app2="lost").decide()
    assert decision.stopped and decision.reason == "no member of step 1 of app succeeded (app1 failed, app2 was lost)"


def test_a_pool_whose_last_step_failed_keeps_nobody_of_another_pool():
    members = [Member("db1", pool="db"), Member("app1", pool="app"), Member("app2", pool="app")]
    schedule = Schedule(members, Limits(), RunPolicy(on_failure="skip"))
    assert schedule.decide().start == ("db1", "app1")
    assert not roll(schedule, db1="failed", app1="ok").decide().stopped
    assert schedule.decide().start == ("app2",)


def test_one_success_lets_the_next_step_start():
    schedule = Schedule(pool(6), Limits(max_unavailable=2, min_live=0, steps=(2, "100%")), RunPolicy(on_failure="skip"))
    assert roll(schedule, app1="failed", app2="ok").decide().start == ("app3", "app4")


def test_a_member_lost_before_the_start_never_starts_and_spends_the_budget():
    schedule = Schedule(pool(4), Limits(max_unavailable=2), RunPolicy(max_failures=1))
    schedule.finished("app1", "lost")
    assert schedule.pending == ["app2", "app3", "app4"] and schedule.unsuccessful == ["app1"]
    assert schedule.decide().start == ("app2",), "the lost member is not live, so only one more may leave"
    with pytest.raises(ScheduleError, match="app1 is not waiting to start"):
        schedule.started("app1")


def test_a_failed_member_is_not_live_until_the_load_balancers_say_so():
    schedule = roll(Schedule(pool(4), Limits(max_unavailable=2), RunPolicy(max_failures=1)), app1="failed")
    assert schedule.decide().start == ("app2",)
    assert schedule.decide({"app": frozenset({"app1", "app2", "app3", "app4"})}).start == ("app2", "app3")


def test_nobody_starts_or_finishes_twice():
    schedule = roll(Schedule(pool(2), WIDE), app1="ok")
    with pytest.raises(ScheduleError, match="app1 is not waiting"):
        schedule.started("app1")
    with pytest.raises(ScheduleError, match="app1 is done already: ok"):
        schedule.finished("app1", "lost")
    assert roll(schedule, app2="ok").done


def test_an_outcome_that_is_none_is_refused():
    with pytest.raises(ScheduleError, match="outcome of app1 is 'good'"):
        Schedule(pool(1), WIDE).finished("app1", "good")


# -- the way back


def failed_at_the_fourth(**changes) -> Schedule:
    schedule = Schedule(pool(6, 2), Limits(max_unavailable=2, min_live=3, **changes), RunPolicy(on_failure="rollback"))
    return roll(schedule, app1="ok", app3="ok", app5="ok", app2="failed")


def test_the_upgraded_members_return_the_last_one_first_and_those_who_wait_stay():
    schedule = failed_at_the_fourth()
    assert not schedule.done
    decision = schedule.decide()
    assert (decision.start, decision.direction, decision.stopped) == (("app5", "app3"), BACK, False)
    roll(schedule, app5="ok", app3="ok")
    assert roll(schedule, app1="ok").done
    assert schedule.outcome == {"app1": "returned", "app3": "returned", "app5": "returned", "app2": "failed"}
    assert schedule.stop_reason == "app2 failed; rolling_max_failures allows 0"


def test_the_way_back_is_in_reverse_over_the_domains_too():
    schedule = Schedule(pool(4, 2), Limits(max_unavailable=4, min_live=0), RunPolicy(on_failure="rollback"))
    roll(schedule, app1="ok", app2="ok", app3="ok", app4="failed")
    assert schedule.decide().start == ("app3", "app2", "app1")


def test_the_way_back_waits_for_those_in_flight_and_takes_them_along():
    schedule = Schedule(pool(4), WIDE, RunPolicy(on_failure="rollback"))
    for name in ("app1", "app2"):
        schedule.started(name)
    schedule.finished("app1", "failed")
    waiting = schedule.decide()
    assert (waiting.start, waiting.direction, waiting.stopped) == ((), FORWARD, False) and "app1 failed" in waiting.reason
    schedule.finished("app2", "ok")
    assert schedule.decide().start == ("app2",) and schedule.direction == BACK


def test_the_way_back_keeps_the_floor():
    schedule = failed_at_the_fourth()
    seen = frozenset({"app1", "app3", "app4", "app6"})
    assert schedule.decide({"app": seen}).start == ("app5", "app3"), "app5 is out of traffic and costs nothing"
    none = failed_at_the_fourth().decide({"app": frozenset({"app1", "app3", "app5"})})
    assert none.start == () and "floor of 3" in none.reason and not none.stopped


def test_the_way_back_waits_when_the_failed_member_uses_up_what_may_be_unavailable():
    schedule = roll(Schedule(pool(6), Limits(), RunPolicy(on_failure="rollback")), app1="ok", app2="failed")
    decision = schedule.decide()
    assert (decision.start, decision.stopped, decision.direction, schedule.done) == ((), False, BACK, False) and "the floor of 5" in decision.reason
    assert schedule.decide({"app": frozenset(member.name for member in pool(6))}).start == ("app1",), "the failed one is back in traffic"


@pytest.mark.parametrize("outcome", ["failed", "lost"])
def test_a_failure_on_the_way_back_ends_it(outcome):
    schedule = failed_at_the_fourth()
    schedule.decide()
    decision = roll(schedule, app5=outcome).decide()
    assert decision.stopped and decision.direction == BACK and "app5" in decision.reason and "during the rollback" in decision.reason
    assert schedule.done and schedule.outcome["app5"] == outcome and schedule.outcome["app3"] == "ok"


def test_a_stop_on_the_way_back_ends_it():
    schedule = failed_at_the_fourth()
    schedule.decide()
    schedule.stop("the operator says so")
    assert schedule.decide() == Decision((), "the operator says so", stopped=True, direction=BACK)


def test_a_stop_before_the_turn_keeps_the_upgraded_where_they_are():
    schedule = Schedule(pool(4), WIDE, RunPolicy(on_failure="rollback"))
    roll(schedule, app1="ok").started("app2")
    roll(schedule, app3="failed").stop("the operator says so")
    schedule.finished("app2", "ok")
    decision = schedule.decide()
    assert decision.stopped and decision.direction == FORWARD and decision.reason == "app3 failed; rolling_max_failures allows 0; the operator says so"
    assert schedule.done


def test_the_operators_abort_turns_nobody_back():
    schedule = roll(Schedule(pool(4), WIDE, RunPolicy(on_failure="rollback")), app1="ok")
    schedule.stop("aborted")
    roll(schedule, app2="failed")
    assert schedule.decide().stopped and schedule.decide().reason == "aborted" and schedule.done


def test_with_nobody_upgraded_there_is_no_way_back():
    schedule = roll(Schedule(pool(4), WIDE, RunPolicy(on_failure="rollback")), app1="failed")
    decision = schedule.decide()
    assert decision.stopped and decision.direction == FORWARD and "app1 failed" in decision.reason and schedule.done


def test_the_roll_tells_its_window_again_on_the_way_back():
    schedule = failed_at_the_fourth()
    for name in schedule.decide().start:
        schedule.started(name)
    assert schedule.decide().reason == "2 members of app are in flight; rolling_max_unavailable allows 2"


# -- the operator, deadlines


def test_hold_and_go_on():
    schedule = Schedule(pool(3), Limits())
    schedule.hold("paused by the operator")
    assert (schedule.decide().start, schedule.decide().reason, schedule.done) == ((), "paused by the operator", False)
    schedule.go_on()
    assert schedule.decide().start == ("app1",)


def test_a_stop_before_the_start_and_the_first_reason_stays():
    schedule = Schedule(pool(3), Limits())
    schedule.stop("first")
    schedule.stop("second")
    assert schedule.decide().reason == "first" and schedule.done and schedule.pending == ["app1", "app2", "app3"]


def test_a_hold_does_not_hide_a_stop():
    schedule = Schedule(pool(3), Limits())
    schedule.hold("paused")
    schedule.stop("aborted")
    assert schedule.decide().stopped and schedule.decide().reason == "aborted"


def test_overdue_members_are_named_and_may_get_time_for_their_rescue():
    schedule = Schedule(pool(3), WIDE, RunPolicy(member_timeout=60))
    schedule.started("app1", 0.0)
    schedule.started("app2", 30.0)
    assert (schedule.overdue(60.0), schedule.overdue(60.5), schedule.overdue(91.0)) == ([], ["app1"], ["app1", "app2"])
    schedule.extended("app1", 61.0)
    assert schedule.overdue(91.0) == ["app2"]
    assert Schedule(pool(1), WIDE).overdue(1e9) == []


def test_the_deadline_on_progress_stops_the_roll():
    schedule = Schedule(pool(3), Limits(max_unavailable=2), RunPolicy(progress_deadline=100))
    assert not schedule.decide(now=1000.0).stopped, "nobody is in flight"
    schedule.started("app1", 0.0)
    schedule.started("app2", 50.0)
    assert not schedule.decide(now=150.0).stopped
    schedule.finished("app1", "ok", 120.0)
    assert not schedule.decide(now=220.0).stopped
    decision = schedule.decide(now=221.0)
    assert decision.stopped and decision.reason == "no member has finished for 101 s; rolling_progress_deadline allows 100"


# -- what cannot be seen, and resume


def test_nobody_of_a_pool_starts_whose_load_balancers_cannot_be_read():
    schedule = Schedule([*pool(2), *pool(2, name="web")], Limits())
    assert schedule.decide(blind={"web": "lb2 does not answer"}).start == ("app1",)
    both = schedule.decide(blind={"web": "lb2 does not answer", "app": "lb1 does not answer"})
    assert both.start == () and not both.stopped
    assert both.reason == ("live capacity of web cannot be read, so no member starts: lb2 does not answer; "
                           "live capacity of app cannot be read, so no member starts: lb1 does not answer")


def test_members_in_flight_of_a_blind_pool_still_count_for_the_run():
    schedule = Schedule([*pool(2), *pool(2, name="web")], Limits(), RunPolicy(max_in_flight=1))
    schedule.started("web1")
    assert "the controller serves 1" in schedule.decide(blind={"web": "no answer"}).reason


def test_only_the_pending_are_done_and_the_others_count_as_capacity():
    members = [Member("app1", in_traffic=True), Member("app2", in_traffic=False), Member("app3"), Member("app4")]
    schedule = Schedule(members, Limits(max_unavailable=2), pending=["app2", "app4"])
    assert schedule.pending == ["app2", "app4"] and schedule.decide().start == ("app2", "app4")
    assert roll(schedule, app2="ok", app4="ok").done


def test_a_run_with_nothing_to_do_is_done_at_once():
    schedule = Schedule(pool(3), Limits(), pending=[])
    assert schedule.done and schedule.decide().reason == "every member has started"


def test_a_pending_name_that_no_pool_has_is_refused():
    with pytest.raises(ScheduleError, match="app9 is to be done, but no pool has it"):
        Schedule(pool(3), Limits(), pending=["app1", "app9"])
