# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik as a load balancer whose services are in a file (the file provider): the file is changed, the API proves it. A weight of 0 takes a member out.

Which strategies keep to that was tried on Traefik 3.6; `p2c` has no weights.

The file has only the service, in JSON, which is YAML, too: ``{"http": {"services": {"app": {"loadBalancer": {"servers": [...]}}}}}``, and other keys.
Source: Traefik's file provider, and its API, ``/api/http/services/NAME@file``, ``/api/http/services`` and ``/api/tcp/services``.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Callable, NamedTuple
from urllib.parse import quote, urlsplit

from ..._host.address import host_port
from ..._host.config_file import ConfigFile, text_of
from ..._host.json_api import JsonApi
from ..._host.patience import Patience
from ..._host.waiting import wait_for
from ..demands import Demand, looked_at
from ..drained_members import OutMembers
from ..former_states import ABSENT, FormerStates, put_back
from ..interface import DOWN, READY, UNCHECKED, UP, Backend, Member, View, settings_of
from ..json_text import with_values_of

# providersThrottleDuration holds changes back: 2 s by default.
APPLIED_SECONDS, APPLIED_PAUSE_SECONDS = 60.0, 0.1
# The file; how long a member that is out is waited for; the weights of members that come into traffic, by name, by default those before they left.
SETTINGS: dict[str, object] = {"file": str, "quiet_seconds": 10, "weights": {}}
PROVIDER = "@file"
# The API's lists of all services, and how many entries a page of them has.
HTTP, TCP = "/api/http/services", "/api/tcp/services"
PAGE = 1000
# Where none is given, it is the first.
STRATEGIES = ("wrr", "hrw", "leasttime")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


class Facts(NamedTuple):
    """What demands look at: a service of type loadBalancer, why no weight can be written into the file, which services that are not seen beside it send to
    the same addresses, and of which lists of services the API gives none."""

    balancer: Mapping[str, Any]
    fault: str = ""
    others: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


