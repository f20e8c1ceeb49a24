# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from the views of the load balancers: as data, where they disagree, what to change, what the floor allows. Pure.

`Pools` is one backend as every load balancer sees it, by the load balancer's name. `Changes` says what to ask of each
member, by load balancer; a load balancer without anything to change is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .interface import CUT, DRAIN, MAINT, READY, RECHECK, Backend, Member, View
from .not_live import has_address, is_down, is_spare, why_not_live

Word = TypeVar("Word")
Pools = Mapping[str, Backend]
Changes = Mapping[str, Mapping[str, str]]

DRAINED, DRAINING, CHECKED = "drained", "draining", "checked"
STATES = (DRAINED, DRAINING, CHECKED, READY)

# The parts of the time for a drain after which clients that keep coming are looked for, and are given up on.
_WATCH_AFTER, _GIVE_UP_AFTER = 0.25, 0.5


# -- as data

def view_as_data(endpoint: str, view: View) -> dict[str, Any]:
    """A view as plain data: ``{endpoint, version, backends: {backend: {cookie_name, live, refusals, risks, unproven, drained_with, members}}}``."""
    return {
        "endpoint": endpoint,
        "version": view.version,
        "backends": {
            name: {
                "cookie_name": backend.cookie_name,
                "live": backend.live,
                "refusals": list(backend.refusals),
                "risks": [*backend.warnings, *_risks_of_agents(backend)],
                "unproven": list(backend.unproven),
                "drained_with": list(backend.drained_with),
                "members": {server: _member_as_data(member) for server, member in backend.members.items()},
            }
            for name, backend in view.backends.items()
        },
    }


def _risks_of_agents(backend: Backend) -> list[str]:
    names = ", ".join(name for name, member in backend.members.items() if member.agent)
    return [(f"{names} can be returned to traffic by an agent check while it is out: make the agent answer neither ready nor drain, or stop it until the "
             "run is over (disable agent)")] if names else []


def _member_as_data(member: Member) -> dict[str, Any]:
    names = ("address", "admin", "health", "check", "check_code", "live", "sessions", "queued", "arrivals", "errors", "response_ms", "weight", "cookie",
             "backup")
    return {name: getattr(member, name) for name in names}


