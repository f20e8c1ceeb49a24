# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a service: what it says, and who may hold, take over or release it. No files here, see _locking.store."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._host.characters import is_shown

LARGEST_TOKEN = 2**53
CONTROLLER_TEXTS = ("machine", "boot", "namespace", "started", "hardware")
LONGEST_TEXT = 500
# What a run is to do, and its progress; a resume and a rollback use it where the state of the fleet is ambiguous.
DIRECTIONS = ("upgrade", "rollback", "patch")
INTENT_TEXTS = ("direction", "method", "release_from", "release_to")
UNDER_WAY, SUCCEEDED, FAILED = "under_way", "succeeded", "failed"
# Both pairs of quotes are needed: without the inner one, ansible-playbook takes the first word only.
REASON_OPTION = "-e \"upgrade_reason='...'\""

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(r"[0-9a-f]{16}")


class FleetLockError(Exception):
    """The state of the lock does not allow the request; the message says what, where and what to do, `facts` what a module returns beside it."""

    @property
    def facts(self) -> dict[str, Any]:
        return {}


class HeldError(FleetLockError):
    """Another run holds the lock, which is `lock`. The message names the holder, and how to go on."""

    def __init__(self, message: str, lock: Lock) -> None:
        super().__init__(message)
        self.lock = lock

    @property
    def facts(self) -> dict[str, Any]:
        return {"held_by": self.lock.as_dict()}


class UnusableError(FleetLockError):
    """The file of the lock cannot be read or written, at `path`; the message says why."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path

    @property
    def facts(self) -> dict[str, Any]:
        return {"unusable": self.path}


class Claim(NamedTuple):
    """The run that requests the lock. `controller` identifies its process, see `_host.processes`.

    `intent` is what the run is to do, once it knows: INTENT_TEXTS.
    """

    owner: str
    host: str
    run: str
    plan: str = ""
    controller: Mapping[str, Any] = {}
    intent: Mapping[str, str] = {}


class Lock(NamedTuple):
    """A lock that is held. `since` is in epoch seconds by the clock of the lock's host, for people: nothing decides by it.

    `intent` is INTENT_TEXTS and `state` (UNDER_WAY, SUCCEEDED or FAILED): of this run, or, until it knows its own, of the last one that had any.
    """

    id: str
    service: str
    token: int
    owner: str
    host: str
    since: float
    run: str
    plan: str
    controller: Mapping[str, Any]
    intent: Mapping[str, str] = {}

    def as_dict(self) -> dict[str, Any]:
        """The lock in plain types, as it is in the file and in results."""
        return {**self._asdict(), "controller": dict(self.controller), "intent": dict(self.intent)}

    def is_of(self, claim: Claim) -> bool:
        """True for the same run in the same process. A run's name in another process is another holder: only one of the two may work."""
        return self.run == claim.run and dict(self.controller) == dict(claim.controller)

    @property
    def holder(self) -> str:
        """Who has it, since when and from where, for messages."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        process = f", process {self.controller['pid']}" if self.controller else ""
        return f"{self.owner} has held it since {since} from {self.host}{process}"

    @property
    def is_interrupted(self) -> bool:
        """Whether what it was to do was begun, and did not come to an end."""
        return self.intent.get("state") == UNDER_WAY


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
    if len(line) > LONGEST_TEXT or not is_shown(line):
        raise FleetLockError(f"{name} has more than {LONGEST_TEXT} characters, or some that cannot be shown: shorten it")
    return line


def require_claim(claim: Claim) -> Claim:
    """Return the claim with its texts in one line each; raise FleetLockError when something is missing."""
    texts = {name: require_text(name, getattr(claim, name)) for name in ("owner", "host", "run", "plan")}
    missing = [name for name in ("owner", "host", "run") if not texts[name]]
    if missing:
        raise FleetLockError(f"{' and '.join(missing)} missing: the action plugin alwayson.upgrade.fleet_lock fills in what is not given")
    if claim.controller and not _is_controller(claim.controller):
        raise FleetLockError("controller is filled in by the action plugin alwayson.upgrade.fleet_lock: leave it out")
    return claim._replace(owner=texts["owner"], host=texts["host"], run=texts["run"], plan=texts["plan"], intent=_require_intent(claim.intent))


def _require_intent(intent: Mapping[str, str]) -> dict[str, Any]:
    """Return the intent with its texts in one line each, under way; raise FleetLockError when it is none."""
    if not intent:
        return {}
    found = {**{name: require_text(name, str(intent.get(name) or "")) for name in INTENT_TEXTS}, "state": UNDER_WAY}
    if not _is_intent(found) or set(intent) - set(INTENT_TEXTS):
        raise FleetLockError(f"intent is {dict(intent)!r}: give {', '.join(INTENT_TEXTS)}, with one of {', '.join(DIRECTIONS)} as the direction")
    return found


def lock_from(content: Any, service: str, path: str) -> Lock:
    """The lock in a file's content; raise FleetLockError, naming the file, when it is anything else."""
    if not _is_lock(content, service):
        raise FleetLockError(
            f"{path} is no lock of {service}, so it is unknown which run holds it: it was damaged or written by another program. "
            "Nothing was changed. Check it. When you are sure that no run is in progress, remove it and run this again"
        )
    return _lock_of(content)


