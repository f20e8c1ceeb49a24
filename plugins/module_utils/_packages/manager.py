# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's package updates: what is pending, what of it is wanted, and the one interface behind which each package manager stands.

A package manager is a file beside this one with a class that has the methods of `PackageManager`.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace as replace_fields
from fnmatch import fnmatchcase
from typing import Any, Callable, Protocol

from .._host import programs
from .._host.small_files import READABLE, replace

POLL_SECONDS = 0.5
SHOWN_CHARACTERS = 1500


class PackageError(Exception):
    """The updates cannot be read or installed; the message says why and what to do."""


@dataclass(frozen=True)
class Update:
    """One package's way from a version to a newer one. `installed` is None for a package that comes along with others."""

    name: str
    installed: str | None
    candidate: str
    security: bool = False
    source: str = ""
    held: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Holder:
    """The process that holds a package manager's lock."""

    pid: int
    command: str
    path: str

    def __str__(self) -> str:
        return f"{self.command or 'a process'} (pid {self.pid}) holds {self.path}"


@dataclass(frozen=True)
class HoldFile:
    """A file that says who keeps updates from being installed by themselves: the owner in its first line, then what its package manager reads or needs.

    It stands in /etc, because the hold outlives the reboots of the run. Every method raises PackageError when it cannot.
    """

    path: str
    header: str = ""

    def owner(self) -> str | None:
        """None when there is no hold."""
        lines = self._lines()
        return lines[0].removeprefix(self.header).strip() if lines else None

    def rest(self) -> list[str]:
        """The lines after the owner's; none when there is no hold."""
        return [line for line in self._lines()[1:] if line]

    def write(self, owner: str, rest: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in (f"{self.header}{' '.join(owner.split())}", *rest))
        try:
            replace(self.path, text.encode("utf-8"), READABLE)
        except OSError as error:
            raise PackageError(f"unattended updates cannot be held: {error}. Package updates need root: set become") from error

    def remove(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise PackageError(f"unattended updates cannot be allowed again: {error}") from error

    def _lines(self) -> list[str]:
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                return file.read().splitlines() or [""]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PackageError(f"{self.path} cannot be read: {error}") from error


@dataclass(frozen=True)
class Selection:
    """One transaction: what it installs, new packages that others need included, and what is pending and stays as it is."""

    updates: tuple[Update, ...]
    left: tuple[Update, ...] = ()


class PackageManager(Protocol):
    """What a package manager does for this collection. Every method raises PackageError when it cannot."""

    name: str
    locks: tuple[str, ...]

    def refresh(self) -> None:
        """Update the indexes of the repositories."""

    def select(self, security_only: bool, exclude: Sequence[str]) -> Selection:
        """The largest transaction that leaves held and excluded packages as they are, also where others need them. Nothing is installed."""

    def install(self, selection: Selection) -> None:
        """Run this transaction, and no other. Nothing is removed."""

    def unfinished(self) -> list[str]:
        """The packages that an interrupted installation left unpacked or half configured."""

    def finish(self) -> None:
        """Configure these."""

    def versions(self) -> dict[str, frozenset[str]]:
        """Each installed package with its versions, by the names that `select` gives."""

    def reboot_reasons(self) -> list[str]:
        """The packages that require a reboot; ["unknown"] when one is required and the system does not name the package."""

    def held_by(self) -> str | None:
        """The owner of the hold on unattended updates; None when there is no hold."""

    def hold(self, owner: str) -> None:
        """Hold unattended updates."""

    def release(self) -> None:
        """Release the hold: unattended updates run again where they were enabled."""


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of these shell patterns names the package."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def selection_of(chosen: Iterable[Update], pending: Iterable[Update]) -> Selection:
    """The selection of these updates; other pending updates are left."""
    chosen = sorted(chosen, key=lambda update: update.name)
    names = {update.name for update in chosen}
    left = {update.name: update for update in pending if update.installed is not None and update.name not in names}
    return Selection(tuple(chosen), tuple(left[name] for name in sorted(left)))


def brought(before: Mapping[str, frozenset[str]], after: Mapping[str, frozenset[str]], selection: Selection) -> list[Update]:
    """What a transaction really changed, read from the installed versions before and after it."""
    expected = {update.name: update for update in (*selection.left, *selection.updates)}
    updates = []
    for name in sorted(after):
        for version in sorted(after[name] - before.get(name, frozenset())):
            known = expected.get(name) or Update(name, None, version)
            old = sorted(before.get(name, ()))
            updates.append(replace_fields(known, installed=known.installed if known.installed in old else (old[-1] if old else None), candidate=version))
    return updates


def missing(after: Mapping[str, frozenset[str]], selection: Selection) -> list[Update]:
    """What was selected and is not installed."""
    return [update for update in selection.updates if update.candidate not in after.get(update.name, ())]


def wait_for_locks(paths: Sequence[str], seconds: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> float:
    """Wait until no process holds a lock on any of these files; returns the seconds waited. Raises PackageError, which names the holder."""
    began = clock()
    while holder := lock_holder(paths):
        waited = clock() - began
        if waited >= seconds:
            raise PackageError(f"{holder}, and has held it for {waited:.0f} s: wait for its end, or end it, then run this again")
        sleep(POLL_SECONDS)
    return clock() - began


def lock_holder(paths: Sequence[str]) -> Holder | None:
    """Who holds the first of these files that is locked (a POSIX lock, as dpkg, apt and rpm take it)."""
    for path in paths:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise PackageError(f"the lock {path} cannot be read: {error}. Package updates need root: set become") from error
        try:
            # The fields l_type, l_whence, l_start, l_len and l_pid of struct flock. F_GETLK only asks for the process that holds the lock.
            answer = fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        finally:
            os.close(handle)
        kind, _whence, _start, _length, pid = struct.unpack("hhqqi4x", answer)
        if kind != fcntl.F_UNLCK:
            return Holder(pid, _command_of(pid), path)
    return None


def _command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(200).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None, accepted: Sequence[int] = (0,)) -> str:
    """Run a package manager's program; returns what it printed. Raise PackageError with the end of what it said when it fails."""
    try:
        done = programs.captured(command, seconds, environment)
    except FileNotFoundError as error:
        raise PackageError(f"{command[0]} is not on this host") from error
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"{' '.join(command[:2])} has not ended within {seconds:.0f} s") from error
    if done.returncode not in accepted:
        said = re.sub(r"\s*\n\s*", "; ", (done.stderr.strip() or done.stdout.strip())[-SHOWN_CHARACTERS:])
        raise PackageError(f"{' '.join(command[:2])} failed ({done.returncode}): {said}")
    return done.stdout
