# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of load balancer looks like to the rest of the collection: one view to read, one way to change it.

Each kind of load balancer is a module or package that implements `LoadBalancer`. The code that decides uses only this interface.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from .._host.control_error import ControlError

# The administrative state of a member: all traffic, none but the clients that are bound to it, none.
READY, DRAIN, MAINT = "ready", "drain", "maint"

# Further states that can be requested: drain, and unusable until the health check has passed again; close the sessions that are open.
RECHECK, CUT = "recheck", "cut"

# The health of a member. It is not checked at all, or not while it is in maintenance.
UP, DOWN, STOPPING, UNCHECKED, PAUSED = "up", "down", "stopping", "unchecked", "paused"
HEALTHY = (UP, UNCHECKED)

# For how long a member in maintenance is watched, in seconds, where its arrivals are counted.
WATCH_SECONDS = 1.0

# A load balancer was not reachable, or its answer was not as expected. The message names it and its endpoint.
LoadBalancerError = ControlError


Place = tuple[str, str]  # load balancer, member


@dataclass(frozen=True)
class Member:
    """A member of a backend as one load balancer sees it now.

    `address` is empty for one that has none yet. `admin` is `READY`, `DRAIN` or `MAINT`; `health` one of the words above; `check` how the last health check
    ended (``L7OK``), and `check_code` the status of its answer, None where that is not reported.
    `sessions` are in flight and `queued` wait for it; `lingering` are open connections whose next request may come to it regardless of its
    state; `arrivals` counts every session it was ever given,
    `errors` those that failed, and `response_ms` is how long the last ones took on average; None where that is not reported.
    `probed`: whether the load balancer checks its health, so that `RECHECK` is possible; `confirmed`: whether a
    check passed and none failed since (without checks: True); `agent` whether the member itself can change its state through
    an agent check. `configured_weight` is the weight of the configuration, None where that is not known. `note` says what
    this kind of load balancer cannot prove, and `sessions_note` what else its `sessions` may be. For `watch_seconds` of maintenance its `arrivals` must not
    rise and its state must not change before it is proven to be out; 0 where neither would be seen. For `idle_seconds` that has certainly been so already.
    """

    address: str
    admin: str
    health: str
    check: str = ""
    check_code: int | None = None
    sessions: int = 0
    queued: int = 0
    lingering: int = 0
    arrivals: int = 0
    errors: int | None = None
    response_ms: float | None = None
    weight: int = 1
    configured_weight: int | None = None
    cookie: str | None = None
    backup: bool = False
    probed: bool = True
    confirmed: bool = True
    agent: bool = False
    note: str = ""
    sessions_note: str = ""
    watch_seconds: float = 0.0
    idle_seconds: float = 0.0

    @property
    def serving(self) -> bool:
        """Whether it is open for new traffic: ready, healthy, and with a weight."""
        return self.admin == READY and self.health in HEALTHY and self.weight > 0

    @property
    def live(self) -> bool:
        """Whether it takes new traffic now. A backup member waits until the others are gone, so it is no capacity."""
        return self.serving and not self.backup


@dataclass(frozen=True)
class Backend:
    """A pool: its members by name, and the name of the cookie that binds clients to them, if there is one.

    The rest are sentences without the load balancer's name: `refusals` say why no drain can be proven with this configuration, and the cure; `warnings`
    what the configuration puts at risk; `unproven` what this kind of load balancer cannot prove at all; `bypass` is what lets requests reach a member in
    maintenance, and the cure, empty where nothing is known of it. With fewer live members than `panic_percent` of those that are no backups, it sends to
    all of them. `drained_with` are the backends whose members go out and come back with these. `unknown_for` is for how many seconds members may be reported
    healthy that are not, because the load balancer has restarted its checks.
    """

    members: Mapping[str, Member]
    cookie_name: str | None = None
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    panic_percent: float = 0.0
    drained_with: tuple[str, ...] = ()
    unknown_for: float = 0.0
    bypass: str = ""

    @property
    def live(self) -> int:
        """How many members take new traffic now."""
        return sum(member.live for member in self.members.values())


