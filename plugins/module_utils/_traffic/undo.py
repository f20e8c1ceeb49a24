# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts back what was changed on load balancers, reads it back, and says where that worked and what to do where it did not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable, NamedTuple

from .interface import LoadBalancerError

ATTEMPTS, PAUSE_SECONDS = 2, 1.0


class Undo(NamedTuple):
    """How one load balancer gets back what it had. Both may raise LoadBalancerError, `command` never asks it."""

    balancer: str
    # Sets it and reads it back; what is wrong then, empty when nothing is.
    restore: Callable[[], str]
    # What a person does there instead.
    command: Callable[[], str]


class Undone(NamedTuple):
    """The load balancers that have back what they had, and what is said of each that has not, by name."""

    back: list[str]
    left: dict[str, str]

    def sentences(self, what: str) -> list[str]:
        """Of all of them.

        :param what: what came back, such as ``The previous state was``.
        """
        return [*([f"{what} restored on {', '.join(self.back)}"] if self.back else []), *self.left.values()]


def put_back(undos: Iterable[Undo], sleep: Callable[[float], None]) -> Undone:
    """Put it back on each load balancer, also when another one fails."""
    undone = Undone([], {})
    for undo in undos:
        if problem := _problem(undo, sleep):
            undone.left[undo.balancer] = f"{undo.balancer} could NOT be put back ({problem}); run there: {undo.command()}"
        else:
            undone.back.append(undo.balancer)
    return undone


def _problem(undo: Undo, sleep: Callable[[float], None]) -> str:
    """What is wrong after all attempts, empty when nothing is."""
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE_SECONDS)
        try:
            problem = undo.restore()
        except LoadBalancerError as error:
            problem = str(error)
        if not problem:
            break
    return problem
