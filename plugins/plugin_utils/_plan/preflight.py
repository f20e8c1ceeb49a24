# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether each member could return to traffic, checked before any member leaves it. Pure: the hosts' answers in, sentences out.

Each member got, on the release that it runs now, the tests that it has to pass before it returns (see the module member_info). A member with traffic
has to pass them; for any other one, only its commands and its release folder count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._smoke.expectation import MissingJmespathError
from .._smoke.running_release import HealthAndRelease
from .._smoke.verdict import asked
from . import observation
from .observation import BOTH, NEW
from .shapes import Observed, Plan, Service

HEALTH, RELEASE, OWN = "health", "release", "own"
# What a request is about, and for which release it holds; not sent with it.
MARKS = ("about", "holds_for")
EXPECTATIONS = ("expect", "expect_answer")
SHOWN_HOSTS = 3
CONTROLLER = ""
TESTS = "upgrade_smoke_tests"
HOW_THEY_ARE_ASKED = "upgrade_health_path, upgrade_version_path or where else the release is read"


def member_requests(service: HealthAndRelease, base_url: str, release: str, own: Sequence[Mapping[str, Any]],
                    command: Sequence[str] = ()) -> list[dict[str, Any]]:
    """``observation.member_tests``, each marked with what it is about and for which release it holds.

    :raises ValueError: when a test cannot be run, or the release that runs cannot be read.
    """
    if service["has_version_command"] and not command:
        raise ValueError(f"upgrade_version_command is {command!r} on this host: give a list, the program and its arguments, that prints the release")
    tests = observation.member_tests(service, base_url, release, own, command=command)
    first = len(tests) - len(own)
    marks = [{"about": RELEASE, "holds_for": BOTH}, {"about": HEALTH, "holds_for": BOTH}][-first:]
    marks += [{"about": OWN, "holds_for": test.get("holds_for", NEW)} for test in own]
    return [{**test, **mark} for test, mark in zip(tests, marks)]


def variable_of(is_own: bool, error: Exception) -> str:
    """The variable to correct when a test cannot be run at all."""
    return CONTROLLER if isinstance(error, MissingJmespathError) else TESTS if is_own else HOW_THEY_ARE_ASKED


