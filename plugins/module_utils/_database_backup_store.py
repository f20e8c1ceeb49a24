# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of proven backups. A `.dump` with its final name is there only if it was proven, with its `.sha256` and its `.json` beside it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from dataclasses import dataclass
from typing import Any, Iterator, Mapping
from urllib.parse import quote

from ansible_collections.alwayson.upgrade.plugins.module_utils import _flock

TOOL = "alwayson.upgrade"
LOCK = ".lock"
PARTIAL = ".partial"
CHECKSUM = ".sha256"
MANIFEST = ".json"
STAMP = r"\d{8}T\d{6}\.\d{3}Z"
OWN_NAME = re.compile(rf"(?P<dump>[^/]+-{STAMP}\.dump)(?P<rest>{re.escape(CHECKSUM)}|{re.escape(MANIFEST)})?(?P<partial>{re.escape(PARTIAL)})?")
CHUNK = 1 << 20


class StoreError(Exception):
    """The folder cannot hold backups, or a file in it cannot be written; the message says which and why."""


@dataclass(frozen=True)
class Backup:
    """A proven backup in the folder. `taken` is in epoch seconds."""

    path: str
    taken: float
    manifest: Mapping[str, Any]


class Store:
    """The folder at `directory`."""

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)

    def inspect(self) -> None:
        """Raise StoreError when there is something in the way of using the folder. Changes nothing."""
        if not os.path.lexists(self.directory):
            return
        if not os.path.isdir(self.directory):
            raise StoreError(f"{self.directory} is not a folder: give the backups one of their own as directory")
        mode = stat.S_IMODE(os.stat(self.directory).st_mode)
        if mode & 0o077:
            raise StoreError(f"{self.directory} is open to others ({mode:04o}), and backups hold everything: give them a folder of their own, or chmod 0700 it")

    def prepare(self) -> None:
        """Make the folder, for its owner alone."""
        self.inspect()
        try:
            os.makedirs(os.path.dirname(self.directory), exist_ok=True)
            if not os.path.isdir(self.directory):
                os.mkdir(self.directory, 0o700)
        except OSError as error:
            raise StoreError(f"cannot make the folder {self.directory}: {error.strerror}") from error

    @contextlib.contextmanager
    def exclusive(self, timeout: float = 0.0) -> Iterator[None]:
        """Be the only run that writes into the folder. What killed runs left half done is removed first."""
        try:
            with _flock.exclusive(os.path.join(self.directory, LOCK), timeout):
                self._remove_debris()
                yield
        except _flock.LockError as error:
            raise StoreError(f"backups are being written into {self.directory}: {error}") from error

    def new_path(self, database: str, taken: float) -> str:
        """Where a backup of `database`, taken at that epoch, will be once it is proven."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(taken)) + f".{int(taken * 1000) % 1000:03d}Z"
        return os.path.join(self.directory, f"{_file_name(database)}-{stamp}.dump")

    def keep(self, path: str, manifest: Mapping[str, Any]) -> None:
        """Give the proven dump at `path + PARTIAL` its final name, after checksum and manifest are beside it and all is on the disk."""
        name = os.path.basename(path)
        try:
            _write(path + CHECKSUM, f"{manifest['sha256']}  {name}\n")
            _write(path + MANIFEST, json.dumps({"tool": TOOL, "file": name, **manifest}, indent=2, sort_keys=True) + "\n")
            _flush(path + PARTIAL)
            os.rename(path + PARTIAL, path)
            _flush(self.directory)
        except OSError as error:
            raise StoreError(f"cannot keep {path}: {error.strerror or error}") from error

    def discard(self, path: str) -> None:
        """Remove all that belongs to a backup which was not kept."""
        for end in ("", PARTIAL, CHECKSUM, MANIFEST, CHECKSUM + PARTIAL, MANIFEST + PARTIAL):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + end)

    def backups(self, database: str, system_identifier: str) -> list[Backup]:
        """The proven backups of that database of that server, the newest first."""
        found = []
        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            if re.fullmatch(re.escape(_file_name(database)) + rf"-{STAMP}\.dump", name):
                manifest = _manifest(path)
                if manifest.get("database") == database and manifest.get("system_identifier") == system_identifier and manifest.get("file") == name:
                    found.append(Backup(path, float(manifest["taken"]), manifest))
        return sorted(found, key=lambda backup: backup.taken, reverse=True)

    def retain(self, database: str, system_identifier: str, keep: int) -> list[str]:
        """Remove all but the newest `keep` backups of a database (0 keeps all); the paths of what was removed."""
        removed = []
        for backup in self.backups(database, system_identifier)[keep:] if keep else []:
            # The dump first: without it, the two others are debris that the next run removes.
            for end in ("", MANIFEST, CHECKSUM):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(backup.path + end)
            removed.append(backup.path)
        return removed

    def _remove_debris(self) -> None:
        names = set(os.listdir(self.directory))
        for name in names:
            match = OWN_NAME.fullmatch(name)
            if match and (match["partial"] or (match["rest"] and match["dump"] not in names)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.directory, name))


def sha256(path: str) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _file_name(database: str) -> str:
    """A database's name as a part of a file's name: no slash, and different names stay different."""
    return quote(database, safe="")


def _manifest(path: str) -> dict:
    """What is written about a dump; nothing when that is missing, torn or somebody else's."""
    try:
        with open(path + MANIFEST, encoding="utf-8") as file:
            manifest = json.load(file)
    except (OSError, ValueError):
        return {}
    own = isinstance(manifest, dict) and manifest.get("tool") == TOOL and isinstance(manifest.get("taken"), (int, float))
    return manifest if own else {}


def _write(path: str, text: str) -> None:
    """Write a small file, for its owner alone, entirely or not at all."""
    partial = path + PARTIAL
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(partial, path)


def _flush(path: str) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