class Traefik:
    """One Traefik, whose API listens at `endpoint`, and whose file is on this host."""

    options: tuple[str, ...] = ("settings", "headers")
    can_cut = False

    def __init__(self, name: str, endpoint: str, settings: Mapping[str, object], headers: Mapping[str, str],
                 steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 patience: Patience | None = None) -> None:
        self.name, self.endpoint = name, endpoint
        self._settings = settings_of(name, "traefik", settings, SETTINGS)
        self._api = JsonApi(name, endpoint, headers, patience=patience or Patience())
        self._file = ConfigFile(self._settings["file"], self._api.error)
        self._steady, self._sleep = steady, sleep
        self._version: str | None = None
        self._out = OutMembers(steady)
        self._former = FormerStates(self._file)
        # The weights of those that were taken out here, by pool and URL.
        self._taken: dict[tuple[str, str], int | None] = {}
        # The addresses that each service sends to, of any provider, by its full name; looked up once for a single pool.
        self._places: dict[str, set[str]] | None = None
        self._untold: list[str] = []

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: the services of the file provider."""
        if self._version is None:
            self._version = self._api.get("/api/version").get("Version", "")
        listed = self._all(HTTP) if backend is None else None
        services = {backend: self._service(backend)} if backend is not None else own_services(listed or [])
        others = self._others([f"{name}{PROVIDER}" for name in services], listed)
        document, fault = document_of(self._file.path)
        return View(self._version, {name: self._pool(name, service, fault or self._fault_of(document, name), others) for name, service in services.items()})

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: one rename of the file. Returns when Traefik has taken it."""
        self._service(backend)
        wanted: dict[str, int] = {}
        self._file.rewrite(lambda text: self._with_weights(text, backend, changes, wanted), lambda: self._wait_applied(backend, wanted))
        self._out.ask(backend, changes)

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        servers = f'.http.services["{backend}"].loadBalancer.servers[]'
        steps = " | ".join(f'({servers} | select((.url | split("/")[2]) == "{name}")).weight={self._weight_to_set(backend, name, change)}'
                           for name, change in changes.items())
        return f"jq {shlex.quote(steps)} {shlex.quote(self._file.path)} > new.json && mv new.json {shlex.quote(self._file.path)}"

    def _all(self, path: str, is_needed: bool = True) -> list[Mapping[str, Any]]:
        """All entries of a list of the API, which comes in pages; none where the API does not give one that is not needed."""
        found: list[Mapping[str, Any]] = []
        page = 1
        while True:
            place = f"{path}?per_page={PAGE}{f'&page={page}' if page > 1 else ''}"
            answer = self._api.ask("GET", place)
            if answer.status != 200 and not is_needed:
                self._untold.append(path)
                return found
            found += self._api.parse(place, answer)
            # Behind the last page comes the first one again.
            page, before = int(dict(answer.headers).get("x-next-page", 1)), page
            if page <= before:
                return found

    def _others(self, seen: Collection[str], listed: list[Mapping[str, Any]] | None) -> dict[str, set[str]]:
        """The addresses that services send to which are not among the pools that are `seen`, by the services' full names.

        :param listed: all services of HTTP, where they are known already.
        """
        if self._places is None:
            http = self._all(HTTP, is_needed=False) if listed is None else listed
            self._places = {**addresses_by_service(http, ""), **addresses_by_service(self._all(TCP, is_needed=False), " (TCP)")}
        return {name: places for name, places in self._places.items() if name not in seen}

    def _service(self, backend: str) -> Mapping[str, Any]:
        path = f"/api/http/services/{quote(backend, safe='')}{PROVIDER}"
        answer = self._api.ask("GET", path)
        if answer.status == 404:
            raise self._api.error(f"has no service {backend!r} of its file provider: it has {', '.join(sorted(own_services(self._all(HTTP)))) or 'none'}")
        service = self._api.parse(path, answer)
        if not service.get("loadBalancer", {}).get("servers"):
            raise self._api.error(f"has {backend} as a service without servers of its own: give a service of type loadBalancer")
        return service

    def _fault_of(self, document: Any, backend: str) -> str:
        """Why no weights of a service can be written into the document of the file, or an empty string."""
        try:
            servers_by_name(document, backend)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _not_json(self._file.path, error)
        return ""

    def _pool(self, backend: str, service: Mapping[str, Any], fault: str, others: Mapping[str, set[str]]) -> Backend:
        own = {address_of(server) for server in service["loadBalancer"]["servers"]}
        shared = tuple(sorted(name for name, places in others.items() if own & places))
        found = looked_at(DEMANDS, Facts(service["loadBalancer"], fault, shared, tuple(self._untold)))
        quiet = f"Traefik does not tell which requests are in flight: quiet_seconds ({self._settings['quiet_seconds']:g} s) are waited for them instead"
        return Backend(self._members(backend, service), None, found.notes, found.refusals, (quiet,))

    def _members(self, backend: str, service: Mapping[str, Any]) -> dict[str, Member]:
        check = service["loadBalancer"].get("healthCheck")
        words = service.get("serverStatus", {})
        return {name: self._member(backend, name, servers, check, words) for name, servers in by_name(service["loadBalancer"]["servers"]).items()}

    def _member(self, backend: str, name: str, servers: list[dict[str, Any]], check: Mapping[str, Any] | None, words: Mapping[str, str]) -> Member:
        weight = sum(server.get("weight", 1) for server in servers)
        status = next((words.get(server["url"], "") for server in servers if words.get(server["url"]) != "UP"), "UP")
        admin = self._out.admin(backend, name, weight > 0)
        quiet = self._settings["quiet_seconds"]
        recheck = 2 * sum(map(seconds, (check.get("interval", "30s"), check.get("timeout", "5s")))) if check else 0.0
        return Member(
            address=address_of(servers[0]),
            admin=admin,
            health=UNCHECKED if not check else UP if status == "UP" else DOWN,
            check=status,
            sessions=self._out.assumed_sessions(backend, name, admin, quiet),
            weight=weight,
            probed=bool(check),
            confirmed=self._out.is_confirmed(backend, name, recheck),
            note="" if admin == READY else f"Traefik does not report its requests in flight: {quiet:g} s are waited for them instead",
        )

    def _weight_before(self, backend: str, url: str, former: Mapping[str, int | None]) -> int | None:
        """The weight that a server comes back with: `ABSENT` where it had none."""
        if (backend, url) in self._taken:
            return self._taken[backend, url]
        return self._settings["weights"].get(member_name(url), former.get(url, ABSENT))

    def _weight_to_set(self, backend: str, name: str, change: str) -> int:
        if change != READY:
            return 0
        former = self._former.read(backend)
        weights = {member_name(url): self._weight_before(backend, url, former) for url in former}
        return weights.get(name, self._settings["weights"].get(name)) or 1

    def _with_weights(self, text: str, backend: str, changes: Mapping[str, str], wanted: dict[str, int]) -> str:
        """The text with the changes; fills in the weights that Traefik is to show then."""
        try:
            document = json.loads(text)
            servers = servers_by_name(document, backend)
        except (ValueError, KeyError, TypeError) as error:
            raise self._api.error(f"has {backend} not as JSON in {self._file.path}: {error!r}. "
                                  "Give the service a file of its own, in JSON, which is YAML, too") from error
        unknown = sorted(set(changes) - set(servers))
        if unknown:
            raise self._api.error(f"has no server {', '.join(unknown)} in {self._file.path}: it has {', '.join(servers)}")
        for name, change in changes.items():
            self._change(backend, servers[name], change)
            wanted.update({server["url"]: server.get("weight", 1) for server in servers[name]})
        return with_values_of(text, document)

    def _change(self, backend: str, servers: list[dict[str, Any]], change: str) -> None:
        """A server that is in traffic keeps its weight, one that comes back gets the one before."""
        if change == READY:
            former = self._former.read(backend)
            for server in servers:
                if not _is_in(server):
                    put_back(server, "weight", self._weight_before(backend, server["url"], former))
            return
        leaving = {server["url"]: server.get("weight", ABSENT) for server in servers if _is_in(server)}
        self._taken.update({(backend, url): weight for url, weight in leaving.items()})
        self._former.keep(backend, leaving)
        for server in servers:
            server["weight"] = 0

    def _wait_applied(self, backend: str, wanted: Mapping[str, int]) -> None:
        def is_taken() -> bool:
            weights = {server["url"]: server.get("weight", 1) for server in self._service(backend)["loadBalancer"]["servers"]}
            return all(weights.get(url) == weight for url, weight in wanted.items())

        if not wait_for(is_taken, APPLIED_SECONDS, APPLIED_PAUSE_SECONDS, self._steady, self._sleep):
            raise self._api.error(f"has not taken the changed {self._file.path} within {APPLIED_SECONDS:g} s: "
                                  "see its log, whether providers.file.watch is on, and providers.providersThrottleDuration")


