# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pure steps between what modules return and what the playbooks decide on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ...module_utils._host.credentials import shown_path, shown_url
from ...module_utils._traffic.interface import MAINT
from ...module_utils._traffic.not_live import is_spare
from ...module_utils._traffic.views import disagreements

from .._smoke.running_release import HealthAndRelease, version_test
from .host_names import variables_of
from .shapes import Plan, Service

# Endpoints that are files.
ON_THE_LOAD_BALANCER = ("unix:", "file:")
# For which release a smoke test of the user's holds: the one that the fleet is upgraded to, or the one before as well.
NEW, BOTH = "new", "both"
HOLDS_FOR = (NEW, BOTH)


def traffic_calls(names: Sequence[str], endpoints: Sequence[str], via: str | None = None, master_endpoints: Sequence[str] = (),
                  state_files: Sequence[str] = (), kinds: Sequence[str] = (), settings: Sequence[Mapping[str, Any]] = (),
                  headers: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Which host drives which load balancers.

    By default each load balancer drives itself (its UNIX socket is local to it); with *via*, one host that reaches all of them by TCP does so in one call.

    :param master_endpoints: the endpoint of each one's master process, empty where there is none.
    :param state_files: where each one keeps its servers' states over a reload, empty where it does not.
    :param kinds: what each one is, empty for HAProxy; *settings* and *headers* are the kind's own.
    :returns: ``[{host, load_balancers: [{name, endpoint, master_endpoint, state_file, kind, settings, headers}]}]``, the last five only where they are given
    :raises ValueError: when the lists differ in length, or what is on a load balancer is to be reached from elsewhere.
    """
    given = {"endpoint": endpoints, "master_endpoint": master_endpoints, "state_file": state_files, "kind": kinds, "settings": settings, "headers": headers}
    columns = {what: values or [""] * len(names) for what, values in given.items()}
    for what, values in {**columns, "endpoint": endpoints}.items():
        if len(names) != len(values):
            raise ValueError(f"{len(names)} load balancers but {len(values)} {what}s: give one for each")
    for name, endpoint in zip(names, endpoints):
        if "://" in endpoint and shown_url(endpoint) != endpoint:
            raise ValueError(f"{name} has a user, a password or a query in its endpoint {shown_url(endpoint)}, which is shown everywhere: "
                             "give credentials as traffic_headers")
    rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
    balancers = [{"name": name, **{key: value for key, value in row.items() if value}} for name, row in zip(names, rows)]
    if not via:
        return [{"host": balancer["name"], "load_balancers": [balancer]} for balancer in balancers]
    for balancer in balancers:
        if balancer["endpoint"].startswith(ON_THE_LOAD_BALANCER) and via != balancer["name"]:
            raise ValueError(f"{balancer['name']} has the endpoint {balancer['endpoint']}, which only the load balancer itself can reach: "
                             "unset upgrade_traffic_via or give it an endpoint that is reached over the network")
    return [{"host": via, "load_balancers": balancers}]


def with_headers(balancers: Sequence[Mapping[str, Any]], hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same load balancers with what may be secret: ``traffic_settings`` and ``traffic_headers`` of each one's host. What stands there already stays."""
    completed = []
    for balancer in balancers:
        known = variables_of(balancer.get("name"), hostvars)
        given = {option: balancer.get(option) or known.get(f"traffic_{option}") for option in ("settings", "headers")}
        completed.append({**balancer, **{option: dict(value) for option, value in given.items() if value}})
    return completed


def merge_views(results: Iterable[Mapping[str, Any]], backend: str | None = None) -> dict[str, Any]:
    """One view of all load balancers out of the results of several traffic_info calls.

    :param backend: compare the load balancers in this pool only; by default in every one.
    :returns: ``{load_balancers: {...}, disagreements: [sentence], agree: bool}``
    """
    merged: dict[str, Any] = {}
    for result in results:
        merged.update(result["load_balancers"])
    sentences = list(disagreements(merged, backend))
    return {"load_balancers": merged, "disagreements": sentences, "agree": not sentences}


def smoke_urls(tests: Sequence[Mapping[str, Any]], base_url: str) -> list[dict[str, Any]]:
    """The same tests against *base_url*: each test's ``path`` becomes its ``url``; a test with a ``url`` keeps it.

    :raises ValueError: when a test has neither, or is none.
    """
    if isinstance(tests, (str, Mapping)) or not all(isinstance(test, Mapping) for test in tests):
        raise ValueError(f"upgrade_smoke_tests is {tests!r}: give a list of tests, each with a path")
    placed = []
    for number, test in enumerate(tests, start=1):
        if "url" not in test and "path" not in test:
            raise ValueError(f"smoke test {test.get('name', number)!r} has neither path nor url: give the path to ask for")
        if test.get("holds_for", NEW) not in HOLDS_FOR:
            raise ValueError(f"smoke test {test.get('name', number)!r} has holds_for={test['holds_for']!r}: give one of {', '.join(HOLDS_FOR)}")
        copy = {key: value for key, value in test.items() if key != "path"}
        copy.setdefault("url", base_url.rstrip("/") + "/" + str(test.get("path", "")).lstrip("/"))
        # A name is shown everywhere.
        copy.setdefault("name", f"{copy.get('method', 'GET')} {shown_path(test['path']) if 'path' in test else shown_url(copy['url'])}")
        placed.append(copy)
    return placed


def member_tests(service: HealthAndRelease, base_url: str, release: str, tests: Sequence[Mapping[str, Any]] = (), headers: Mapping[str, Any] | None = None,
                 command: Sequence[str] = (), plan: Plan | None = None) -> list[dict[str, Any]]:
    """What a member (or a load balancer's front) must answer before users come in: healthy, the right release, the user's own tests.

    A test that a release never passed does not keep that release out of traffic: with *plan*, the user's own tests are run on the release that is new
    to the fleet, and of any other one only where they hold for it.

    :param headers: sent with every request, such as those by which a load balancer recognises the testers; they are kept secret.
    :param command: on the member itself, ``upgrade_version_command``. A front, which runs no command, proves no release where there is one.
    """
    own = smoke_urls(tests, base_url)
    if plan and not (plan["direction"] == "upgrade" and release == plan["release_to"]):
        own = that_hold(own, plan["own_tests"].get(release, {}))
    asked = [*smoke_urls([{"name": "health", "path": service["health_path"]}], base_url), *own]
    asked = [{key: value for key, value in test.items() if key != "holds_for"} for test in asked]
    if command or not service["has_version_command"]:
        asked = [version_test(service, base_url, release, name="release", command=command), *asked]
    return [{**test, "secret_headers": {**(test.get("secret_headers") or {}), **headers}} for test in asked] if headers else asked


def that_hold(tests: Sequence[dict[str, Any]], passed: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Of the user's own tests those that a release passed, and those that are said to hold for every release where it did not fail them.

    :param passed: name of a test to whether the release passed it; a test that was not asked is not in it.
    """
    return [test for test in tests if passed.get(test["name"], test.get("holds_for") == BOTH)]


def version_check_tests(load_balancers: Mapping[str, Any], fronts: Mapping[str, str], release: str, service: Service,
                        known: Collection[str] | None = None) -> list[dict[str, Any]]:
    """One test for each member of each load balancer: it answers the release; or it is healthy, where a command on the member prints the release.

    Where the backend sets a cookie, the request goes through the load balancer, as those of users do; otherwise directly to the
    address that the load balancer uses.

    :param fronts: front URL of each load balancer.
    :param known: how the load balancers call the members of the inventory; others that are in maintenance get no traffic, and are not tested.
    :raises ValueError: when a load balancer has no member, which would make the version check empty.
    """
    tests = []
    backend = service["backend"]
    for name, balancer in sorted(load_balancers.items()):
        view = balancer["backends"][backend]
        asked = {server: member for server, member in view["members"].items()
                 if not is_spare(member) and (known is None or server in known or member["admin"] != MAINT)}
        if not asked:
            raise ValueError(f"{name} has no member in {backend}: there is no member to test")
        for server, member in sorted(asked.items()):
            cookie = view.get("cookie_name") and member.get("cookie")
            base = fronts[name] if cookie else f"http://{member['address']}"
            headers = {"Cookie": f"{view['cookie_name']}={member['cookie']}"} if cookie else {}
            called = f"{server} {'through' if cookie else 'as seen from'} {name}"
            if service["has_version_command"]:
                tests += smoke_urls([{"name": called, "path": service["health_path"], "headers": headers}], base)
            else:
                tests.append(version_test(service, base, release, name=called, headers=headers))
    return tests
