# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy as a load balancer, driven through its administrative API: a reverse proxy with an ``@id`` is a pool, a weight of 0 takes a member out.

Every change is a reload of Caddy by itself. Source: Caddy's API, ``/config/``, ``/id/...`` with ``Etag`` and ``If-Match``, ``/reverse_proxy/upstreams`` and
``/metrics``.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Callable, NamedTuple

from ...._host.http import Answer
from ...._host.json_api import JsonApi
from ...._host.patience import Patience
from ...demands import Demand, looked_at
from ...drained_members import OutMembers
from ...interface import DOWN, READY, UNCHECKED, UP, Backend, Member, View, settings_of
from .health import KnownHealth, parse_metrics

POLICY = "weighted_round_robin"
# The weights of members that come into traffic, by name; 1 where it has none.
SETTINGS: dict[str, object] = {"weights": {}}
# Others change the same pool: their changes are made on top of one another.
ATTEMPTS = 10
NOTE = "Caddy does not tell the health of this member: test it directly before it returns"
_BACK = "they count as live while they have a weight, and come back after their smoke test"
REPORTED_LATE = ("Caddy tells the health of its members up to 10 s late, and of those that come back not at all, so they come back after their smoke test. "
                 "Its checks begin again with each change, so a drain that has to keep members live waits up to 11 s for their results")
UNCHECKED_BY_IT = f"Caddy does not check the health of its members (health_checks): {_BACK}"
UNREPORTED = f"Caddy does not tell the health of its members, because its API does not give their metrics (/metrics): {_BACK}"
LOADED = "a configuration that Caddy loads from a file (caddy reload) returns all members to traffic: load none during a run"


class Facts(NamedTuple):
    """What demands look at: a reverse proxy, the weights in the settings by member, the requests in flight by address, and to which addresses reverse
    proxies without an ``@id`` send."""

    proxy: Mapping[str, Any]
    weights: Mapping[str, int]
    requests: Mapping[str, int]
    nameless: Collection[str]


