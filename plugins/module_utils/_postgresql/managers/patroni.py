# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switchover where Patroni runs the cluster.

Source: Patroni's documentation of its REST API.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ..._host.control_error import ControlError
from ..._host.json_api import JsonApi
from ..pooler.pgbouncer import PgBouncer
from ..switchover.node import Node
from ..switchover.window import Limits, SwitchoverError
from .switchover import ManagedSwitchover

ARGUMENTS = {
    "patroni": {
        "type": "dict",
        "options": {
            "url": {"type": "str", "required": True},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "validate_certs": {"type": "bool", "default": True},
        },
    },
}
# What a member is that streams; "running" says so before version 3.
HEALTHY = ("streaming", "running")
LEADER = "leader"


class Patroni:
    """Patroni's REST API on one of its members."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        word = base64.b64encode(f"{options['user']}:{options['password'] or ''}".encode()).decode("ascii")
        try:
            self._api = JsonApi("Patroni", options["url"], {"Authorization": f"Basic {word}"} if options["user"] else {}, options["validate_certs"])
        except ControlError as error:
            raise SwitchoverError(str(error)) from error

    def cluster(self) -> Mapping[str, Any]:
        """What it says of all members."""
        try:
            cluster = self._api.get("/cluster")
            if not _is_cluster(cluster):
                raise self._api.error("does not answer GET /cluster like Patroni, with members that have name, role and state: is this its API?")
        except ControlError as error:
            raise SwitchoverError(str(error)) from error
        return cluster

    def switch(self, leader: str, candidate: str) -> str:
        """Have the candidate lead; returns why not, in a sentence, empty when it does or when that is not known."""
        try:
            answer = self._api.ask("POST", "/switchover", {"leader": leader, "candidate": candidate})
        except ControlError:
            # It answers when it is done, which may be late.
            return ""
        return "" if answer.status == 200 else f"Patroni refuses the switchover ({answer.status}): {' '.join(answer.body.split())}"


def _is_cluster(found: object) -> bool:
    members = found.get("members") if isinstance(found, Mapping) else None
    return isinstance(members, list) and all(
        isinstance(member, Mapping) and all(isinstance(member.get(name), str) for name in ("name", "role", "state"))
        and isinstance(member.get("tags") or {}, Mapping) for member in members)


class PatroniSwitchover(ManagedSwitchover):
    """`old` and `new` have the names of Patroni's members."""

    def __init__(self, old: Node, new: Node, poolers: Sequence[PgBouncer], limits: Limits, patroni: Patroni) -> None:
        super().__init__(old, new, poolers, limits)
        self._patroni = patroni

    def _require_manager_ready(self) -> None:
        cluster = self._patroni.cluster()
        members = {member["name"]: member for member in cluster["members"]}
        missing = [name for name in (self.old.name, self.new.name) if name not in members]
        if missing:
            raise SwitchoverError(f"Patroni has no member {', '.join(missing)}: it has {', '.join(sorted(members))}. Name the servers as it does")
        if cluster.get("pause"):
            raise SwitchoverError("Patroni is paused: resume it (patronictl resume)")
        if members[self.old.name]["role"] != LEADER:
            raise SwitchoverError(f"{self.old.name} is {members[self.old.name]['role']} for Patroni, and not its leader: see patronictl list")
        candidate = members[self.new.name]
        if candidate["state"] not in HEALTHY or (candidate.get("tags") or {}).get("nofailover"):
            raise SwitchoverError(f"{self.new.name} is no healthy candidate for Patroni (state {candidate['state']}, tags {candidate.get('tags') or 'none'}): "
                                  "see patronictl list")

    def _exchange(self) -> str:
        return self._patroni.switch(self.old.name, self.new.name)
