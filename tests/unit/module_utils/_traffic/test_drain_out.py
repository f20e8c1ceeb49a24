# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import CUT, DRAIN, MAINT, READY, LoadBalancerError
from fake_load_balancer import BACKEND, House


@pytest.fixture
def house():
    return House()


def all_of(state):
    return [[state]] * 2


# -- the drain

def test_a_member_drains_and_then_goes_into_maintenance_on_every_load_balancer(house):
    house.lb2.servers["s1"].busy_until = house.time.now + 3
    result = house.do("drained", "s1")
    assert [balancer.lines for balancer in house.balancers] == [[{"s1": DRAIN}, {"s1": MAINT}]] * 2
    assert result.changed
    assert result.live == {"lb1": 5, "lb2": 5}
    proof = result.proof["lb2"]["s1"]
    assert (proof["before"], proof["after"], proof["sessions"], proof["queued"], proof["cut"]) == (READY, MAINT, 0, 0, 0)
    assert proof["waited_s"] >= 3
    assert result.started == 1_000_100 and result.finished >= result.started + 3


def test_maintenance_waits_for_every_load_balancer(house):
    """Two load balancers, drained on one: 73 of 6,978 requests failed."""
    house.lb2.servers["s1"].busy_until = house.time.now + 10
    maint_at = []
    house.lb1.on_apply = lambda balancer: maint_at.append(house.time.now)
    house.do("drained", "s1")
    assert len(maint_at) == 2 and maint_at[1] >= 110


def test_members_are_drained_together(house):
    house.do("drained", "s1", "s2", "s3")
    assert house.lb1.lines == [dict.fromkeys(("s1", "s2", "s3"), DRAIN), dict.fromkeys(("s1", "s2", "s3"), MAINT)]


def test_a_drained_member_is_proven_and_not_changed(house):
    house.set("s1", admin=MAINT)
    result = house.do("drained", "s1")
    assert not result.changed and house.lines == []
    assert result.proof["lb1"]["s1"]["sessions"] == 0
    assert result.before == result.after == {"lb1": {"s1": MAINT}, "lb2": {"s1": MAINT}}


def test_a_member_in_maintenance_is_waited_for_while_it_is_busy(house):
    house.set("s1", admin=MAINT, busy_until=house.time.now + 4)
    result = house.do("drained", "s1")
    assert not result.changed and house.time.now >= 104 and result.proof["lb2"]["s1"]["waited_s"] >= 4


def test_what_is_queued_counts_before_a_member_is_out(house):
    house.set("s1", queued_until=house.time.now + 2)
    house.do("drained", "s1")
    assert house.time.now >= 102


def test_a_half_drained_member_is_drained_where_it_is_not(house):
    house.lb1.servers["s1"].admin = MAINT
    house.lb2.servers["s1"].admin = DRAIN
    result = house.do("drained", "s1")
    assert house.lb1.lines == [] and house.lb2.lines == [{"s1": MAINT}]
    assert result.changed and result.before == {"lb1": {"s1": MAINT}, "lb2": {"s1": DRAIN}}


def test_clients_with_a_cookie_are_shut_out_by_maintenance(house):
    """Trap 1: drain lets them in, so it is never seen idle; the drain gives up on them at half of its time."""
    house.set("s1", sticky=True)
    result = house.do("drained", "s1", timeout=40)
    assert house.admin("s1") == all_of(MAINT)
    assert 120 <= house.time.now < 122
    assert result.proof["lb1"]["s1"]["sessions"] == 0


def test_one_long_session_is_waited_for_in_drain(house):
    """Unlike with sticky clients, maintenance would gain nothing: it stays in drain until the session ends."""
    house.set("s1", busy_until=house.time.now + 50)
    house.do("drained", "s1", timeout=60)
    assert house.time.now >= 150 and house.admin("s1") == all_of(MAINT)


def test_draining_starts_the_drain_and_does_not_wait(house):
    house.set("s1", busy_until=house.time.now + 1000)
    house.set("s2", admin=MAINT)
    result = house.do("draining", "s1", "s2")
    assert house.time.now == 100 and house.admin("s1", "s2") == [[DRAIN, MAINT]] * 2
    assert result.changed and result.proof["lb1"]["s1"]["sessions"] == 1
    assert not house.do("draining", "s1", "s2").changed


