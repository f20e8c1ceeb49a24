# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives members of a pool a share of their configured weight on all load balancers, reads it back, and puts the weights before back when it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from .._host.clock import Clock
from .interface import LoadBalancer, LoadBalancerError, require_members
from .undo import Undo, put_back

WHOLE = 100


class WeightError(Exception):
    """The members do not have the requested weight. The message says why, and what they have now."""


class WeightedBalancer(LoadBalancer, Protocol):
    """A kind of load balancer whose members' weights can be set: each member that it reads has its `configured_weight`."""

    def set_weights(self, backend: str, weights: Mapping[str, int]) -> None:
        """Give these members these weights."""


@dataclass(frozen=True)
class Result:
    """What was done: the weights before and after, by load balancer and member."""

    changed: bool
    before: dict[str, dict[str, int]]
    after: dict[str, dict[str, int]]


def dry_run(balancers: Sequence[WeightedBalancer], backend: str, members: Sequence[str], percent: int) -> Result:
    """What `apply` would end in. Only reads; raises LoadBalancerError or WeightError when that cannot be."""
    if not 1 <= percent <= WHOLE:
        raise WeightError(f"percent is {percent}: give 1 to {WHOLE}, of the weight that the configuration gives; "
                          "none at all is state=drained of alwayson.upgrade.traffic_member")
    if not members:
        raise WeightError("members is empty: name at least one")
    before, after = {}, {}
    for balancer in balancers:
        if not hasattr(balancer, "set_weights"):
            raise WeightError(f"{balancer.name} ({balancer.endpoint}) is of a kind whose weights are not set here: ansible-doc alwayson.upgrade.traffic_weight "
                              "names those that are")
        pool = balancer.read(backend).backends[backend].members
        require_members(balancer.name, backend, pool, members)
        before[balancer.name] = {name: pool[name].weight for name in members}
        after[balancer.name] = {name: _share(balancer.name, backend, name, pool[name].configured_weight, percent) for name in members}
    return Result(before != after, before, after)


def apply(balancers: Sequence[WeightedBalancer], backend: str, members: Sequence[str], percent: int, clock: Clock = Clock()) -> Result:
    """Have it so on every load balancer. Raise WeightError when it did not work out."""
    wanted = dry_run(balancers, backend, members, percent)
    touched: list[WeightedBalancer] = []
    try:
        for balancer in balancers:
            if wanted.before[balancer.name] != wanted.after[balancer.name]:
                touched.append(balancer)
                balancer.set_weights(backend, wanted.after[balancer.name])
                _require(balancer, backend, wanted.after[balancer.name])
    except (LoadBalancerError, WeightError) as error:
        raise WeightError(f"{error}. {_undone(touched, backend, wanted, clock)}") from error
    except BaseException:
        _undone(touched, backend, wanted, clock)
        raise
    return wanted


def _share(balancer: str, backend: str, name: str, configured: int | None, percent: int) -> int:
    if configured is None:
        raise WeightError(f"{balancer} does not tell the weight that {backend}/{name} is configured with")
    share = configured * percent // WHOLE
    if not share:
        raise WeightError(f"{backend}/{name} is configured with the weight {configured} on {balancer}, of which {percent} % is none: "
                          f"give the servers weight {WHOLE}")
    return share


def _require(balancer: WeightedBalancer, backend: str, weights: Mapping[str, int]) -> None:
    wrong = _wrong(balancer, backend, weights)
    if wrong:
        raise WeightError(f"{wrong} on {balancer.name} although it was given another: another program changes it")


def _wrong(balancer: WeightedBalancer, backend: str, weights: Mapping[str, int]) -> str:
    """Which members have another weight than these, empty when none has."""
    found = balancer.read(backend).backends[backend].members
    return "; ".join(f"{backend}/{name} has the weight {found[name].weight}" for name, weight in weights.items() if found[name].weight != weight)


def _undone(touched: Sequence[WeightedBalancer], backend: str, wanted: Result, clock: Clock) -> str:
    if not touched:
        return "Nothing was changed"
    undos = [Undo(balancer.name, partial(_restore, balancer, backend, wanted.before[balancer.name]), partial(_by_hand, backend, wanted.before[balancer.name]))
             for balancer in touched]
    return ". ".join(put_back(undos, clock.sleep).sentences("The previous weights were"))


def _restore(balancer: WeightedBalancer, backend: str, weights: Mapping[str, int]) -> str:
    balancer.set_weights(backend, weights)
    return _wrong(balancer, backend, weights)


def _by_hand(backend: str, weights: Mapping[str, int]) -> str:
    return "set the weight of " + ", ".join(f"{backend}/{name} to {weight}" for name, weight in weights.items())
