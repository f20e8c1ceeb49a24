# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik as a load balancer whose services are in a file (the file provider): the file is changed, the API proves it. A weight of 0 takes a member out.

The file has only the service, in JSON, which is YAML, too: ``{"http": {"services": {"app": {"loadBalancer": {"servers": [...]}}}}}``, and whatever else.
Source: Traefik's file provider, and its API, ``/api/http/services/NAME@file``.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import Any, Callable, Mapping
from urllib.parse import quote, urlsplit

from ansible_collections.alwayson.upgrade.plugins.module_utils._config_file import ConfigFile
from ansible_collections.alwayson.upgrade.plugins.module_utils._json_api import JsonApi
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import DOWN, READY, UNCHECKED, UP, Backend, Member, View, settings_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._out_members import OutMembers
from ansible_collections.alwayson.upgrade.plugins.module_utils._patience import Patience
from ansible_collections.alwayson.upgrade.plugins.module_utils._waiting import wait_for

APPLIED_SECONDS, APPLIED_PAUSE_SECONDS = 10.0, 0.1
# The file; how long a member that is out is waited for; the weights of members that are in traffic, by name, 1 where it has none.
SETTINGS: dict[str, object] = {"file": str, "quiet_seconds": 10, "weights": {}}
PROVIDER = "@file"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


class Traefik:
    """One Traefik, whose API listens at `endpoint`, and whose file is on this host."""

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

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: the services of the file provider."""
        if self._version is None:
            self._version = self._api.get("/api/version").get("Version", "")
        services = self._services() if backend is None else {backend: self._service(backend)}
        return View(self._version, {name: Backend(self._members(name, service)) for name, service in services.items()})

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: one rename of the file. Returns when Traefik has taken it."""
        self._service(backend)
        self._file.rewrite(lambda text: self._with_weights(text, backend, changes), lambda: self._wait_applied(backend, changes))
        self._out.ask(backend, changes)

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        servers = f'.http.services["{backend}"].loadBalancer.servers[]'
        steps = " | ".join(f'({servers} | select((.url | split("/")[2]) == "{name}")).weight={self._weight(name, change)}'
                           for name, change in changes.items())
        return f"jq {shlex.quote(steps)} {shlex.quote(self._file.path)} > new.json && mv new.json {shlex.quote(self._file.path)}"

    def _services(self) -> dict[str, Mapping]:
        return {service["name"][:-len(PROVIDER)]: service for service in self._api.get("/api/http/services?per_page=1000")
                if service["name"].endswith(PROVIDER) and service.get("loadBalancer", {}).get("servers")}

    def _service(self, backend: str) -> Mapping:
        path = f"/api/http/services/{quote(backend, safe='')}{PROVIDER}"
        answer = self._api.ask("GET", path)
        if answer.status == 404:
            raise self._api.error(f"has no service {backend!r} of its file provider: it has {', '.join(sorted(self._services())) or 'none'}")
        service = self._api.parse(path, answer)
        if not service.get("loadBalancer", {}).get("servers"):
            raise self._api.error(f"has {backend} as a service without servers of its own: give a service of type loadBalancer")
        return service

    def _members(self, backend: str, service: Mapping) -> dict[str, Member]:
        check = service["loadBalancer"].get("healthCheck")
        words = service.get("serverStatus", {})
        return {member_name(server["url"]): self._member(backend, server, check, words.get(server["url"], "")) for server in service["loadBalancer"]["servers"]}

    def _member(self, backend: str, server: Mapping, check: Mapping | None, status: str) -> Member:
        name, weight = member_name(server["url"]), server.get("weight", 1)
        admin = self._out.admin(backend, name, weight > 0)
        quiet = self._settings["quiet_seconds"]
        recheck = 2 * sum(map(seconds, (check.get("interval", "30s"), check.get("timeout", "5s")))) if check else 0.0
        return Member(
            address=name,
            admin=admin,
            health=UNCHECKED if not check else UP if status == "UP" else DOWN,
            check=status,
            sessions=self._out.assumed_sessions(backend, name, admin, quiet),
            weight=weight,
            probed=bool(check),
            confirmed=self._out.is_confirmed(backend, name, recheck),
            note="" if admin == READY else f"Traefik does not tell its requests in flight: {quiet:g} s are waited for them instead",
        )

    def _weight(self, name: str, change: str) -> int:
        return self._settings["weights"].get(name, 1) if change == READY else 0

    def _with_weights(self, text: str, backend: str, changes: Mapping[str, str]) -> str:
        try:
            document = json.loads(text)
            servers = {member_name(server["url"]): server for server in document["http"]["services"][backend]["loadBalancer"]["servers"]}
        except (ValueError, KeyError, TypeError) as error:
            raise self._api.error(f"has {backend} not as JSON in {self._file.path}: {error!r}. "
                                  "Give the service a file of its own, in JSON, which is YAML, too") from error
        unknown = sorted(set(changes) - set(servers))
        if unknown:
            raise self._api.error(f"has no server {', '.join(unknown)} in {self._file.path}: it has {', '.join(servers)}")
        for name, change in changes.items():
            servers[name]["weight"] = self._weight(name, change)
        return json.dumps(document, indent=2) + "\n"

    def _wait_applied(self, backend: str, changes: Mapping[str, str]) -> None:
        def is_taken() -> bool:
            weights = {member_name(server["url"]): server.get("weight", 1) for server in self._service(backend)["loadBalancer"]["servers"]}
            return all(weights.get(name) == self._weight(name, change) for name, change in changes.items())

        if not wait_for(is_taken, APPLIED_SECONDS, APPLIED_PAUSE_SECONDS, self._steady, self._sleep):
            raise self._api.error(f"has not taken the changed {self._file.path} within {APPLIED_SECONDS:g} s: "
                                  "see its log, and whether providers.file.watch is on")


def member_name(url: str) -> str:
    """How a server is called: its host and port."""
    return urlsplit(url).netloc


def seconds(duration: Any) -> float:
    """A duration as Go writes it, such as ``1m30s`` or ``500ms``; a bare number is seconds."""
    text = str(duration)
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)) if _DURATION.search(text) else float(text)
