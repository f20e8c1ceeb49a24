# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a service as files in a folder of one host of the fleet.

    <service>.lock           the lock, as long as it is held
    <service>.token          the last token that was given; it stays when the lock is released, so that tokens only grow
    <service>.history.jsonl  a line for each time that the lock was taken, taken over and released
    <service>.guard          held while the others are read and written

Each step leaves what a crash after it can go on from: first the token, then the line in the history, then the lock. So a run that was
killed in between may have left an unused token and a line for something that did not happen, but never a lock without both.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .._host import small_files
from .._host.flock import LockError, exclusive
from .._host.small_files import SmallFileError
from . import lock as rules
from .lock import Claim, FleetLockError, Lock, UnusableError

# The files are held for milliseconds; only a process that was stopped in between holds them for longer.
GUARD_SECONDS = 30.0
# How many lines of the history are looked through for the journal of the machine that asks.
JOURNALS = 50
TAKEN, TAKEN_OVER, RELEASED = "taken", "taken_over", "released"


class Outcome(NamedTuple):
    """What came of it: the caller's lock, if it has one now, and the one that was taken over or released.

    `interrupted` is the lock of the run that this one has to continue: one that was taken over, or one that ended without finishing its work.
    `journal_heads` are the heads of the journals of earlier runs from the caller's host, oldest first: `owner`, `at` and `journal_head`.
    """

    changed: bool
    lock: Lock | None = None
    taken_over: Lock | None = None
    released: Lock | None = None
    interrupted: Lock | None = None
    warning: str = ""
    journal_heads: tuple[Mapping[str, Any], ...] = ()