@dataclass(frozen=True)
class View:
    """A load balancer at one moment: the version of its software, its backends by name, and which process answered, 0 where that is unknown."""

    version: str
    backends: Mapping[str, Backend]
    process: int = 0


class LoadBalancer(Protocol):
    """What a kind of load balancer implements. Every method raises LoadBalancerError."""

    # What an entry of the option load_balancers may have for this kind besides name, kind and endpoint. The constructor gets each by its name.
    options: tuple[str, ...]
    name: str
    endpoint: str
    # Whether it can close the sessions of one member.
    can_cut: bool

    def __init__(self, name: str, endpoint: str, **given: Any) -> None:
        """:param given: each of `options`, and `patience`, see `_host.patience`."""

    def read(self, backend: str | None = None) -> View:
        """See all backends, or only `backend`; one that is not there is an error."""

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """Make these changes, member to `READY`, `DRAIN`, `MAINT`, `RECHECK` or `CUT`, in one step where that can be. `CUT` only comes when `can_cut`."""

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """What a person types in a shell to make the same changes."""


@runtime_checkable
class Synchronizing(LoadBalancer, Protocol):
    """A kind whose members may not be in the states that it shows, before `synchronize` has made sure of it."""

    def synchronize(self, backend: str, out: Collection[str]) -> list[str]:
        """Make sure that its processes use the configuration that was read, and that members in `out` that are out were taken out here.

        Called before each look while members are driven; returns a sentence for each thing it did that stays when all else is put back.
        """


def require_distinct(specs: Sequence[Mapping[str, str]]) -> None:
    """Refuse no load balancer at all, and one that is given twice: its twin would be missed."""
    if not specs:
        raise LoadBalancerError("load_balancers is empty: give at least one, with name and endpoint")
    for key, place_of in (("name", str), ("endpoint", _place_of)):
        if twice := repeated([place_of(spec[key]) for spec in specs]):
            raise LoadBalancerError(f"load_balancers has the {key} {twice[0]!r} twice: give each load balancer once")


def _place_of(endpoint: str) -> str:
    """An endpoint, the same for all paths to one file of this host: a link leads to the same load balancer."""
    scheme, colon, path = endpoint.partition(":")
    return f"{scheme}:{os.path.realpath(path)}" if colon and scheme in ("unix", "file") and path.startswith("/") else endpoint


def repeated(values: Sequence[str]) -> list[str]:
    """Those that are there more than once."""
    return sorted({value for value in values if values.count(value) > 1})


def require_members(balancer: str, backend: str, known: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise LoadBalancerError, which names the members that there are, when one that is wanted is not among them.

    :param balancer: how messages call the load balancer.
    """
    there = list(known)
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise LoadBalancerError(f"{balancer} has no member {', '.join(unknown)} in {backend}: it has {', '.join(there) or 'none'}")


def settings_of(name: str, kind: str, given: Mapping[str, object], defaults: Mapping[str, object]) -> dict[str, Any]:
    """The settings of a kind, the defaults filled in; raise LoadBalancerError for one that there is not, that is missing, or of another type.

    :param defaults: each setting with its default, or with its type when it has none and has to be given.
    """
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise LoadBalancerError(f"{name} has unknown settings {', '.join(unknown)} for kind={kind}: it has {', '.join(sorted(defaults)) or 'none'}")
    settings = {**defaults, **given}
    for key, value in settings.items():
        if isinstance(value, type):
            raise LoadBalancerError(f"{name} lacks the setting {key}: kind={kind} cannot do without")
        default = defaults[key]
        wanted: type = default if isinstance(default, type) else type(default)
        if not isinstance(value, (int, float) if wanted is int else wanted) or isinstance(value, bool) != (wanted is bool):
            raise LoadBalancerError(f"{name} has the setting {key}={value!r}, which is no {wanted.__name__}")
    return settings