# -- a session that never ends

def test_on_timeout_rollback_puts_the_state_before_back_on_all(house):
    house.set("s2", admin=DRAIN)
    house.lb2.servers["s1"].busy_until = house.time.now + 1000
    with pytest.raises(TrafficError, match=r"app/s1 is not drained on lb2 \(in drain, 1 sessions, 0 queued\) after 60 s.*was restored on lb1, lb2"):
        house.do("drained", "s1", "s2")
    assert house.admin("s1", "s2") == [[READY, DRAIN]] * 2


def test_on_timeout_rollback_from_maintenance(house):
    house.set("s1", sticky=True, busy_until=house.time.now + 1000)
    with pytest.raises(TrafficError, match=r"in maint.*The previous state was restored on lb1, lb2"):
        house.do("drained", "s1")
    assert house.admin("s1") == all_of(READY)


def test_on_timeout_fail_leaves_the_same_state_on_all(house):
    house.lb1.servers["s1"].busy_until = house.time.now + 90
    with pytest.raises(TrafficError, match="The members keep this state: run this again to continue"):
        house.do("drained", "s1", on_timeout="fail")
    assert house.admin("s1") == all_of(DRAIN)
    assert house.do("drained", "s1", on_timeout="fail").changed, "the same request continues from there"
    assert house.admin("s1") == all_of(MAINT)


def test_on_timeout_cut_closes_what_is_open_and_says_so(house):
    house.lb2.servers["s1"].busy_until = house.time.now + 1000
    result = house.do("drained", "s1", on_timeout="cut")
    assert house.lb1.lines == [{"s1": DRAIN}, {"s1": MAINT}]
    assert house.lb2.lines == [{"s1": DRAIN}, {"s1": MAINT}, {"s1": CUT}], "cut in maintenance only, when nothing can come after it"
    assert (result.proof["lb1"]["s1"]["cut"], result.proof["lb2"]["s1"]["cut"]) == (0, 1)
    assert 160 <= house.time.now < 162


def test_sessions_that_survive_a_cut_are_a_failure(house):
    house.set("s1", busy_until=house.time.now + 1000, survives_cuts=True)
    with pytest.raises(TrafficError, match=r"still has sessions after they were closed.*The previous state was restored"):
        house.do("drained", "s1", on_timeout="cut")
    assert house.admin("s1") == all_of(READY)


# -- load balancers that fail

def test_an_unreachable_load_balancer_is_found_before_anything_is_changed(house):
    house.lb2.unreachable = True
    with pytest.raises(LoadBalancerError, match="lb2"):
        house.do("drained", "s1")
    assert house.lines == []


def test_lb2_lost_after_lb1_was_changed(house):
    house.lb2.on_apply = lambda balancer: setattr(balancer, "unreachable", True)
    with pytest.raises(TrafficError) as failure:
        house.do("drained", "s1")
    assert house.lb1.admin()["s1"] == READY
    message = str(failure.value)
    assert "The previous state was restored on lb1. lb2 could NOT be put back (lb2 (fake:lb2) cannot be reached)" in message
    assert message.endswith("run there: fakectl lb2 app s1=ready")


@pytest.mark.parametrize("lost_at_read", range(2, 8))
def test_lb2_lost_at_any_look_leaves_nothing_half_drained_on_lb1(house, lost_at_read):
    house.set("s1", busy_until=house.time.now + 0.3)
    house.lb2.on_read = lambda balancer: setattr(balancer, "unreachable", balancer.reads >= lost_at_read)
    with pytest.raises(TrafficError, match="lb2 could NOT be put back"):
        house.do("drained", "s1")
    assert house.lb1.admin()["s1"] == READY


