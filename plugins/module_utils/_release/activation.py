# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a staged release the one that runs: stop, switch, start; each proven before the next."""

from __future__ import annotations

from typing import NamedTuple

from . import releases
from .service import Service, ServiceError


class ActivationError(Exception):
    """The release does not run; the message says how far it came, what is current now and how to go back."""


class Plan(NamedTuple):
    """What is left to do: stop the running service, switch the link from `before`, start the service."""

    version: str
    before: str | None
    stop: bool
    switch: bool
    start: bool

    @property
    def changes(self) -> bool:
        return self.switch or self.start


def plan(state: releases.State, service: Service, version: str, sha256: str | None) -> Plan:
    """Compare `state` and the service with what is wanted; raise ReleaseError when `version` cannot be made current."""
    _require_activatable(state, version, sha256)
    switch = state.current != version
    running = service.exists and service.is_running()
    return Plan(
        version=version,
        before=state.current,
        stop=switch and running,
        switch=switch,
        start=service.exists and (switch or not running),
    )


def carry_out(root: str, service: Service, steps: Plan) -> None:
    """Do what `steps` says; raise ActivationError at the first step that fails, and leave everything as it is then."""
    if steps.stop:
        _stop(service, steps)
    if steps.switch:
        _switch(root, steps)
    if steps.start:
        _start(service, steps)


def withdraw(root: str, service: Service) -> None:
    """Stop the service and have no release current; raise ActivationError when it does not stop, and leave the link then."""
    try:
        if service.exists and service.is_running():
            service.stop()
    except ServiceError as error:
        raise ActivationError(f"the service does not stop: {error}. Nothing was switched. Next: see why it does not stop, then run this again") from error
    releases.withdraw(root)


def _require_activatable(state: releases.State, version: str, sha256: str | None) -> None:
    if version not in state.available:
        staged = ", ".join(sorted(state.available)) or "none"
        raise releases.ReleaseError(f"release {version} is not staged on this host (staged: {staged}): stage it first, with state=staged")
    found = state.available[version].sha256
    if sha256 is not None and found != sha256:
        raise releases.ReleaseError(f"release {version} is staged with sha256 {found or '(no marker)'}, but {sha256} is wanted: stage it again")
    # What ran before may have been put there by other means; anything else without a marker may be half a release.
    if found is None and version not in (state.current, state.previous):
        raise releases.ReleaseError(f"release {version} has no readable marker, so it may be incomplete: stage it again, with state=staged")


def _stop(service: Service, steps: Plan) -> None:
    try:
        service.stop()
    except ServiceError as error:
        raise ActivationError(
            f"the service does not stop: {error}. Nothing was switched, current is still {steps.before or '(none)'}. "
            "Next: see why it does not stop, then run this again"
        ) from error


def _switch(root: str, steps: Plan) -> None:
    try:
        releases.switch(root, steps.version, steps.before)
    except OSError as error:
        raise ActivationError(
            f"the service is stopped, but the switch to release {steps.version} failed: {error}. "
            f"Next: {_way_back(steps)}"
        ) from error


def _start(service: Service, steps: Plan) -> None:
    try:
        service.start()
    except ServiceError as error:
        raise ActivationError(
            f"release {steps.version} does not start: {error}. current is now {steps.version}. Next: {_way_back(steps)}"
        ) from error


def _way_back(steps: Plan) -> str:
    if steps.before in (None, steps.version):
        return "correct the cause, then run this again"
    return f"go back with state=current and version={steps.before}"