def document_of(path: str) -> tuple[Any, str]:
    """The document in this file, and why it cannot be read, or an empty string."""
    try:
        return json.loads(text_of(path)), ""
    except OSError as error:
        return None, f"it is configured in {path}, which cannot be read here: {error}. Run this on the load balancer itself, as an account that may"
    except ValueError as error:
        return None, _not_json(path, error)


def _not_json(path: str, error: Exception) -> str:
    return f"it is not as JSON in {path}: {error!r}. Give the service a file of its own, in JSON, which is YAML, too"


def servers_by_name(document: Any, backend: str) -> dict[str, list[dict[str, Any]]]:
    """The servers of each member of a service in the document of a file."""
    return by_name(document["http"]["services"][backend]["loadBalancer"]["servers"])


def _has_a_file(facts: Facts) -> str:
    return facts.fault


def _keeps_to_weights(facts: Facts) -> str:
    strategy = facts.balancer.get("strategy") or STRATEGIES[0]
    if strategy in STRATEGIES:
        return ""
    return (f"its strategy is {strategy}, and only with {', '.join(STRATEGIES)} it is known that a weight of 0 keeps requests out: "
            f"set loadBalancer.strategy to {STRATEGIES[0]}")


def _is_alone(facts: Facts) -> str:
    return (f"{', '.join(facts.others)} {'send' if facts.others[1:] else 'sends'} to some of its addresses, too, where members are not drained: requests that "
            "reach a member there while it is out fail" if facts.others else "")


def _is_known_to_be_alone(facts: Facts) -> str:
    return (f"the API does not give {' and '.join(facts.untold)}: see that no other service sends to its addresses, because members are not drained there"
            if facts.untold else "")


# What a service has to look like: see `Demand`.
DEMANDS = (Demand(_keeps_to_weights), Demand(_has_a_file), Demand(_is_alone, is_needed=False), Demand(_is_known_to_be_alone, is_needed=False))


def own_services(services: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Those of the file provider that have servers, by their names there."""
    return {service["name"][:-len(PROVIDER)]: service for service in services
            if service["name"].endswith(PROVIDER) and service.get("loadBalancer", {}).get("servers")}


def addresses_by_service(services: Iterable[Mapping[str, Any]], suffix: str) -> dict[str, set[str]]:
    """The addresses that services of any provider send to, by name and suffix. A service that Traefik has disabled sends to none."""
    return {f"{service['name']}{suffix}": {address_of(server) for server in (service.get("loadBalancer") or {}).get("servers") or ()}
            for service in services if service.get("status") != "disabled"}


def by_name(servers: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The servers of each member: one host and port may be written with several paths."""
    found: dict[str, list[dict[str, Any]]] = {}
    for server in servers:
        found.setdefault(member_name(server["url"]), []).append(server)
    return found


def address_of(server: Mapping[str, Any]) -> str:
    """The host and the port of a server, as all services have them in common: one of HTTP has a URL, one of TCP an address."""
    text = server.get("url") or f"//{server.get('address', '')}"
    try:
        parts = urlsplit(text)
        return host_port(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    except ValueError:
        return text


def _is_in(server: Mapping[str, Any]) -> bool:
    return server.get("weight", 1) > 0


def member_name(url: str) -> str:
    """How a server is called: its host and port."""
    return urlsplit(url).netloc


def seconds(duration: Any) -> float:
    """A duration as Go writes it, such as ``1m30s`` or ``500ms``; a bare number is seconds."""
    text = str(duration)
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)) if _DURATION.search(text) else float(text)
