# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kind of load balancer in one file, as a contributor would add one: a JSON file, ``{pool: {member: {admin, alive, sessions}}}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import (
    DOWN, DRAIN, READY, RECHECK, UP, Backend, LoadBalancerError, Member, View, require_members, settings_of,
)

# How many sessions of a member that is out end between two looks.
SETTINGS: dict[str, object] = {"pace": 1}


class ToyBalancer:
    """The file at `endpoint`, written ``toy:/path``."""

    options = ("settings",)
    can_cut = False

    def __init__(self, name, endpoint, settings, patience=None):
        self.name, self.endpoint = name, endpoint
        self._pace = settings_of(name, "toy", settings, SETTINGS)["pace"]
        self._path = Path(endpoint[len("toy:"):])

    def read(self, backend=None):
        """See `LoadBalancer.read`."""
        pools = self._pools()
        if backend is not None and backend not in pools:
            raise LoadBalancerError(f"{self.name} ({self.endpoint}) has no pool {backend!r}: it has {', '.join(pools) or 'none'}")
        wanted = pools if backend is None else {backend: pools[backend]}
        view = View("toy 1.0", {pool: Backend({name: _member(seen) for name, seen in members.items()}) for pool, members in wanted.items()})
        for seen in (seen for members in wanted.values() for seen in members.values() if seen["admin"] != READY):
            seen["sessions"] = max(0, seen["sessions"] - self._pace)
        self._path.write_text(json.dumps(pools), encoding="utf-8")
        return view

    def apply(self, backend, changes):
        """See `LoadBalancer.apply`: one write."""
        pools = self._pools()
        require_members(f"{self.name} ({self.endpoint})", backend, pools[backend], changes)
        for member, change in changes.items():
            pools[backend][member]["admin"] = DRAIN if change == RECHECK else change
        self._path.write_text(json.dumps(pools), encoding="utf-8")

    def command(self, backend, changes):
        """See `LoadBalancer.command`."""
        return f"toyctl {self._path} {backend} " + " ".join(f"{member}={change}" for member, change in changes.items())

    def _pools(self):
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise LoadBalancerError(f"{self.name} ({self.endpoint}) cannot be read: {error.strerror}") from error


def _member(seen: Mapping) -> Member:
    return Member(address=seen["address"], admin=seen["admin"], health=UP if seen["alive"] else DOWN, sessions=seen["sessions"])
