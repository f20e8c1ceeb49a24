# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DRAIN, MAINT, PAUSED, READY, UP, Backend, Member, View
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.views import StickyWatch, disagreements, lowest_live, members_down, view_as_data


def member(**facts):
    return Member(**{"address": "10.0.0.1:80", "admin": READY, "health": UP, "check": "L7OK", **facts})


def seen(lb1, lb2):
    """Two load balancers as data, each given as {backend: {member: Member}}."""
    return {
        name: view_as_data(f"tcp://{name}:1", View("2.8", {backend: Backend(members) for backend, members in backends.items()}))
        for name, backends in (("lb1", lb1), ("lb2", lb2))
    }


def test_a_view_is_plain_data():
    view = View("2.8", {"app": Backend({"s1": member(cookie="s1", sessions=2), "s2": member(admin=DRAIN)}, "SRV", ("r",))})
    assert view_as_data("tcp://lb1:1", view) == {
        "endpoint": "tcp://lb1:1",
        "version": "2.8",
        "backends": {"app": {"cookie_name": "SRV", "live": 1, "refusals": [], "risks": ["r"], "unproven": [], "drained_with": [], "members": {
            "s1": {"address": "10.0.0.1:80", "admin": "ready", "health": "up", "check": "L7OK", "check_code": None, "live": True, "sessions": 2, "queued": 0,
                   "arrivals": 0, "errors": None, "response_ms": None, "weight": 1, "cookie": "s1", "backup": False},
            "s2": {"address": "10.0.0.1:80", "admin": "drain", "health": "up", "check": "L7OK", "check_code": None, "live": False, "sessions": 0, "queued": 0,
                   "arrivals": 0, "errors": None, "response_ms": None, "weight": 1, "cookie": None, "backup": False},
        }}},
    }


def test_agents_are_among_the_risks():
    data = view_as_data("tcp://lb1:1", View("2.8", {"app": Backend({"s1": member(agent=True), "s2": member(), "s3": member(agent=True)}, None, ("r",))}))
    assert data["backends"]["app"]["risks"] == ["r", ("s1, s3 can be returned to traffic by an agent check while it is out: make the agent answer neither "
                                                "ready nor drain, or stop it until the run is over (disable agent)")]


def test_the_same_on_both_is_agreement():
    pool = {"app": {"s1": member(), "s2": member(admin=DRAIN)}}
    assert disagreements(seen(pool, pool)) == []


def test_sessions_are_no_disagreement():
    assert disagreements(seen({"app": {"s1": member(sessions=3)}}, {"app": {"s1": member(queued=1)}})) == []


def test_a_member_drained_on_one_load_balancer_only():
    """Fault 17."""
    assert disagreements(seen({"app": {"s1": member()}}, {"app": {"s1": member(admin=DRAIN)}})) == [
        "app/s1 is ready on lb1 but drain on lb2: bring it into one state with alwayson.upgrade.traffic_member"
    ]


def test_a_member_that_only_one_load_balancer_reaches():
    assert disagreements(seen({"app": {"s1": member()}}, {"app": {"s1": member(health="down", check="L4TOUT")}})) == [
        ("app/s1 takes traffic on lb1 but not on lb2: lb2 could not connect to 10.0.0.1:80 in time (L4TOUT); "
         "see whether the service listens there, and whether the network lets the load balancer through")
    ]


def test_a_member_that_answers_one_load_balancer_with_an_error_was_reached():
    """Nothing hinders the load balancer: the member's own answer does."""
    said, = disagreements(seen({"app": {"s1": member()}}, {"app": {"s1": member(health="down", check="L7STS", check_code=503)}}))
    assert said.startswith("app/s1 takes traffic on lb1 but not on lb2: lb2 reached 10.0.0.1:80, and its health check was answered with status 503 (L7STS); ")


SPARE = {"admin": MAINT, "health": PAUSED, "address": ""}


def test_a_spare_place_of_a_template_is_no_member():
    assert disagreements(seen({"app": {"s1": member(), "t1": member(**SPARE)}}, {"app": {"s1": member()}})) == []
    reported, = disagreements(seen({"app": {"t1": member(**SPARE)}}, {"app": {"t1": member()}}))
    assert reported == "app/t1 has no address on lb1, and one on lb2: see whether its name can be resolved there"


def test_who_is_down_and_would_get_traffic():
    views = seen({"app": {"s1": member(health="down"), "s2": member(), "s3": member(admin=DRAIN, health="down")}, "api": {"s1": member(health="down")}},
                 {"app": {"s2": member(health="stopping")}})
    assert members_down(views, ["app"]) == ["app/s1", "app/s2"] and members_down(views, ["app", "api", "none"]) == ["api/s1", "app/s1", "app/s2"]


def test_a_member_and_a_backend_that_only_one_load_balancer_has():
    assert disagreements(seen({"app": {"s1": member(), "s2": member()}, "api": {}}, {"app": {"s1": member()}})) == [
        "backend api is on lb1 but not on lb2: make their configurations the same",
        "member app/s2 is on lb1 but not on lb2: make their configurations the same",
    ]


def test_another_backend_does_not_matter_to_one():
    views = seen({"app": {"s1": member()}, "api": {}}, {"app": {"s1": member()}})
    assert disagreements(views, "app") == [] and disagreements(views) != []


def test_the_lowest_count_of_all_load_balancers_is_what_is_live():
    views = seen({"app": {"s1": member(), "s2": member()}, "api": {"s1": member()}}, {"app": {"s1": member(), "s2": member(admin=DRAIN)}})
    assert lowest_live(views) == {"app": 1, "api": 0}


# -- clients that keep coming

def watched(*samples):
    """Whether the watch over 40 s calls the drain vain at each (second, sessions, arrivals)."""
    watch = StickyWatch(begun=0.0, seconds=40.0)
    return [watch.in_vain(now, {"lb1": Backend({"s1": member(sessions=sessions, arrivals=arrivals)})}, ["s1"]) for now, sessions, arrivals in samples]


def test_clients_that_keep_coming_make_a_drain_vain_at_half_its_time():
    assert watched((0, 3, 50), (10, 3, 60), (19.9, 2, 70), (20, 2, 71)) == [False, False, False, True]


def test_one_long_session_does_not():
    assert watched((0, 1, 50), (10, 1, 50), (20, 1, 50), (39, 1, 50)) == [False] * 4


def test_clients_that_came_in_the_first_quarter_only_do_not():
    assert watched((0, 1, 50), (9, 1, 90), (10, 1, 90), (20, 1, 90)) == [False] * 4


def test_a_member_that_is_idle_right_now_is_not_given_up():
    assert watched((10, 1, 50), (20, 0, 60)) == [False, False]
