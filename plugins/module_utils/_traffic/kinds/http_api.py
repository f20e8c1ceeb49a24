# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any load balancer with an API: one JMESPath makes its members out of an answer, URL templates make the requests that change one.

Source for the preset: NGINX Plus' API, ``/api/9/http/upstreams/NAME``.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple
from urllib.parse import quote

try:
    import jmespath
    from jmespath.exceptions import JMESPathError
except ImportError:
    jmespath = None
    JMESPathError = ValueError

from ..._host.json_api import JsonApi
from ..._host.patience import Patience, UnavailableError
from ..._host.waiting import wait_for
from ..demands import Demand, looked_at
from ..drained_members import OutMembers
from ..interface import (
    DOWN, DRAIN, HEALTHY, MAINT, READY, UNCHECKED, UP, WATCH_SECONDS, Backend, LoadBalancerError, Member, View, repeated, require_members, settings_of,
)

# path: where the members of {backend} are. members: a JMESPath to a list of name, admin, health, sessions and so on; what else is in it can stand in the
# paths of requests, as {id}. backends: the pools that are read when all of them are requested. change: a request (method, path, body) for ready, drain and
# maint; without one for drain, the one for maint is sent at once.
SETTINGS: dict[str, object] = {
    "path": str, "members": str, "change": dict, "recheck_seconds": 0, "quiet_seconds": 0, "validate_certs": True, "backends": [],
}
# An API that accepts a change may show it later, and what is read next may be older still.
SHOWN_SECONDS, SHOWN_PAUSE_SECONDS = 30.0, 0.5
BYPASS = ("find what sends requests to it in this state. Where the API tells arrivals late, or counts its own health checks among them, leave arrivals out of "
          "the JMESPath in members")
FIELDS = {"name": str, "address": str, "admin": str, "health": str, "check": str, "sessions": int, "queued": int, "arrivals": int, "weight": int,
          "backup": bool}


class _Asked(NamedTuple):
    """The last state that was requested for a member, and the earlier ones, which the API may show for a while."""

    state: str
    before: frozenset[str]
    until: float


_NOTHING = _Asked("", frozenset(), 0.0)


