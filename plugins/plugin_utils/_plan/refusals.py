# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reasons to refuse a plan, in sentences that name the thing and the cure. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils._host.version import compare
from ...module_utils._traffic.interface import DRAIN, MAINT
from ...module_utils._traffic.not_live import has_address, is_spare, why_not_live

from . import preflight
from .installation import not_installed
from .migration_tool import tool_refusals
from .migrations import AFTER_THE_ROLL
from .patches import unreadable
from .target import PLAYBOOK, ROLLBACK, UPGRADE, is_newer
from .shapes import Observed, Plan, Service

# The purposes for which database_info is run.
PURPOSES = {"logical": "the backups and their proof", "physical": "the physical backup and its proof", "migrations": "the ledger of the migrations",
            "standbys": "the lag of the standbys", "switchover": "a switchover"}
# What database_info calls one that writes the log to files and replays nothing.
RECEIVER = "receiver"
# Members that are named with the reason why they get no traffic.
MOST_SHOWN = 5


def refusals(service: Service, observed: Observed, plan: Plan) -> list[str]:
    """All reasons to refuse the plan; see ``plan.make_plan`` for the arguments."""
    if plan["nothing_to_do"]:
        return [*_lost(observed), *unreadable(observed["members"], service), *_disagreements(observed, plan)]
    return [
        *_lost(observed),
        *observed.get("problems", ()),
        *unreadable(observed["members"], service),
        *_unknown_members(service, observed),
        *_one_host_twice(observed),
        *_disagreements(observed, plan),
        *_unprovable(service, observed),
        *_wrong_way(plan),
        *not_installed(service, observed, plan["live"]),
        *_nowhere_to_come_from(service, observed, plan),
        *preflight.sentences(service, observed, plan),
        *_under_the_floor(service, observed, plan),
        *_never_finishes(plan),
        *_missing_privileges(observed),
        *redundancy_spent(service, observed.get("replicas") or {}),
        *_past_the_point_of_no_return(observed, plan),
        *tool_refusals(service, observed, plan),
    ]


def _missing_privileges(observed: Observed) -> list[str]:
    """A sentence for each database host whose login role lacks something, with the SQL that grants it."""
    sentences = []
    for host, lacking in sorted((observed.get("missing_privileges") or {}).items()):
        listed = ", ".join(f"{lack['privilege']}{' in ' + lack['database'] if lack['database'] else ''} (for {PURPOSES[lack['purpose']]})" for lack in lacking)
        grants = " ".join(f"{lack['grant']};" for lack in {(lack["database"], lack["grant"]): lack for lack in lacking}.values())
        if lacking:
            sentences.append(f"the login role {lacking[0]['role']} of {host} lacks {listed}. Grant it there as a superuser: {grants} See docs/database_role.md")
    return sentences


def _lost(observed: Observed) -> list[str]:
    return preflight.lost_members(observed["members"]) + [
        f"the databases of {name} cannot be read: {why}" for name, why in sorted((observed.get("lost_databases") or {}).items())]