def lowest_live(load_balancers: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """For each backend, the live members on the load balancer that has the fewest; none where it is not known."""
    names = sorted({backend for balancer in load_balancers.values() for backend in balancer["backends"]})
    return {name: min(balancer["backends"].get(name, {"live": 0})["live"] for balancer in load_balancers.values()) for name in names}


def disagreements(load_balancers: Mapping[str, Mapping[str, Any]], backend: str | None = None) -> list[str]:
    """One sentence for each thing that the load balancers (as data, by name) see differently: backends, members, their states.

    With `backend`, what they think of other backends does not matter.
    """
    names = sorted({name for balancer in load_balancers.values() for name in balancer["backends"] if backend in (None, name)})
    sentences = []
    for name in names:
        pools = {balancer: data["backends"][name]["members"] for balancer, data in load_balancers.items() if name in data["backends"]}
        sentences += _missing(f"backend {name}", load_balancers, pools)
        for server in sorted({server for members in pools.values() for server in members}):
            seen = {balancer: members[server] for balancer, members in pools.items() if server in members}
            if not all(map(is_spare, seen.values())):
                sentences += _missing(f"member {name}/{server}", pools, seen) or _contradiction(f"{name}/{server}", seen)
    return sentences


def _missing(what: str, expected: Iterable[str], found: Iterable[str]) -> list[str]:
    absent = [name for name in expected if name not in found]
    if not absent:
        return []
    return [f"{what} is on {', '.join(found)} but not on {', '.join(absent)}: make their configurations the same"]


def _contradiction(what: str, seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How the load balancers differ on one member: first whether it has an address, and its administrative state, then whether it takes traffic."""
    without = [balancer for balancer, member in seen.items() if not has_address(member)]
    if without and len(without) < len(seen):
        return [(f"{what} has no address on {', '.join(without)}, and one on {', '.join(name for name in seen if name not in without)}: "
                 "see whether its name can be resolved there")]
    admin = _grouped({balancer: member["admin"] for balancer, member in seen.items()})
    if len(admin) > 1:
        states = " but ".join(f"{word} on {', '.join(names)}" for word, names in admin.items())
        return [f"{what} is {states}: bring it into one state with alwayson.upgrade.traffic_member"]
    live = _grouped({balancer: member["live"] for balancer, member in seen.items()})
    if len(live) > 1:
        why = ". ".join(why_not_live(balancer, seen[balancer]) for balancer in live[False])
        return [f"{what} takes traffic on {', '.join(live[True])} but not on {', '.join(live[False])}: {why}"]
    return []


def members_down(load_balancers: Mapping[str, Mapping[str, Any]], backends: Iterable[str]) -> list[str]:
    """``backend/member`` of those in these backends that some load balancer would send traffic to if its health check passed."""
    return sorted({f"{name}/{server}" for balancer in load_balancers.values() for name in backends if name in balancer["backends"]
                   for server, member in balancer["backends"][name]["members"].items() if is_down(member)})


def _grouped(words: Mapping[str, Word]) -> dict[Word, list[str]]:
    groups: dict[Word, list[str]] = {}
    for name, word in words.items():
        groups.setdefault(word, []).append(name)
    return groups


def admin_states(pools: Pools, members: Iterable[str]) -> dict[str, dict[str, str]]:
    """The administrative state of these members, by load balancer."""
    return {balancer: {name: pool.members[name].admin for name in members} for balancer, pool in pools.items()}


# -- what to change

def drain_changes(pools: Pools, members: Iterable[str]) -> Changes:
    """Let no new clients in where they get in."""
    return _changes(pools, members, {READY: DRAIN})


def maint_changes(pools: Pools, members: Iterable[str]) -> Changes:
    """Shut out the bound clients too."""
    return _changes(pools, members, {READY: MAINT, DRAIN: MAINT})


def check_changes(pools: Pools, members: Iterable[str]) -> Changes:
    """Out of maintenance, with a recheck where there is a health check to pass."""
    return {
        balancer: {name: RECHECK if pools[balancer].members[name].probed else DRAIN for name in names}
        for balancer, names in _changes(pools, members, {MAINT: DRAIN}).items()
    }


def ready_changes(pools: Pools, members: Iterable[str], out: Iterable[str] = ()) -> Changes:
    """Let the members' traffic in, and in the same moment none but bound clients to those that go out."""
    coming, going = _changes(pools, members, {DRAIN: READY, MAINT: READY}), drain_changes(pools, out)
    both = {balancer: {**coming.get(balancer, {}), **going.get(balancer, {})} for balancer in pools}
    return {balancer: changes for balancer, changes in both.items() if changes}


def cut_changes(pools: Pools, members: Sequence[str]) -> Changes:
    """Close the sessions that are still open."""
    busy = {balancer: {name: CUT for name in members if pool.members[name].sessions} for balancer, pool in pools.items()}
    return {balancer: changes for balancer, changes in busy.items() if changes}


def states_after(pools: Pools, state: str, members: Iterable[str], out: Iterable[str]) -> dict[str, dict[str, str]]:
    """The administrative states that reaching `state` would end in, by load balancer."""
    ends = {DRAINED: {READY: MAINT, DRAIN: MAINT}, DRAINING: {READY: DRAIN}, CHECKED: {MAINT: DRAIN}, READY: {DRAIN: READY, MAINT: READY}}[state]
    return {
        balancer: {
            **{name: ends.get(pool.members[name].admin, pool.members[name].admin) for name in members},
            **{name: DRAIN if pool.members[name].admin == READY else pool.members[name].admin for name in out},
        }
        for balancer, pool in pools.items()
    }


def _changes(pools: Pools, members: Iterable[str], targets: Mapping[str, str]) -> Changes:
    members = list(members)
    wanted = {
        balancer: {name: targets[pool.members[name].admin] for name in members if pool.members[name].admin in targets}
        for balancer, pool in pools.items()
    }
    return {balancer: changes for balancer, changes in wanted.items() if changes}


# -- the floor

def capacity_leaving(pools: Pools, changes: Changes) -> dict[str, list[str]]:
    """The live members that the changes take out of traffic, by load balancer. One that is not live costs nothing."""
    leaving = {balancer: [name for name in names if pools[balancer].members[name].live] for balancer, names in changes.items()}
    return {balancer: names for balancer, names in leaving.items() if names}


def short_of_floor(pools: Pools, leaving: Mapping[str, Sequence[str]], floor: int) -> str:
    """Why the members in `leaving` may not be out of traffic (or may not stay out), or an empty string."""
    for balancer, names in leaving.items():
        others = sum(member.live for name, member in pools[balancer].members.items() if name not in names)
        if others < floor:
            return f"on {balancer} {others} other members are live besides {', '.join(names)}, fewer than min_live={floor}"
    return ""


def ends_in_panic(pools: Pools, coming: Iterable[str], going: Iterable[str]) -> str:
    """Why a load balancer would send to drained members when those that go are out and those that come are in, or an empty string."""
    coming, going = set(coming), set(going)
    for balancer, pool in pools.items():
        counted = {name: member for name, member in pool.members.items() if not member.backup}
        live = sum((member.live or name in coming) and name not in going for name, member in counted.items())
        if 100.0 * live < pool.panic_percent * len(counted):
            return (f"with {', '.join(sorted(going))} out, {live} of {len(counted)} members on {balancer} are healthy, fewer than its panic threshold of "
                    f"{pool.panic_percent:g} %, so it sends to all of them, drained ones too: take out fewer at once, or set the threshold to 0")
    return ""


def never_above_floor(pools: Pools, leaving: Mapping[str, Sequence[str]], floor: int) -> str:
    """Why waiting cannot help: the pool without `leaving` is smaller than the floor, since backups are never live. Or an empty string."""
    for balancer, names in leaving.items():
        others = sum(not member.backup for name, member in pools[balancer].members.items() if name not in names)
        if others < floor:
            return f"{balancer} has {others} members besides {', '.join(names)}, which can never be min_live={floor}: lower it or add members"
    return ""


# -- clients that are bound to a member

class StickyWatch:
    """Detects that a drain cannot end, because clients that are bound to a member by a cookie keep coming.

    Drain lets them in, so under load their sessions may never be seen at zero; only maintenance ends that. One long
    session without new ones is different: that one is waited for.
    """

    def __init__(self, begun: float, seconds: float) -> None:
        self._watch_at = begun + seconds * _WATCH_AFTER
        self._give_up_at = begun + seconds * _GIVE_UP_AFTER
        self._arrivals: dict[tuple[str, str], int] | None = None

    def in_vain(self, now: float, pools: Pools, members: Iterable[str]) -> bool:
        """Whether some member is busy and was given new sessions in the second quarter of the time."""
        seen = {(balancer, name): pool.members[name] for balancer, pool in pools.items() for name in members}
        if now >= self._watch_at and self._arrivals is None:
            self._arrivals = {place: member.arrivals for place, member in seen.items()}
        if now < self._give_up_at or self._arrivals is None:
            return False
        return any(member.sessions and member.arrivals > self._arrivals[place] for place, member in seen.items())