class HttpApi:
    """One load balancer, whose API is at `endpoint`. Members are changed one after the other."""

    options: tuple[str, ...] = ("settings", "headers")
    can_cut = False
    kind = "http"
    # Default settings, and what this kind cannot prove, regardless of what its API reports.
    preset: Mapping[str, object] = {}
    unproven: tuple[str, ...] = ()

    def __init__(self, name: str, endpoint: str, settings: Mapping[str, object], headers: Mapping[str, str],
                 steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 patience: Patience | None = None) -> None:
        self.name, self.endpoint = name, endpoint
        self._settings = settings_of(name, self.kind, {**self.preset, **settings}, SETTINGS)
        self._api = JsonApi(name, endpoint, headers, self._settings["validate_certs"], patience or Patience())
        self._out = OutMembers(steady)
        self._steady, self._sleep = steady, sleep
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._seen: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._changes = require_changes(self._settings["change"], self._api.error)
        self._search = compiled(self._settings["members"], self._api.error)

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: all are those in the setting `backends`. A requested change is waited for until it is shown."""
        names = self._settings["backends"] if backend is None else [backend]
        return View("", {name: self._pool(name, self._shown_rows(name)) for name in names})

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`."""
        rows = {row["name"]: row for row in self._rows(backend)}
        require_members(f"{self.name} ({self.endpoint})", backend, rows, changes)
        for name, change in changes.items():
            self._change(backend, rows[name], change)
            self._out.ask(backend, {name: change})

    def _shown_rows(self, backend: str) -> list[Mapping[str, Any]]:
        """The members, once they show the last requested states; as they are when that request is long ago."""
        found: list[Mapping[str, Any]] = []

        def is_shown() -> bool:
            found[:] = self._rows(backend)
            return not self._late(backend, found)
        rest = max((asked.until for (pool, _name), asked in self._asked.items() if pool == backend), default=0.0) - self._steady()
        if not wait_for(is_shown, rest, SHOWN_PAUSE_SECONDS, self._steady, self._sleep) and rest > 0:
            late = self._late(backend, found)
            raise self._api.error(f"accepted a change of {', '.join(late)} in {backend}, and does not show it within {SHOWN_SECONDS:g} s: see its log, whether "
                                  "another program changes it, and whether the JMESPath in members tells the state (admin) that it is in")
        return found

    def _late(self, backend: str, rows: list[Mapping[str, Any]]) -> list[str]:
        """The members that still show a state from before the last change, and not the requested one."""
        asked = {row["name"]: self._asked[backend, row["name"]] for row in rows if (backend, row["name"]) in self._asked}
        return [row["name"] for row in rows if row["name"] in asked and row.get("admin") in asked[row["name"]].before - {asked[row["name"]].state}]

    def _pool(self, backend: str, rows: list[Mapping[str, Any]]) -> Backend:
        quiet = f"its API does not tell the requests in flight: quiet_seconds ({self._settings['quiet_seconds']:g} s) are waited for them instead"
        health = "its API does not tell the health of its members: they count as live while they are not out"
        unproven = [sentence for field, sentence in (("sessions", quiet), ("health", health)) if any(row.get(field) is None for row in rows)]
        found = looked_at(DEMANDS, Facts(rows, self._settings["quiet_seconds"]))
        return Backend({row["name"]: self._member(backend, row) for row in rows}, None, found.notes, found.refusals, (*unproven, *self.unproven),
                       bypass=BYPASS)

    def _change(self, backend: str, row: Mapping[str, Any], change: str) -> None:
        """A request that may have arrived without an answer is sent again only when the member is not in the requested state."""
        request = self._request(backend, row, change)
        now, last = self._steady(), self._asked.get((backend, row["name"]), _NOTHING)
        before = {row.get("admin"), *({last.state, *last.before} if now < last.until else ())}
        self._asked[backend, row["name"]] = _Asked(request["state"], frozenset(before - {None}), now + SHOWN_SECONDS)
        try:
            self._api.change(request["method"], request["path"], request["body"])
        except UnavailableError:
            there = next((found for found in self._rows(backend) if found["name"] == row["name"]), row)
            if there.get("admin", READY) != request["state"]:
                self._api.change(request["method"], request["path"], request["body"])

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        try:
            requests = [self._request(backend, self._seen.get((backend, name), {"name": name}), change) for name, change in changes.items()]
        except LoadBalancerError:
            # It never reported what its paths need.
            return "by its API: " + ", ".join(f"{name} to {change}" for name, change in changes.items())
        return " && ".join(map(self._curl, requests))

    def _curl(self, request: Mapping[str, Any]) -> str:
        body = [] if request["body"] is None else ["-H", "Content-Type: application/json", "-d", json.dumps(request["body"])]
        return shlex.join(["curl", "-X", request["method"], *body, self.endpoint.rstrip("/") + request["path"]])

    def _request(self, backend: str, row: Mapping[str, object], change: str) -> dict[str, Any]:
        asked = change if change in self._changes else DRAIN if change != READY and DRAIN in self._changes else MAINT
        template = self._changes[asked]
        words = {key: str(value) for key, value in row.items()}
        return {"state": asked, "method": template.get("method", "POST"), "path": fill(template["path"], {**words, "backend": backend}, self._api.error),
                "body": template.get("body")}

    def _rows(self, backend: str) -> list[Mapping[str, Any]]:
        path = fill(self._settings["path"], {"backend": backend}, self._api.error)
        answer = self._api.ask("GET", path)
        if answer.status == 404:
            raise self._api.error(f"has no pool {backend!r}: GET {path} is answered with 404")
        found = self._search(self._api.parse(path, answer))
        if not isinstance(found, list) or not found:
            raise self._api.error(f"has no members in the answer to GET {path}: the JMESPath in members finds {found!r}")
        for row in found:
            self._require_row(row)
        if twice := repeated([row["name"] for row in found]):
            raise self._api.error(f"has {', '.join(twice)} more than once in {backend}: "
                                  "have the JMESPath in members give each a name of its own, such as its address")
        for row in found:
            self._seen[backend, row["name"]] = row
        return found

    def _require_row(self, row: object) -> None:
        if not isinstance(row, Mapping) or not row.get("name"):
            raise self._api.error(f"has a member without a name: the JMESPath in members finds {row!r}")
        for field, kind in FIELDS.items():
            value = row.get(field)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool) != (kind is bool)):
                raise self._api.error(f"has a member with {field}={value!r}, which is no {kind.__name__}: correct the JMESPath in members")
        for field, words in (("admin", (READY, DRAIN, MAINT)), ("health", (UP, DOWN, UNCHECKED))):
            if row.get(field) not in (None, *words):
                raise self._api.error(f"has a member with {field}={row[field]!r}, which is none of {', '.join(words)}: correct the JMESPath in members")

    def _member(self, backend: str, row: Mapping[str, Any]) -> Member:
        fields = {field: row[field] for field in FIELDS if field != "name" and row.get(field) is not None}
        reported, health = fields.pop("admin", READY), fields.pop("health", UNCHECKED)
        # Without a request for drain, maintenance is all that it knows of a member that is out.
        admin = reported if DRAIN in self._changes else self._out.admin(backend, row["name"], reported == READY)
        quiet, sessions, note = self._settings["quiet_seconds"], fields.pop("sessions", None), ""
        if sessions is None:
            sessions = self._out.assumed_sessions(backend, row["name"], admin, quiet)
            note = "" if admin == READY else f"requests in flight are not reported: {quiet:g} s are waited for them instead"
        confirmed = health in HEALTHY and self._out.is_confirmed(backend, row["name"], self._settings["recheck_seconds"])
        return Member(**{"address": row["name"], **fields}, admin=admin, health=health, sessions=sessions, probed=health != UNCHECKED, confirmed=confirmed,
                      note=note, watch_seconds=0.0 if row.get("arrivals") is None else WATCH_SECONDS)