class Caddy:
    """One Caddy, whose administrative API listens at `endpoint`."""

    options: tuple[str, ...] = ("settings", "headers")
    can_cut = False

    def __init__(self, name: str, endpoint: str, settings: Mapping[str, object], headers: Mapping[str, str],
                 steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 patience: Patience | None = None) -> None:
        self.name, self.endpoint = name, endpoint
        self._weights = settings_of(name, "caddy", settings, SETTINGS)["weights"]
        self._api = JsonApi(name, endpoint, headers, patience=patience or Patience())
        self._sleep = sleep
        self._out = OutMembers(steady)
        # The weights of those that were taken out here.
        self._taken: dict[tuple[str, str], int] = {}
        self._health = KnownHealth()
        # The members that were brought back here: their health is known from their smoke tests.
        self._returned: set[str] = set()
        # What reverse proxies without an @id send to; looked up once for a backend.
        self._nameless: frozenset[str] | None = None

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: the reverse proxies that have an ``@id``."""
        if backend is None:
            config = self._api.get("/config/")
            proxies = {name: proxy for name, proxy in proxies_by_id(config).items() if not self._unweighted(proxy)}
            self._nameless = nameless_addresses(config)
        else:
            proxies = {backend: self._proxy(backend)[1]}
        requests = requests_by_address(self._api.get("/reverse_proxy/upstreams") or [])
        if self._nameless is None:
            answer = self._api.ask("GET", "/config/")
            # A client that may not read the whole configuration does not see the others.
            self._nameless = nameless_addresses(self._api.parse("/config/", answer)) if answer.status == 200 else frozenset()
        self._learn_health(proxies.values())
        return View("", {name: self._pool(name, proxy, requests) for name, proxy in proxies.items()})

    def _learn_health(self, proxies: Iterable[Mapping[str, Any]]) -> None:
        answer = self._api.ask("GET", "/metrics")
        # A client that may not read the metrics does without.
        text = answer.body if answer.status == 200 else ""
        out = {upstream["dial"] for proxy in proxies for upstream, weight in zip(proxy["upstreams"], weights_of(proxy)) if not weight}
        self._health.take(parse_metrics(text, dict(answer.headers).get("date", "")), out | self._returned)

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: all weights in one change of the configuration, unless another program has changed it since it was read."""
        for attempt in range(ATTEMPTS):
            answer, proxy = self._proxy(backend)
            path, policy = f"/id/{backend}/load_balancing/selection_policy", proxy["load_balancing"]["selection_policy"]
            wanted = {**policy, "weights": self._changed(backend, proxy, changes)}
            if wanted == policy:
                break
            if not any(wanted["weights"]):
                raise self._api.error(f"keeps one upstream of {backend} in traffic at least: it accepts no pool in which every weight is 0")
            # It may arrive twice: the second time the configuration is not the one that it is meant for.
            made = self._api.ask("PATCH", path, wanted, {"If-Match": dict(answer.headers).get("etag", "")}, may_repeat=True)
            if 200 <= made.status < 300:
                break
            if made.status != 412 or attempt == ATTEMPTS - 1:
                raise self._api.error(f"answers PATCH {path} with {made.status}: {' '.join(made.body.split())[:200]}")
            self._sleep(0.1 * (attempt + 1))
        self._out.ask(backend, changes)

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        weights_shown = ", ".join(f"{name} {self._wanted(backend, name, change, 0)}" for name, change in changes.items())
        path = f"{self.endpoint.rstrip('/')}/id/{backend}/load_balancing/selection_policy"
        return f"curl -X PATCH -H 'Content-Type: application/json' {shlex.quote(path)} -d POLICY, with these weights in it: {weights_shown}"

    def _proxy(self, backend: str) -> tuple[Answer, Mapping[str, Any]]:
        answer = self._api.ask("GET", f"/id/{backend}")
        proxy = {} if answer.status == 404 else self._api.parse(f"/id/{backend}", answer)
        if proxy.get("handler") != "reverse_proxy":
            known = sorted(proxies_by_id(self._api.get("/config/")))
            raise self._api.error(f"has no reverse proxy with the @id {backend!r}: it has {', '.join(known) or 'none'}")
        if self._unweighted(proxy):
            count = len(proxy.get("upstreams", []))
            raise self._api.error(f"has {backend} without a weight for each of its {count} upstreams: set load_balancing.selection_policy to {POLICY}, "
                                  f"with {count} weights of 1, because a weight of 0 is what takes a member out")
        return answer, proxy

    def _unweighted(self, proxy: Mapping[str, Any]) -> bool:
        """Whether its upstreams have no weights, so that none can be taken out."""
        policy = proxy.get("load_balancing", {}).get("selection_policy", {})
        return policy.get("policy") != POLICY or not proxy.get("upstreams") or len(policy.get("weights", [])) != len(proxy["upstreams"])

    def _pool(self, backend: str, proxy: Mapping[str, Any], requests: Mapping[str, int]) -> Backend:
        found = looked_at(DEMANDS, Facts(proxy, self._weights, requests, self._nameless or frozenset()))
        is_reported = any(self._health.is_reported(upstream["dial"]) for upstream in proxy["upstreams"])
        unproven = UNREPORTED if not is_reported else REPORTED_LATE if is_checked(proxy) else UNCHECKED_BY_IT
        return Backend(self._members(backend, proxy, requests), None, found.notes, found.refusals, (unproven, LOADED),
                       unknown_for=self._health.unknown_for if is_reported and asks_by_itself(proxy) else 0.0)

    def _members(self, backend: str, proxy: Mapping[str, Any], requests: Mapping[str, int]) -> dict[str, Member]:
        return {member_name(upstream): self._member(backend, upstream, weight, requests, is_checked(proxy))
                for upstream, weight in zip(proxy["upstreams"], weights_of(proxy))}

    def _member(self, backend: str, upstream: Mapping[str, Any], weight: int, requests: Mapping[str, int], is_probed: bool) -> Member:
        is_healthy = self._health.of(upstream["dial"])
        health = DOWN if is_healthy is False else UP if is_healthy and is_probed else UNCHECKED
        return Member(
            address=upstream["dial"],
            admin=self._out.admin(backend, member_name(upstream), weight > 0),
            health=health,
            check="unhealthy" if health == DOWN else "",
            sessions=requests.get(upstream["dial"], 0),
            weight=weight,
            probed=False,
            note=NOTE if health == UNCHECKED else "",
        )

    def _changed(self, backend: str, proxy: Mapping[str, Any], changes: Mapping[str, str]) -> list[int]:
        names = [member_name(upstream) for upstream in proxy["upstreams"]]
        unknown = sorted(set(changes) - set(names))
        if unknown:
            raise self._api.error(f"has no upstream {', '.join(unknown)}: it has {', '.join(names)}")
        weights = weights_of(proxy)
        self._taken.update({(backend, name): weight for name, weight in zip(names, weights) if weight and changes.get(name, READY) != READY})
        places = [(upstream["dial"], changes[name], weight) for upstream, name, weight in zip(proxy["upstreams"], names, weights) if name in changes]
        self._returned |= {dial for dial, change, weight in places if change == READY and not weight}
        self._returned -= {dial for dial, change, _weight in places if change != READY}
        return [weight if name not in changes else self._wanted(backend, name, changes[name], weight) for name, weight in zip(names, weights)]

    def _wanted(self, backend: str, name: str, change: str, weight: int) -> int:
        """One that is in traffic keeps its weight."""
        return 0 if change != READY else weight or self._taken.get((backend, name)) or self._weights.get(name, 1)


