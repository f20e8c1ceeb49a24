# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is restored, and what is reported about it: the same for every method."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable

from .record import BackupError, Record
from .store import Store, StoreError

CLOCK_TOLERANCE_SECONDS = 60


@dataclass(frozen=True)
class Chosen:
    """The backup at `path`, all of whose checksums are right."""

    path: str
    record: Record
    system_identifier: str
    server_version: str

    @property
    def major(self) -> int:
        """The major version of the server that it is of."""
        return int(self.server_version.split(".")[0])


@dataclass(frozen=True)
class Wanted:
    """The requested backup: its server (None: the only one with backups), its file name, and the maximum age in seconds (0: any)."""

    system_identifier: str | None = None
    backup: str | None = None
    max_age: float = 0


class Steps:
    """How many seconds each step took, by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the block as the step of that name."""
        began = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + self._clock() - began, 3)


def the_only_server(store: Store, subjects: Sequence[str], wanted: Wanted) -> str | None:
    """The system identifier of the server whose backup is wanted; BackupError when there are several and none was named, None when no manifest has it."""
    if wanted.system_identifier:
        return wanted.system_identifier
    paths = [path for subject in subjects for path in store.finished(subject)]
    found = {identifier for identifier in (store.manifest(path).get("system_identifier") for path in paths) if identifier}
    if len(found) > 1:
        raise BackupError(f"{store.directory} holds backups of {len(found)} servers: set system_identifier to one of them ({', '.join(sorted(found))})")
    return found.pop() if found else None


def choose(store: Store, subject: str, sealed: Callable[[str], Sequence[str]], wanted: Wanted, now: float) -> Chosen:
    """The newest backup of `subject`, or the one that is named, after its checksums were found right. BackupError or StoreError says what is wrong with it.

    A backup whose manifest does not name its server is included: its damage must be reported before an older one is used instead.
    """
    server = the_only_server(store, [subject], wanted)
    paths = [path for path in store.finished(subject) if store.manifest(path).get("system_identifier") in (None, server)]
    if wanted.backup:
        paths = [path for path in store.finished(subject) if os.path.basename(path) == os.path.basename(wanted.backup)]
    if not paths:
        which = f" named {wanted.backup}" if wanted.backup else f" of the server {server}" if server else ""
        raise BackupError(f"there is no backup of {subject}{which} in {store.directory}: correct directory, backup or system_identifier")
    try:
        manifest = store.manifest_of_unharmed(paths[-1], sealed)
    except (StoreError, OSError) as error:
        raise BackupError(f"{paths[-1]} is not complete: {error}, or name an older one as backup{_older(paths)}") from error
    chosen = Chosen(paths[-1], Record.of_manifest(manifest), str(manifest.get("system_identifier")), str(manifest.get("server_version")))
    _require_meant(chosen, subject, server)
    _require_young(chosen, now, wanted.max_age)
    return chosen


def locked(store: Store) -> contextlib.AbstractContextManager[None]:
    """Keep other runs from removing a backup meanwhile. A folder that this account cannot write to is not locked."""
    if not os.access(store.directory, os.W_OK):
        return contextlib.nullcontext()
    return store.exclusive(clear_up=False)


def _require_meant(chosen: Chosen, subject: str, server: str | None) -> None:
    if chosen.system_identifier != server:
        raise BackupError(f"{chosen.path} is of the server {chosen.system_identifier}, not of {server}: correct backup or system_identifier")
    if chosen.record.subject != subject:
        raise BackupError(f"{chosen.path} is a backup of {chosen.record.subject}, not of {subject}")


def _require_young(chosen: Chosen, now: float, max_age: float) -> None:
    age = now - chosen.record.taken
    if max_age and age > max_age:
        raise BackupError(f"{chosen.path} is {age:.0f} seconds old, and max_age is {max_age:g}: accept its age, or find a newer one")
    if max_age and age < -CLOCK_TOLERANCE_SECONDS:
        raise BackupError(f"{chosen.path} was taken {-age:.0f} seconds in the future, so its age is unknown: correct this host's clock")


def _older(paths: Sequence[str]) -> str:
    return f" (there is {os.path.basename(paths[-2])})" if len(paths) > 1 else ""