def serving_hosts(results: Sequence[Mapping[str, Any]], service: Service, hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The hosts that every load balancer sends new traffic to, out of the results of traffic_info calls."""
    balancers = [balancer for result in results for balancer in result["load_balancers"].values()]
    pools = service["blue_green"] if service["hosts"]["members"] and isinstance(service["blue_green"], Mapping) else {}
    serving = []
    for host in service["hosts"]["members"]:
        pool = next((pool for pool, names in pools.items() if host in names), service["backend"])
        name = hostvars[host].get("member_name", host)
        views = [balancer["backends"].get(pool, {"members": {}})["members"].get(name) for balancer in balancers]
        if views and all(view is not None and view["live"] for view in views):
            serving.append(host)
    return serving


def front_tests(service: Service, observed: Observed, fronts: Mapping[str, str]) -> list[dict[str, Any]]:
    """The tests through each load balancer, as its users reach it, and of one member at the address that the load balancer has for it.

    :param fronts: front URL of each load balancer; one without is not tested.
    """
    running = {release for facts in observed["members"].values() if _is_serving(facts) and (release := facts.get("release"))}
    tests = []
    for name, url in sorted(fronts.items()):
        if not url or not running:
            continue
        tests += [{**test, "name": f"{name}: {test['name']}"} for test in observation.member_tests(service, url, min(running))]
        seen = observed["load_balancers"][name]["backends"].get(service["backend"], {"members": {}})
        live = {server: view for server, view in sorted(seen["members"].items()) if view["live"]}
        if live:
            one = {name: {"backends": {service["backend"]: {**seen, "members": dict([next(iter(live.items()))])}}}}
            tests += observation.version_check_tests(one, fronts, min(running), service)
    # While two releases serve, either may answer.
    return tests if len(running) == 1 else [{key: value for key, value in test.items() if key not in EXPECTATIONS} for test in tests]


def own_tests(observed: Observed) -> dict[str, dict[str, bool]]:
    """Release to the user's own tests that were run on it, each with whether every member that runs it passed."""
    found: dict[str, dict[str, bool]] = {}
    for facts in _everybody(observed).values():
        if not _is_serving(facts) or not facts.get("release"):
            continue
        seen = found.setdefault(facts["release"], {})
        for test in facts["preflight"].get("asked", ()):
            if test["about"] == OWN and test["passed"] is not None:
                seen[test["name"]] = seen.get(test["name"], True) and test["passed"]
    return found


def fails_already(observed: Observed, plan: Plan) -> list[str]:
    """A note for each of the user's own tests that the release that runs does not pass either, and need not: it decides about the new one only."""
    if plan["direction"] != "upgrade":
        return []
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for _host, facts in sorted(_everybody(observed).items()):
        release = facts.get("release")
        if not _is_serving(facts) or release in (None, plan["release_to"]):
            continue
        for test in facts["preflight"].get("asked", ()):
            if test["about"] == OWN and test["passed"] is False and test["holds_for"] != BOTH and not _is_silent(test):
                found.setdefault((test["name"], release), test)
    only = f"It counts for {plan['release_to']} only"
    return [f"smoke test {name!r} fails on {release} too: {_answer(test)}. {only}; correct it if {release} should pass it, too"
            for (name, release), test in found.items()]


def sentences(service: Service, observed: Observed, plan: Plan) -> list[str]:
    """What would keep a member from returning to traffic: the hosts, their answers, and the variable to correct."""
    wrong, is_new = _wrong_answers(service, observed, plan)
    return [*wrong_settings(observed), *wrong, *_wrong_fronts(observed, plan, is_new), *_silent_targets(observed, plan)]


def wrong_settings(observed: Observed) -> list[str]:
    """Folders, commands and tests that cannot be used, the hosts together that have the same."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for host, facts in sorted(observed["members"].items()):
        for problem in (facts.get("preflight") or {}).get("problems", ()):
            grouped.setdefault((problem["variable"], problem["what"]), []).append(host)
    return [what if variable == CONTROLLER else f"{_hosts(hosts)}: {what}. Correct {variable}" for (variable, what), hosts in grouped.items()]


def _wrong_answers(service: Service, observed: Observed, plan: Plan) -> tuple[list[str], set[str]]:
    """The sentences, and what wrong answers were about."""
    grouped: dict[str, list[tuple[str, str]]] = {}
    about = set()
    for host, facts in sorted(_everybody(observed).items()):
        if not _is_serving(facts) or (plan["interrupted"] and plan["method"] == "in_place"):
            continue
        silent = False
        for test in facts["preflight"].get("asked", ()):
            if not _counts(test, plan) or (silent and _is_silent(test)):
                continue
            silent = silent or _is_silent(test)
            about |= set() if _is_silent(test) else {test["about"]}
            grouped.setdefault(_cure(test, service), []).append((host, _answer(test)))
    return [f"{_hosts([host for host, _answer in found])} {'takes' if len(found) == 1 else 'take'} traffic, but would fail the tests for returning to it: "
            f"{_answers(found)}. {cure}" for cure, found in grouped.items()], about


def _wrong_fronts(observed: Observed, plan: Plan, about: set[str]) -> list[str]:
    """Load balancers that users do not reach where the inventory says; silent on what the members answer wrongly, too."""
    fronts = observed.get("fronts") or {}
    found = [f"{name} has no front_url: give the URL at which users reach the service through it" for name in fronts.get("missing", ())]
    silent = set()
    for test in fronts.get("tests", ()):
        place, is_front, what = test["name"].partition(": ")
        if test["passed"] is not False or _is_ill(test, plan) or place in silent or (test["status"] is not None and (what or RELEASE) in about):
            continue
        silent |= {place} if _is_silent(test) else set()
        cure = (f"Correct front_url of {place}, or let {place} pass this path on" if is_front else
                "The controller asks each member for its release there in the end: let it reach that address")
        found.append(f"{test['name']}, {_answer(test)}. {cure}")
    return found


def _silent_targets(observed: Observed, plan: Plan) -> list[str]:
    """Targets of the prober at which nothing answers. An interrupted run and a rollback go on without them."""
    silent = [] if plan["interrupted"] or plan["direction"] == "rollback" else [test for test in observed.get("targets", ()) if _is_silent(test)]
    return [(f"the prober would get no answer: {'; '.join(_answer(test) for test in silent)}. Correct upgrade_probe.targets: give the URLs "
             "at which the controller reaches the service")] if silent else []


def _counts(test: Mapping[str, Any], plan: Plan) -> bool:
    """Whether a failed test would keep the member from returning. A rollback may leave a release that fails its tests: that is its purpose."""
    if test["passed"] is not False or test["holds_for"] != BOTH:
        return False
    return not (_is_ill(test, plan) or (plan["direction"] == "rollback" and test["about"] == OWN))


def _is_silent(test: Mapping[str, Any]) -> bool:
    """Whether nothing answered at the member's address."""
    return test["status"] is None and not test.get("command")


def _is_ill(test: Mapping[str, Any], plan: Plan) -> bool:
    late = test["status"] is None and any("no whole answer within" in why for why in test["why"])
    return plan["direction"] == "rollback" and (late or (test["status"] or 0) >= 500)


def _cure(test: Mapping[str, Any], service: Service) -> str:
    if test.get("command"):
        return "Correct upgrade_version_command"
    if test["status"] is None:
        return "Correct member_address or member_port"
    if test["about"] == OWN:
        return f"Correct the test {test['name']!r} of upgrade_smoke_tests, or leave holds_for=both out of it when only the new release is to pass it"
    if test["about"] == HEALTH:
        return f"Correct upgrade_health_path, which is {service['health_path']!r}"
    if test["status"] != 200:
        return f"Correct upgrade_version_path, which is {service['version_path']!r}"
    given: Mapping[str, Any] = service
    variable = next((name for name in ("version_query", "version_header", "version_pattern") if given.get(name)), "version_path")
    return (f"Correct upgrade_{variable}, which is {given[variable]!r} and has to yield the release that current in release_root points to, "
            "or restart what runs another one")


def _answer(test: Mapping[str, Any]) -> str:
    """The request, and the unexpected answer."""
    return f"{asked(test)}: {'; '.join(test['why'])}"


def _answers(found: Sequence[tuple[str, str]]) -> str:
    sentence = "; ".join(f"{answer} ({host})" if len(found) > 1 else answer for host, answer in found[:SHOWN_HOSTS])
    return sentence + (f"; and likewise {len(found) - SHOWN_HOSTS} more" if len(found) > SHOWN_HOSTS else "")


def _hosts(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_HOSTS]) + (f" and {len(names) - SHOWN_HOSTS} more" if len(names) > SHOWN_HOSTS else "")


def _everybody(observed: Observed) -> Mapping[str, Mapping[str, Any]]:
    """The members of both pools of a blue-green service; of any other one, the members."""
    return observed.get("everybody") or observed["members"]


def _is_serving(facts: Mapping[str, Any]) -> bool:
    return bool((facts.get("preflight") or {}).get("serving"))


def lost_members(members: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each member that could not be tested: its host is not reached, or no module runs there.

    :param members: see ``plan.make_plan``; what is in ``lost`` is Ansible's message.
    """
    sentences = []
    for name, facts in sorted(members.items()):
        if not facts.get("lost"):
            continue
        why = facts["lost"].strip().rstrip(".")
        sentences.append(f"{name} cannot be reached: {why}. Repair it, or remove it from the inventory and the load balancers"
                         if facts.get("unreachable", True) else
                         f"{name} is reachable, but no module runs there: {why}. Correct Ansible's settings for it, "
                         "such as ansible_become, ansible_become_user or ansible_python_interpreter")
    return sentences