def redundancy_spent(service: Service, replicas: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """The database hosts with too few standbys that stream and keep up.

    :param replicas: host to database_info's ``replicas``.
    """
    wanted, lag = int(service["database_standbys"]), int(service["database_lag_bytes"])
    sentences = []
    for host, rows in sorted(replicas.items()):
        fit = [row for row in rows if row["state"] == "streaming" and row["lag_bytes"] is not None and row["lag_bytes"] <= lag
               and row.get("kind") != RECEIVER]
        if len(fit) < wanted:
            listed = ", ".join(_replica(row) for row in rows) or "none"
            sentences.append(f"{host} has {len(fit)} of the {wanted} standbys that upgrade_database_standbys asks for (it has {listed}): "
                             "it has lost its redundancy. Repair the replication first")
    return sentences


def _replica(row: Mapping[str, Any]) -> str:
    kind = "no standby, a receiver of the log, " if row.get("kind") == RECEIVER else ""
    return f"{row['name']} ({kind}{row['state']}, {'unknown lag' if row['lag_bytes'] is None else str(row['lag_bytes']) + ' bytes behind'})"


def _disagreements(observed: Observed, plan: Plan) -> list[str]:
    """Load balancers that disagree are an error, unless an interrupted run left them so: this run corrects that."""
    return [] if plan["interrupted"] else list(observed["disagreements"])


def _unknown_members(service: Service, observed: Observed) -> list[str]:
    """The inventory and every load balancer must name the same members: an upgrade of a part of the pool is not done."""
    expected = {facts["name"]: host for host, facts in observed["members"].items()}
    sentences = []
    for name, balancer in sorted(observed["load_balancers"].items()):
        backend = service["backend"]
        if backend not in balancer["backends"]:
            sentences.append(f"{name} has no backend {backend!r} (it has {', '.join(sorted(balancer['backends'])) or 'none'}): set upgrade_backend")
            continue
        known = balancer["backends"][backend]["members"]
        sentences += [f"{name} {_sends(known[server])} {backend}/{server}, which is no host of group {service['members']!r}: "
                      "add it to the inventory, or take it out of the load balancer"
                      for server in sorted(set(known) - set(expected)) if known[server]["admin"] != MAINT]
        sentences += [f"{expected[server]} gets no traffic: {why_not_live(name, known[server])}"
                      for server in sorted(set(expected) & set(known)) if is_spare(known[server])]
        sentences += [f"{expected[server]} is not a member of {backend} on {name} (looked for server {server!r}): "
                      "add it there or set the host's member_name" for server in sorted(set(expected) - set(known))]
    return sentences


def _unprovable(service: Service, observed: Observed) -> list[str]:
    """Configurations of load balancers with which no drain can be proven."""
    return [f"{names}: {sentence}" for sentence, names in _said_of(service, observed, "refusals").items()]


def _said_of(service: Service, observed: Observed, what: str) -> dict[str, str]:
    """Each sentence that load balancers say of the pool, and which of them do, joined by commas."""
    said: dict[str, list[str]] = {}
    for name, balancer in sorted(observed["load_balancers"].items()):
        for sentence in balancer["backends"].get(service["backend"], {}).get(what, ()):
            said.setdefault(sentence, []).append(name)
    return {sentence: ", ".join(names) for sentence, names in said.items()}


def _sends(member: Mapping[str, Any]) -> str:
    """What a load balancer does to a server that is not in maintenance."""
    if member["live"]:
        return "sends traffic to"
    if member["admin"] == DRAIN or not member.get("weight", 1):
        return "still sends its bound clients to"
    if member.get("backup"):
        return "sends traffic, when no other member is left, to"
    return "sends traffic, as soon as its health check passes, to"


def notes(service: Service, observed: Observed) -> list[str]:
    """Notes that are no reason to refuse: servers without traffic that are not in the inventory, risks of the load balancers and what they cannot prove,
    database servers whose certificate is not verified."""
    expected = {facts["name"] for facts in observed["members"].values()}
    strangers: dict[str, list[str]] = {}
    for name, balancer in sorted(observed["load_balancers"].items()):
        for server, member in balancer["backends"].get(service["backend"], {"members": {}})["members"].items():
            if server not in expected and member["admin"] == MAINT and has_address(member):
                strangers.setdefault(f"{service['backend']}/{server}", []).append(name)
    by_balancers: dict[str, list[str]] = {}
    for server, names in sorted(strangers.items()):
        by_balancers.setdefault(", ".join(names), []).append(server)
    parked = [f"{', '.join(servers)} {'is' if len(servers) == 1 else 'are'} in maintenance on {names} and not in group {service['members']!r}: "
              f"{'it gets' if len(servers) == 1 else 'they get'} no traffic, and {'is' if len(servers) == 1 else 'are'} not upgraded"
              for names, servers in by_balancers.items()]
    listed = [f"{names}: {sentence}" for what in ("unproven", "risks") for sentence, names in _said_of(service, observed, what).items()]
    return [*parked, *listed, *_in_other_pools(service, observed), *(observed.get("unverified") or [])]


def _in_other_pools(service: Service, observed: Observed) -> list[str]:
    """Members that are also live in other pools of the load balancers, where they are not drained."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, balancer in sorted(observed["load_balancers"].items()):
        ours = balancer["backends"].get(service["backend"], {"members": {}})
        drained = (service["backend"], *ours.get("drained_with", ()))
        by_address = {member["address"]: server for server, member in ours["members"].items() if has_address(member)}
        for backend, pool in sorted(balancer["backends"].items()):
            shared = sorted({by_address[member["address"]] for member in pool["members"].values() if member["live"] and member.get("address") in by_address})
            if shared and backend not in drained:
                found.setdefault((backend, ", ".join(shared)), []).append(name)
    return [f"{', '.join(names)}: {servers} {'are' if ', ' in servers else 'is'} also in {backend}, where members are not drained: requests that reach a "
            f"member there while it is out fail" for (backend, servers), names in found.items()]


def _one_host_twice(observed: Observed) -> list[str]:
    by_address: dict[str, list[str]] = {}
    for name, facts in sorted(observed["members"].items()):
        by_address.setdefault(facts["address"], []).append(name)
    return [f"{' and '.join(names)} are one host ({address}): keep one name in the inventory" for address, names in by_address.items() if len(names) > 1]


def _wrong_way(plan: Plan) -> list[str]:
    """An upgrade goes to no older release, and a rollback to no newer one."""
    before, after = plan["release_from"], plan["release_to"]
    if plan["direction"] == UPGRADE and is_newer(before, after):
        return [f"{after} is older than {before}, which runs now: to go back, run {PLAYBOOK}rollback -e upgrade_release={after}"]
    if plan["direction"] == ROLLBACK and is_newer(after, before):
        return [f"{after} is newer than {before}, which runs now: to go forward, run {PLAYBOOK}upgrade -e upgrade_release={after}"]
    return []


def _nowhere_to_come_from(service: Service, observed: Observed, plan: Plan) -> list[str]:
    """Without an archive, every pending host must have the release already."""
    missing = without_the_release(observed, plan)
    if service["has_artifact"] or plan["release_to"] is None or not missing:
        return []
    return [f"release {plan['release_to']} is not on {', '.join(missing)} any more: give its archive with upgrade_artifact and upgrade_artifact_sha256"]


def without_the_release(observed: Observed, plan: Plan) -> list[str]:
    """The pending hosts that do not hold the release to go to."""
    return [name for name in plan["pending"] if plan["release_to"] not in (observed["members"][name].get("available") or {})]


def _under_the_floor(service: Service, observed: Observed, plan: Plan) -> list[str]:
    floor = plan["limits"]["min_live"]
    if not isinstance(floor, int):
        return []
    if floor < 1 and service["min_live"] is None:
        return [(f"a pool of {plan['pool_size']} cannot be upgraded without an outage, because no member would be live: "
                 "add a member, let the load balancer hold requests meanwhile (upgrade_method=in_place, docs/haproxy.md), "
                 "or accept it with -e upgrade_min_live=0")]
    if len(plan["live"]) >= floor or plan["finish_flip"]:
        return []
    live = ", ".join(plan["live"]) or "none"
    return [(f"only {len(plan['live'])} of {plan['pool_size']} members are live on every load balancer ({live}) and the floor is {floor}: "
             f"return members to traffic first (ansible-playbook alwayson.upgrade.status shows them). {'. '.join(_why_not_live(service, observed, plan))}")]


def _why_not_live(service: Service, observed: Observed, plan: Plan) -> list[str]:
    """A sentence for each of the first members that are not live, from the first load balancer that does not send to it."""
    sentences = []
    for host, facts in sorted(observed["members"].items()):
        views = {name: balancer["backends"].get(service["backend"], {"members": {}})["members"].get(facts["name"])
                 for name, balancer in sorted(observed["load_balancers"].items())}
        out = [why_not_live(name, view) for name, view in views.items() if view and not view["live"]]
        sentences += [f"{host}: {out[0]}"] if out and host not in plan["live"] else []
    more = len(sentences) - MOST_SHOWN
    return [*sentences[:MOST_SHOWN], *([f"{more} more are not live"] if more > 0 else [])]


def _never_finishes(plan: Plan) -> list[str]:
    return [f"the roll would never finish: {wave['reason']}; lower upgrade_min_live or raise upgrade_max_unavailable"
            for wave in plan["waves"] if not wave["members"]]


def _past_the_point_of_no_return(observed: Observed, plan: Plan) -> list[str]:
    """No rollback from a release whose contract or optimise migrations have begun: the older release needs what they removed."""
    if plan["direction"] != "rollback" or plan["release_to"] is None:
        return []
    sentences = []
    for host, databases in sorted(observed["databases"].items()):
        for name, facts in sorted(databases.items()):
            sentences += [f"{name} on {host} is beyond the point of no return: {row['phase']} step {row['step']} of {row['release']} is "
                          f"{row['status']}, and {plan['release_to']} needs what it removed. Upgrade to a corrected release instead"
                          for row in facts["migrations"] if row["phase"] in AFTER_THE_ROLL and compare(row["release"], plan["release_to"]) > 0]
    return sentences