class NginxPlus(HttpApi):
    """NGINX Plus, whose API version 9 is at `endpoint`."""

    kind = "nginx_plus"
    unproven = ("a reload loses the state of members, unless the upstream keeps its servers in a state file",)
    preset: Mapping[str, object] = {
        "path": "/api/9/http/upstreams/{backend}",
        "members": "peers[].{name: name, address: server, id: to_string(id), "
                   "admin: (state == 'draining' && 'drain') || (state == 'down' && 'maint') || 'ready', "
                   "health: ((contains(['unavail', 'unhealthy', 'checking'], state) || health_checks.last_passed == `false`) && 'down') || 'up', check: state, "
                   "sessions: active, arrivals: requests, weight: weight, backup: backup}",
        "recheck_seconds": 10,
        "change": {
            "ready": {"method": "PATCH", "path": "/api/9/http/upstreams/{backend}/servers/{id}", "body": {"down": False, "drain": False}},
            "drain": {"method": "PATCH", "path": "/api/9/http/upstreams/{backend}/servers/{id}", "body": {"down": False, "drain": True}},
            "maint": {"method": "PATCH", "path": "/api/9/http/upstreams/{backend}/servers/{id}", "body": {"down": True}},
        },
    }


class Facts(NamedTuple):
    """What demands look at: the members as the API shows them, and the setting quiet_seconds."""

    rows: Sequence[Mapping[str, Any]]
    quiet_seconds: float


def _tells_its_state(facts: Facts) -> str:
    silent = [row["name"] for row in facts.rows if row.get("admin") is None]
    return (f"the JMESPath in members does not tell the state (admin: ready, drain or maint) of {', '.join(silent)}, so it is not known whether they are out: "
            "add it" if silent else "")


def _ends_its_requests(facts: Facts) -> str:
    silent = [row["name"] for row in facts.rows if row.get("sessions") is None]
    return (f"its API does not tell the requests in flight (sessions) to {', '.join(silent)}, and quiet_seconds is 0, so they are not waited for: set "
            "traffic_settings: quiet_seconds to as long as the longest request takes, or add sessions to the JMESPath in members"
            if silent and facts.quiet_seconds <= 0 else "")


# What the members of a pool have to report: see `Demand`.
DEMANDS = (Demand(_tells_its_state), Demand(_ends_its_requests))


def compiled(expression: str, error: Callable[[str], LoadBalancerError]) -> Callable[[Any], Any]:
    """A JMESPath as a function."""
    if jmespath is None:
        raise error("needs the Python library jmespath where this runs: python -m pip install jmespath")
    try:
        program = jmespath.compile(expression)
    except JMESPathError as wrong:
        raise error(f"has {expression!r}, which is no JMESPath: {wrong}") from wrong

    def search(document: Any) -> Any:
        try:
            return program.search(document)
        except JMESPathError as wrong:
            raise error(f"answers with data to which the JMESPath {expression!r} does not apply: {wrong}") from wrong

    return search


def fill(template: str, words: Mapping[str, str], error: Callable[[str], LoadBalancerError]) -> str:
    """A URL with its {words}, each percent-encoded."""
    try:
        return template.format_map({key: quote(word, safe="") for key, word in words.items()})
    except (KeyError, ValueError, IndexError, AttributeError) as wrong:
        raise error(f"has the path {template!r}, in which {wrong} is not known: it may have {', '.join(f'{{{word}}}' for word in words)}") from wrong


def require_changes(changes: Mapping[str, Any], error: Callable[[str], LoadBalancerError]) -> Mapping[str, Mapping[str, Any]]:
    """The requests by state, of which ready and maint have to be there."""
    for state in (READY, MAINT):
        if state not in changes:
            raise error(f"has no request for {state}: change needs {READY} and {MAINT}")
    for state, request in changes.items():
        if state not in (READY, DRAIN, MAINT) or not isinstance(request, Mapping) or not isinstance(request.get("path"), str) \
                or set(request) - {"method", "path", "body"}:
            raise error(f"has change.{state}={request!r}: give method, path and body for each of {READY}, {DRAIN}, {MAINT}")
    return changes