def _has_others(facts: Facts) -> str:
    """A selection of one takes that one, whatever its weight. Source: ``WeightedRoundRobinSelection.Select``."""
    return "" if len(facts.proxy["upstreams"]) > 1 else "it has one upstream, which Caddy keeps in traffic regardless of its weight: add another one"


def _has_upstreams_of_its_own(facts: Facts) -> str:
    return "its upstreams are looked up all the time (dynamic_upstreams), and have no weights: remove that" if facts.proxy.get("dynamic_upstreams") else ""


def _can_be_put_back(facts: Facts) -> str:
    """Caddy keeps nothing of a member whose weight is 0, so another run would bring it back with 1."""
    proxy, known = facts.proxy, facts.weights
    weights = weights_of(proxy)
    lost = {member_name(upstream): weight for upstream, weight in zip(proxy["upstreams"], weights) if weight > 1 and member_name(upstream) not in known}
    weights_shown = ", ".join(f"{name}: {weight}" for name, weight in lost.items())
    return f"the weights of {', '.join(lost)} would be lost: write them into traffic_settings, weights: {{{weights_shown}}}" if lost else ""


def _is_counted(facts: Facts) -> str:
    """An address that is not reported has an unknown number of requests in flight, which is not 0."""
    missing = [upstream["dial"] for upstream in facts.proxy["upstreams"] if upstream["dial"] not in facts.requests]
    return (f"Caddy does not report the requests in flight to {', '.join(missing)} (/reverse_proxy/upstreams does not have it): write the address without "
            "placeholders" if missing else "")


def _keeps_streams_open(facts: Facts) -> str:
    return ("" if facts.proxy.get("stream_close_delay") else
            "every change of a weight closes the WebSockets and other upgraded connections of the whole pool, those of other members too: "
            "set stream_close_delay, such as 1h")


def _is_alone(facts: Facts) -> str:
    shared = [upstream["dial"] for upstream in facts.proxy["upstreams"] if upstream["dial"] in facts.nameless]
    return (f"a reverse proxy without an @id sends to {', '.join(shared)}, too, and members are not drained there: give it an @id, or keep its users away"
            if shared else "")


# What a reverse proxy has to look like besides a weight for each upstream: see `Demand`.
DEMANDS = (Demand(_has_others), Demand(_has_upstreams_of_its_own), Demand(_can_be_put_back), Demand(_is_counted),
           Demand(_keeps_streams_open, is_needed=False), Demand(_is_alone, is_needed=False))


def requests_by_address(entries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The requests in flight, of what ``/reverse_proxy/upstreams`` has: an address that ``dynamic_upstreams`` find is there once more."""
    found: dict[str, int] = {}
    for entry in entries:
        found[entry["address"]] = found.get(entry["address"], 0) + entry["num_requests"]
    return found


def is_checked(proxy: Mapping[str, Any]) -> bool:
    """Whether a reverse proxy has active or passive health checks of its upstreams."""
    return asks_by_itself(proxy) or bool((_checks(proxy).get("passive") or {}).get("fail_duration"))


def asks_by_itself(proxy: Mapping[str, Any]) -> bool:
    """Whether a reverse proxy has active health checks, whose results it forgets with each change. Source: ``ActiveHealthChecks.IsEnabled``."""
    active = _checks(proxy).get("active") or {}
    return any(active.get(key) for key in ("uri", "path", "port"))


def _checks(proxy: Mapping[str, Any]) -> Mapping[str, Any]:
    return proxy.get("health_checks") or {}


def weights_of(proxy: Mapping[str, Any]) -> list[int]:
    """The weights of a reverse proxy's upstreams, in their order."""
    return proxy["load_balancing"]["selection_policy"]["weights"]


def proxies_by_id(config: Any) -> dict[str, Mapping[str, Any]]:
    """The reverse proxies in a configuration that have an ``@id``, by it."""
    return {proxy["@id"]: proxy for proxy in find_proxies(config) if "@id" in proxy}


def nameless_addresses(config: Any) -> frozenset[str]:
    """To which addresses reverse proxies without an ``@id`` send, as far as they are written in a configuration."""
    upstreams = (upstream for proxy in find_proxies(config) if "@id" not in proxy for upstream in proxy.get("upstreams") or [])
    return frozenset(upstream["dial"] for upstream in upstreams if "dial" in upstream)


def member_name(upstream: Mapping[str, Any]) -> str:
    """How an upstream is called: its ``@id``, else what is dialled."""
    return upstream.get("@id") or upstream["dial"]


def find_proxies(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every reverse proxy in a configuration, however deep."""
    if isinstance(config, Mapping):
        if config.get("handler") == "reverse_proxy":
            yield config
        for value in config.values():
            yield from find_proxies(value)
    elif isinstance(config, list):
        for value in config:
            yield from find_proxies(value)