def last_lock(entries: list[dict[str, Any]], service: str) -> Lock | None:
    """The lock that the last line of the history is about; None when there is none."""
    return _lock_of(entries[-1]) if entries and _is_lock(entries[-1], service) else None


def _lock_of(content: Mapping[str, Any]) -> Lock:
    return Lock(**{name: content[name] for name in Lock._fields if name in content})


def refusal(lock: Lock) -> str:
    """The error message of a run that cannot get the lock."""
    plan = f", for plan {lock.plan}" if lock.plan else ""
    intent = f", for {intent_in_words(lock.intent)}" if lock.is_interrupted else ""
    return (
        f"the lock of {lock.service} is taken: {lock.holder}{plan}{intent} (lock {lock.id}). Wait until that run has ended; "
        "or, if you are sure that it is no longer running, take over its lock: the same command with "
        f"-e upgrade_take_over={lock.id} {REASON_OPTION}"
    )


def intent_in_words(intent: Mapping[str, str]) -> str:
    """For example: upgrade from 1.0.0 to 2.0.0 by half_pool."""
    before = f" from {intent['release_from']}" if intent["release_from"] not in ("", intent["release_to"]) else ""
    to = "on" if intent["direction"] == "patch" else "to"
    return f"{intent['direction']}{before} {to} {intent['release_to']} by {intent['method']}"


def require_takeover(current: Lock | None, claim: Claim, take_over: str, reason: str) -> None:
    """Raise FleetLockError unless the lock is free, or is the one that is to be taken over and a reason is given."""
    if take_over and not reason:
        raise FleetLockError(f"taking over lock {take_over} needs a reason, which is kept: {REASON_OPTION}")
    if current is not None and current.id != take_over:
        vain = f"lock {take_over} is not the one that is held now, so it was not taken over: " if take_over else ""
        raise HeldError(vain + refusal(current), current)


def require_releasable(current: Lock, lock_id: str, reason: str) -> None:
    """Raise unless the lock that is there is the one with this id, and there is a reason to release it."""
    if not reason:
        raise FleetLockError(f"releasing lock {lock_id} needs a reason, which is kept: give reason too")
    if current.id != lock_id:
        raise HeldError(
            f"lock {lock_id} is not the one of {current.service} that is held now, so nothing was released: {current.holder} (lock {current.id})", current
        )


def _is_lock(content: Any, service: str) -> bool:
    # A lock of an older version of this collection has no intent.
    if not isinstance(content, dict) or not set(Lock._fields) - {"intent"} <= set(content):
        return False
    texts = [content[name] for name in ("owner", "host", "run", "plan")]
    since = content["since"]
    return (
        content["service"] == service
        and isinstance(content["id"], str) and _ID.fullmatch(content["id"]) is not None
        and is_token(content["token"])
        and _is_number(since) and math.isfinite(since) and 0 <= since < 2**37
        and all(_is_text(text) for text in texts)
        and (content["controller"] == {} or _is_controller(content["controller"]))
        and (content.get("intent", {}) == {} or _is_intent(content["intent"]))
    )


def _is_intent(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and set(content) == {*INTENT_TEXTS, "state"}
        and content["direction"] in DIRECTIONS
        and content["state"] in (UNDER_WAY, SUCCEEDED, FAILED)
        and all(_is_text(content[name]) for name in INTENT_TEXTS)
        and bool(content["method"] and content["release_to"])
    )


def is_token(value: Any) -> bool:
    """True for a number that a lock can have given."""
    return _is_number(value, int) and 1 <= value <= LARGEST_TOKEN


def _is_number(value: Any, kinds: type | tuple[Any, ...] = (int, float)) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and is_shown(value)


def _is_controller(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        # A lock of an older version of this collection has no hardware.
        and set(content) | {"hardware"} == {*CONTROLLER_TEXTS, "pid"}
        and _is_number(content["pid"], int) and 0 < content["pid"] < 2**31
        and all(_is_text(content.get(name, "")) for name in CONTROLLER_TEXTS)
    )