def test_a_load_balancer_that_comes_back_in_time_is_put_back(house):
    def down_for_a_moment(balancer):
        balancer.unreachable = house.time.now < 100.9 and bool(balancer.lines)

    house.lb2.on_apply = house.lb2.on_read = down_for_a_moment
    house.set("s1", busy_until=200)
    with pytest.raises(TrafficError, match="The previous state was restored on lb1, lb2"):
        house.do("drained", "s1")
    assert house.admin("s1") == all_of(READY)


def test_a_change_that_is_not_seen_afterwards_is_a_failure(house):
    house.lb2.forgetful = True
    with pytest.raises(TrafficError, match=r"lb2 has app/s1 in ready although it was set to drain.*restored on lb1, lb2"):
        house.do("drained", "s1")
    assert house.admin("s1") == all_of(READY)


@pytest.mark.parametrize("lost_at_read", [2, 3, 4, 6])
def test_what_a_reload_loses_is_asked_for_again(house, lost_at_read):
    """The new process has read the state file before the last change was in it."""
    def reload(balancer):
        if balancer.reads == lost_at_read:
            balancer.reload(s1=READY)

    house.set("s1", busy_until=house.time.now + 0.2)
    house.lb1.on_read = reload
    result = house.do("drained", "s1")
    assert house.admin("s1") == all_of(MAINT) and result.proof["lb1"]["s1"]["sessions"] == 0
    assert house.lb1.reads > lost_at_read and len(house.lb1.lines) == 3 and len(house.lb2.lines) == 2


def test_what_a_reload_loses_again_and_again_is_an_error(house):
    def reload(balancer):
        if balancer.lines:
            balancer.reload(s1=READY)

    house.lb1.on_read = reload
    with pytest.raises(TrafficError, match="lb1 has app/s1 in ready although it was set to drain"):
        house.do("drained", "s1")
    assert house.lb2.admin()["s1"] == READY and len(house.lb1.lines) < 12


def test_a_drain_lost_on_the_way_is_noticed(house):
    """Fault 16: another one than this run brings it back, without a reload."""
    def forget(balancer):
        if house.time.now > 101:
            balancer.servers["s1"].admin = READY

    house.set("s1", busy_until=house.time.now + 5)
    house.lb1.on_read = forget
    with pytest.raises(TrafficError, match="lb1 has app/s1 in ready although it was set to drain"):
        house.do("drained", "s1")
    assert house.admin("s1") == all_of(READY)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interruption_puts_back_too(house, interruption):
    def interrupt(seconds):
        raise interruption

    house.set("s1", busy_until=200)
    clock = house.time.clock._replace(sleep=interrupt)
    with pytest.raises(interruption):
        apply(house.balancers, Request(BACKEND, ("s1",), "drained"), clock)
    assert house.lb1.lines == [{"s1": DRAIN}, {"s1": READY}] == house.lb2.lines


# -- bad input

@pytest.mark.parametrize(("state", "members", "options", "reason"), [
    ("drained", (), {}, "members is empty"),
    ("ready", ("s1", "s2"), {"out": ("s2", "s3")}, "s2 is in members and in out"),
    ("drained", ("s1",), {"out": ("s2",)}, "out goes with state=ready"),
    ("drained", ("s1",), {"min_live": -1}, "min_live is -1"),
    ("drained", ("s1",), {"timeout": -1.0}, "timeout is -1"),
])
def test_what_contradicts_itself_is_refused(house, state, members, options, reason):
    with pytest.raises(TrafficError, match=reason):
        house.do(state, *members, **options)
    assert house.lb1.reads == 0


@pytest.mark.parametrize(("members", "out"), [(("s1", "s9"), ()), (("s1",), ("s9",))])
def test_an_unknown_member_is_refused_before_anything_is_changed(house, members, out):
    with pytest.raises(LoadBalancerError, match=r"lb1 \(fake:lb1\) has no member s9 in app: it has s1, s2, s3, s4, s5, s6"):
        house.do("ready", *members, out=out)
    assert house.lines == []


def test_a_member_that_one_load_balancer_lacks_is_refused(house):
    del house.lb2.servers["s1"]
    with pytest.raises(LoadBalancerError, match=r"lb2 .* has no member s1"):
        house.do("drained", "s1")
    assert house.lines == []


# -- the floor

