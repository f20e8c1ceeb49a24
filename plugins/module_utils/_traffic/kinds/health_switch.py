# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No access to the load balancer: a member takes itself out, by a health check that fails while it goes on serving (a lame duck).

Every member has a switch, which has to outlive a restart of the application. The reaction of the load balancer is not visible, so it is waited for. A health
check may also fail for another reason, which can end at any moment, so a member counts as out only when its switch was set here.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Callable
from urllib.parse import urlsplit

from ..._host.json_api import JsonApi
from ..._host.patience import Patience
from ..._host.waiting import wait_for
from ..drained_members import OutMembers
from ..interface import DOWN, READY, UP, Backend, LoadBalancerError, Member, View, require_members, settings_of

# backends: pool to members, each with the URL that reaches it directly. The load balancer asks health_path of them, and sends to those that answer 200.
# switch_path: PUT takes the member out, DELETE lets it in. live_path answers 200 also while the member is out.
# notice_seconds: how long the load balancer takes to notice, either way; quiet_seconds: how long the longest request takes.
SETTINGS: dict[str, object] = {
    "backends": dict, "health_path": "/healthz", "switch_path": "/lame-duck", "live_path": "/version", "notice_seconds": 5, "quiet_seconds": 10,
}
OUT, IN = "PUT", "DELETE"
# A member that has taken its switch may show it in its health check later.
SHOWN_SECONDS, SHOWN_PAUSE_SECONDS = 30.0, 0.1


class LameDuck:
    """The members behind a load balancer without an accessible API; `endpoint` is the address at which users reach it."""

    options: tuple[str, ...] = ("settings", "headers")
    can_cut = False

    def __init__(self, name: str, endpoint: str, settings: Mapping[str, object], headers: Mapping[str, str],
                 steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 patience: Patience | None = None) -> None:
        self.name, self.endpoint = name, endpoint
        self._settings = settings_of(name, "none", settings, SETTINGS)
        for backend, members in self._settings["backends"].items():
            if not isinstance(members, Mapping):
                raise LoadBalancerError(f"{name} has the pool {backend} as {members!r}: give each member's name, and the URL that reaches it directly")
        # What members answer to their paths says how they are, 503 and silence too. The switch may be set twice.
        self._apis = {(backend, member): JsonApi(f"{backend}/{member}", str(url), headers)
                      for backend, members in self._settings["backends"].items() for member, url in members.items()}
        self._patience = patience or Patience()
        self._steady, self._sleep = steady, sleep
        self._out = OutMembers(steady)
        self._came: dict[tuple[str, str], float] = {}
        # The members whose switches were put here.
        self._put: set[tuple[str, str]] = set()

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: what the members say of themselves."""
        names = list(self._settings["backends"]) if backend is None else [self._require(backend)]
        return View("", {name: self._pool(name) for name in names})

    def synchronize(self, backend: str, out: Collection[str]) -> list[str]:
        """See `Synchronizing`: set the switch of a member that seems to be out. The member does not report whether it was set before."""
        sentences = []
        for place in ((backend, member) for member in out if (backend, member) not in self._put):
            if not self._answers(self._apis[place], self._settings["health_path"]) and self._answers(self._apis[place], self._settings["live_path"]):
                self._switch(place, OUT)
                sentences.append(f"The health check of {backend}/{place[1]} failed before it was to be taken out, and its switch stays set. If it was not set "
                                 f"before: {self.command(backend, {place[1]: READY})}")
        return sentences

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: member after member. Returns when each shows it in its health check, or has not for `SHOWN_SECONDS`."""
        self._require(backend)
        require_members(f"{self.name} ({self.endpoint})", backend, self._settings["backends"][backend], changes)
        for member, change in changes.items():
            self._switch((backend, member), IN if change == READY else OUT)
            self._wait_shown(self._apis[backend, member], is_in=change == READY)
            self._out.ask(backend, {member: change})
            if change == READY:
                self._came[backend, member] = self._steady()

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        return " && ".join(f"curl -X {IN if change == READY else OUT} {self._apis[backend, member].endpoint}{self._settings['switch_path']}"
                           for member, change in changes.items() if (backend, member) in self._apis)

    def _switch(self, place: tuple[str, str], way: str) -> None:
        self._patience.call(partial(self._apis[place].change, way, self._settings["switch_path"]))
        if way == OUT:
            self._put.add(place)
        else:
            self._put.discard(place)

    def _wait_shown(self, api: JsonApi, is_in: bool) -> None:
        wait_for(lambda: self._answers(api, self._settings["health_path"]) == is_in, SHOWN_SECONDS, SHOWN_PAUSE_SECONDS, self._steady, self._sleep)

    def _pool(self, backend: str) -> Backend:
        waited = self._settings["notice_seconds"] + self._settings["quiet_seconds"]
        unproven = ((f"the load balancer is not read: {waited:g} s (notice_seconds and quiet_seconds) are waited for it to notice that a member "
                     "is out, and for requests to end"),)
        return Backend({member: self._member(backend, member) for pool, member in self._apis if pool == backend}, unproven=unproven)

    def _require(self, backend: str) -> str:
        if backend not in self._settings["backends"]:
            raise LoadBalancerError(f"{self.name} ({self.endpoint}) has no pool {backend!r}: its setting backends has {', '.join(self._settings['backends'])}")
        return backend

    def _member(self, backend: str, member: str) -> Member:
        place, notice, quiet = (backend, member), self._settings["notice_seconds"], self._settings["quiet_seconds"]
        api = self._apis[place]
        is_alive = self._answers(api, self._settings["live_path"])
        is_in = self._answers(api, self._settings["health_path"])
        # One that is dead and was not sent away counts as one that has traffic: that is how the load balancer would treat it when it comes back.
        is_meant_in = is_in or (not is_alive and not self._out.is_asked(*place))
        is_noticed = self._steady() - self._came.get(place, -notice) >= notice
        admin = self._out.admin(backend, member, is_meant_in)
        return Member(
            address=urlsplit(api.endpoint).netloc,
            admin=admin,
            health=UP if is_alive and (is_noticed or not is_in) else DOWN,
            sessions=self._out.assumed_sessions(backend, member, admin, notice + quiet),
            note="" if is_meant_in else f"the load balancer is not read: {notice + quiet:g} s are waited for it to notice and for requests to end",
        )

    def _answers(self, api: JsonApi, path: str) -> bool:
        try:
            return api.ask("GET", path).status == 200
        except LoadBalancerError:
            return False
