# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a service: what it says, and who may hold, take over or release it. No files here, see _fleet_lock_store."""

from __future__ import annotations

import math
import re
import time
from typing import Any, Mapping, NamedTuple

LARGEST_TOKEN = 2**53
CONTROLLER_TEXTS = ("machine", "boot", "namespace", "started")
LONGEST_TEXT = 500
# Both pairs of quotes are needed: without the inner one, ansible-playbook takes the first word only.
REASON_OPTION = "-e \"upgrade_reason='...'\""

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(r"[0-9a-f]{16}")


class FleetLockError(Exception):
    """The lock is not as it must be for what was asked; the message says what, where and what to do."""


class HeldError(FleetLockError):
    """Somebody else has the lock, which is `lock`; the message says who, and the ways on."""

    def __init__(self, message: str, lock: Lock) -> None:
        super().__init__(message)
        self.lock = lock


class Claim(NamedTuple):
    """Who asks. `controller` tells processes apart, see _controller.

    `coordination` names the coordination lock that the run has taken, `elsewhere` the one that somebody else has.
    """

    owner: str
    host: str
    run: str
    plan: str = ""
    controller: Mapping[str, Any] = {}
    coordination: str = ""
    elsewhere: str = ""


class Lock(NamedTuple):
    """A lock that is held. `since` is in epoch seconds by the clock of the lock's host, for people: nothing decides by it."""

    id: str
    service: str
    token: int
    owner: str
    host: str
    since: float
    run: str
    plan: str
    controller: Mapping[str, Any]
    coordination: str

    def as_dict(self) -> dict:
        """The lock in plain types, as it is in the file and in results."""
        return {**self._asdict(), "controller": dict(self.controller)}

    def is_of(self, claim: Claim) -> bool:
        """True for the same run in the same process. A run's name in another process is another holder: only one of the two may work."""
        return self.run == claim.run and dict(self.controller) == dict(claim.controller) and not claim.elsewhere

    @property
    def holder(self) -> str:
        """Who has it, since when and from where, for messages."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        process = f", process {self.controller['pid']}" if self.controller else ""
        return f"{self.owner} has held it since {since} from {self.host}{process}"


def require_service(service: str) -> str:
    """Return the name; raise FleetLockError unless it is safe as a part of a file's name."""
    if not _SERVICE.fullmatch(service):
        raise FleetLockError(
            f"service {service!r} names files, so it must have 1 to 100 of A-Z, a-z, 0-9, dot, underscore and hyphen, and begin with a letter or digit"
        )
    return service


def require_text(name: str, text: str) -> str:
    """Return the text in one line; raise FleetLockError when it cannot be shown or is too long."""
    line = " ".join(text.split())
    if len(line) > LONGEST_TEXT or not line.isprintable():
        raise FleetLockError(f"{name} has more than {LONGEST_TEXT} characters, or some that cannot be shown: shorten it")
    return line


def require_claim(claim: Claim) -> Claim:
    """Return the claim with its texts in one line each; raise FleetLockError when something is missing."""
    texts = {name: require_text(name, getattr(claim, name)) for name in ("owner", "host", "run", "plan", "coordination", "elsewhere")}
    missing = [name for name in ("owner", "host", "run") if not texts[name]]
    if missing:
        raise FleetLockError(f"{' and '.join(missing)} missing: the action plugin alwayson.upgrade.fleet_lock fills in what is not given")
    if claim.controller and not _is_controller(claim.controller):
        raise FleetLockError("controller is filled in by the action plugin alwayson.upgrade.fleet_lock: leave it out")
    return claim._replace(**texts)


def lock_from(content: Any, service: str, path: str) -> Lock:
    """The lock in a file's content; raise FleetLockError, naming the file, when it is anything else."""
    if not _is_lock(content, service):
        raise FleetLockError(
            f"{path} is no lock of {service}, so nobody can tell who is at work: it was damaged or written by something else. "
            "Nothing was changed. Look at it; when you know that no run is at work, remove it and run this again"
        )
    return Lock(**{name: content[name] for name in Lock._fields})


def refusal(lock: Lock) -> str:
    """What somebody is told who cannot have the lock."""
    plan = f", for plan {lock.plan}" if lock.plan else ""
    return (
        f"the lock of {lock.service} is taken: {lock.holder}{plan} (lock {lock.id}). Wait until that run has ended; "
        "or, when you know that it is not at work any more, take over from it: the same command with "
        f"-e upgrade_take_over={lock.id} {REASON_OPTION}"
    )


def require_takeover(current: Lock | None, claim: Claim, take_over: str, reason: str) -> None:
    """Raise unless the lock that is there may be taken, being nobody's or the very one that is to be taken over for a reason."""
    if take_over and not reason:
        raise FleetLockError(f"taking over lock {take_over} needs a reason, which is kept: {REASON_OPTION}")
    if current is not None and current.id != take_over:
        vain = f"lock {take_over} is not the one that is held now, so it was not taken over: " if take_over else ""
        raise HeldError(vain + refusal(current), current)
    if claim.elsewhere and current is None:
        raise FleetLockError(
            f"the coordination lock {claim.elsewhere} is held by somebody who has no lock on this host: a run that is just beginning or ending, "
            "one that uses another directory, or one whose lock was released by its id. Wait until it has ended; "
            "or, when you know that nobody is at work, leave coordination_url out"
        )


def require_releasable(current: Lock, lock_id: str, reason: str) -> None:
    """Raise unless the lock that is there is the one with this id, and there is a reason to release it."""
    if not reason:
        raise FleetLockError(f"releasing lock {lock_id} needs a reason, which is kept: give reason too")
    if current.id != lock_id:
        raise HeldError(
            f"lock {lock_id} is not the one of {current.service} that is held now, so nothing was released: {current.holder} (lock {current.id})", current
        )


def _is_lock(content: Any, service: str) -> bool:
    if not isinstance(content, dict) or not set(Lock._fields) <= set(content):
        return False
    texts = [content[name] for name in ("owner", "host", "run", "plan", "coordination")]
    since = content["since"]
    return (
        content["service"] == service
        and isinstance(content["id"], str) and _ID.fullmatch(content["id"]) is not None
        and is_token(content["token"])
        and _is_number(since) and math.isfinite(since) and 0 <= since < 2**37
        and all(isinstance(text, str) and len(text) <= LONGEST_TEXT and text.isprintable() for text in texts)
        and (content["controller"] == {} or _is_controller(content["controller"]))
    )


def is_token(value: Any) -> bool:
    """True for a number that a lock can have given."""
    return _is_number(value, int) and 1 <= value <= LARGEST_TOKEN


def _is_number(value: Any, kinds: type | tuple = (int, float)) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _is_controller(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and set(content) == {*CONTROLLER_TEXTS, "pid"}
        and _is_number(content["pid"], int) and 0 < content["pid"] < 2**31
        and all(isinstance(content[name], str) and len(content[name]) <= LONGEST_TEXT and content[name].isprintable() for name in CONTROLLER_TEXTS)
    )