def test_the_floor_is_waited_for(house):
    house.lb2.servers["s6"].alive = False
    house.lb2.on_read = lambda balancer: setattr(balancer.servers["s6"], "alive", house.time.now > 110)
    house.do("drained", "s1", min_live=5)
    assert house.time.now > 110 and house.admin("s1") == all_of(MAINT)


def test_under_the_floor_is_refused_after_the_time(house):
    house.set("s6", alive=False)
    with pytest.raises(TrafficError, match=r"on lb1 4 other members are live besides s1, fewer than min_live=5, for 60 s now.*Nothing was changed"):
        house.do("drained", "s1", min_live=5)
    assert house.lines == []


def test_a_floor_above_the_pool_is_refused_at_once(house):
    with pytest.raises(TrafficError, match="lb1 has 5 members besides s1, which can never be min_live=6"):
        house.do("drained", "s1", min_live=6)
    assert house.time.now == 100 and house.lines == []


def test_all_members_of_a_request_count_against_the_floor(house):
    with pytest.raises(TrafficError, match="can never be min_live=5"):
        house.do("drained", "s1", "s2", min_live=5)
    house.do("drained", "s1", "s2", min_live=4)


@pytest.mark.parametrize("facts", [{"backup": True}, {"weight": 0}, {"alive": False}, {"admin": DRAIN}])
def test_what_takes_no_new_traffic_is_no_capacity(house, facts):
    house.set("s6", **facts)
    reported = "lb1 has 4 members besides s1, which can never be min_live=5" if "backup" in facts else "4 other members are live"
    with pytest.raises(TrafficError, match=reported):
        house.do("drained", "s1", min_live=5)


def test_a_member_that_takes_no_traffic_may_go_under_the_floor(house):
    for name in ("s1", "s2", "s3"):
        house.set(name, alive=False)
    assert house.do("drained", "s1", min_live=5).changed


def test_a_race_for_the_floor_is_seen_and_taken_back(house):
    """Somebody else drains s2 between the count and the drain: both would be right, together they are not."""
    def rival(balancer):
        if len(balancer.lines) == 0:
            balancer.servers["s2"].admin = DRAIN

    def rival_is_done(balancer):
        if house.time.now > 103:
            balancer.servers["s2"].admin = READY

    house.lb1.on_apply, house.lb1.on_read = rival, rival_is_done
    result = house.do("drained", "s1", min_live=5)
    assert house.lb1.lines[:2] == [{"s1": DRAIN}, {"s1": READY}], "taken back at once"
    assert house.lb2.lines[:2] == [{"s1": DRAIN}, {"s1": READY}]
    assert house.lb1.lines[-2:] == [{"s1": DRAIN}, {"s1": MAINT}]
    assert result.started > 1_000_103, "the drain that was taken back does not count"


def test_a_race_that_is_lost_for_good_changes_nothing(house):
    house.lb1.on_apply = lambda balancer: setattr(balancer.servers["s2"], "admin", DRAIN)
    with pytest.raises(TrafficError, match=r"fewer than min_live=5, for 60 s now.*Nothing was changed"):
        house.do("drained", "s1", min_live=5)
    assert house.admin("s1") == all_of(READY)


def test_a_drain_that_cannot_be_taken_back_is_reported(house):
    def rival_and_loss(balancer):
        balancer.unreachable = bool(balancer.lines)
        balancer.servers["s2"].admin = DRAIN

    house.lb1.on_apply = rival_and_loss
    with pytest.raises(TrafficError, match=r"min_live=5. lb1 could NOT be put back .*fakectl lb1 app s1=ready"):
        house.do("drained", "s1", min_live=5)
    assert house.lb2.admin()["s1"] == READY


def test_backups_never_make_up_for_members_that_leave(house):
    for name in ("s3", "s4", "s5", "s6"):
        house.set(name, backup=True)
    with pytest.raises(TrafficError, match="lb1 has 1 members besides s1, which can never be min_live=2"):
        house.do("drained", "s1", min_live=2)
    assert house.time.now == 100 and house.lines == []
    assert house.do("drained", "s1", min_live=1).live == {"lb1": 1, "lb2": 1}