class FleetLock:
    """The lock of `service` in `directory`. Every method raises FleetLockError."""

    def __init__(self, directory: str, service: str) -> None:
        self.service = rules.require_service(service)
        if not os.path.isabs(directory):
            raise FleetLockError(f"directory {directory!r} is not absolute: name the same folder from wherever this runs")
        self.directory = os.path.normpath(directory)

    def read(self) -> Lock | None:
        """The lock as it is, None when it is free."""
        path = self._path("lock")
        with _errors_explained(path):
            content = small_files.read_json(path)
        return None if content is None else rules.lock_from(content, self.service, path)

    def last_token(self) -> int:
        """The largest token that was ever given, as far as the files here have it."""
        path = self._path("token")
        with _errors_explained(path):
            content = small_files.read_json(path)
        if content is not None and not rules.is_token(content):
            raise FleetLockError(
                f"{path} holds no token, so the next one is unknown: it was damaged or written by another program. Nothing was changed. "
                f"Put into it the largest token that {self._path('history.jsonl')} and the fences of the hosts know of, then run this again"
            )
        current = self.read()
        of_the_past = [entry["token"] for entry in self.history(1) if rules.is_token(entry.get("token"))]
        return max([content or 0, current.token if current else 0, *of_the_past])

    def history(self, count: int) -> list[dict[str, Any]]:
        """The last `count` lines of the history, oldest first."""
        path = self._path("history.jsonl")
        with _errors_explained(path):
            return small_files.last_lines(path, count)

    def last(self) -> Lock | None:
        """The lock that is held, else the one that was held last; its intent is the last one that there was."""
        return self.read() or rules.last_lock(self.history(1), self.service)

    def hold(self, claim: Claim, now: float, take_over: str = "", reason: str = "", journal_head: str = "", check_mode: bool = False) -> Outcome:
        """Take the lock when it is free or the one with the id `take_over`; raise HeldError when another run has it.

        The same run in the same process gets the lock that it has, with the claim's intent if that has one. In check mode the lock has no id.
        """
        claim, reason, journal_head = rules.require_claim(claim), rules.require_text("reason", reason), rules.require_text("journal_head", journal_head)
        with self._guarded(check_mode):
            current = self.read()
            if current is not None and current.is_of(claim):
                return self._keep_intent(current, claim, check_mode)
            rules.require_takeover(current, claim, take_over, reason)
            heads = self._journal_heads(claim.host)
            token, new_id = self._next_token(), "" if check_mode else secrets.token_hex(8)
            last = self.last()
            lock = Lock(
                new_id, self.service, token, claim.owner, claim.host, now, claim.run, claim.plan, dict(claim.controller),
                claim.intent or (last.intent if last else {}),
            )
            if not check_mode:
                self._write(lock, current, reason, journal_head)
        interrupted = current or (last if last and last.is_interrupted else None)
        return Outcome(changed=True, lock=lock, taken_over=current, interrupted=interrupted, warning=_take_over_warning(current, reason) if current else "",
                       journal_heads=heads)

    def _keep_intent(self, lock: Lock, claim: Claim, check_mode: bool) -> Outcome:
        """Write down what the run that has the lock is to do."""
        if not claim.intent or claim.intent == lock.intent:
            return Outcome(changed=False, lock=lock)
        lock = lock._replace(intent=claim.intent)
        if not check_mode:
            with _errors_explained(self.directory):
                small_files.replace_json(self._path("lock"), lock.as_dict())
        return Outcome(changed=True, lock=lock)

    def release(self, run: str, now: float, lock_id: str = "", reason: str = "", journal_head: str = "", check_mode: bool = False,
                result: str = "") -> Outcome:
        """Release the lock of `run`, or the lock with this id, for a reason. Without a lock there is nothing to do.

        `result` is how the run ended, which the history keeps with its intent; without one, the intent stays what it was.
        """
        reason, journal_head = rules.require_text("reason", reason), rules.require_text("journal_head", journal_head)
        if not (run or lock_id):
            raise FleetLockError("run missing: name the run that has the lock, or the lock by its id with a reason")
        with self._guarded(check_mode or not os.path.isdir(self.directory)):
            current = self.read()
            if current is None:
                return Outcome(changed=False)
            if lock_id:
                rules.require_releasable(current, lock_id, reason)
            elif current.run != run:
                return Outcome(changed=False, warning=f"the lock of {self.service} is not this run's (any more), and was not changed: {current.holder}")
            if result and current.is_interrupted:
                current = current._replace(intent={**current.intent, "state": result})
            warning = "" if check_mode else self._remove(current, now, lock_id, reason, journal_head)
        return Outcome(changed=True, released=current, warning=warning)

    def _journal_heads(self, host: str) -> tuple[Mapping[str, Any], ...]:
        # A journal is on the machine of its controller.
        return tuple({name: entry[name] for name in ("owner", "at", "journal_head")} for entry in self.history(JOURNALS)
                     if entry.get("host") == host and isinstance(entry.get("journal_head"), str) and {"owner", "at"} <= set(entry))

    def _next_token(self) -> int:
        last = self.last_token()
        if last >= rules.LARGEST_TOKEN:
            raise FleetLockError(f"{self._path('token')} is at the largest token there can be: this folder was tampered with; find out by which account")
        return last + 1

    def _write(self, lock: Lock, former: Lock | None, reason: str, journal_head: str) -> None:
        entry = _entry(TAKEN, lock.since, lock, "", journal_head)
        if former:
            entry = {**_entry(TAKEN_OVER, lock.since, lock, reason, journal_head), "former": former.as_dict()}
        with _errors_explained(self.directory):
            small_files.replace_json(self._path("token"), lock.token)
            small_files.append_line(self._path("history.jsonl"), entry)
            small_files.replace_json(self._path("lock"), lock.as_dict())

    def _remove(self, lock: Lock, now: float, lock_id: str, reason: str, journal_head: str) -> str:
        """Remove the lock; return what could not be done beside that. A full disk must not keep a run from releasing its own."""
        warning = ""
        with _errors_explained(self.directory):
            try:
                small_files.append_line(self._path("history.jsonl"), _entry(RELEASED, now, lock, reason, journal_head))
            except OSError as error:
                if lock_id:
                    raise
                warning = f"the lock of {self.service} is released, but {self._path('history.jsonl')} does not say so: {error.strerror}"
            small_files.remove(self._path("lock"))
        return warning

    @contextlib.contextmanager
    def _guarded(self, only_reads: bool) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            if not only_reads:
                with _errors_explained(self.directory):
                    small_files.make_folder(self.directory)
                    held.enter_context(exclusive(self._path("guard"), GUARD_SECONDS))
            yield

    def _path(self, end: str) -> str:
        return os.path.join(self.directory, f"{self.service}.{end}")


def _take_over_warning(former: Lock, reason: str) -> str:
    """The warning that a take-over prints."""
    return f"the lock of {former.service} was taken over, for this reason: {reason}. Before, {former.holder} (lock {former.id})"


def _entry(event: str, at: float, lock: Lock, reason: str, journal_head: str) -> dict[str, Any]:
    """A line of the history: what was done to which lock, when, and why if that was said."""
    said = {name: text for name, text in (("reason", reason), ("journal_head", journal_head)) if text}
    return {"event": event, "at": at, **lock.as_dict(), **said}


@contextlib.contextmanager
def _errors_explained(path: str) -> Iterator[None]:
    try:
        yield
    except (LockError, SmallFileError) as error:
        raise FleetLockError(str(error)) from error
    except OSError as error:
        place = error.filename or path
        raise UnusableError(f"the lock cannot be used: {error.strerror or error} ({place}): let the user of this task write there, or name another folder",
                            place) from error
