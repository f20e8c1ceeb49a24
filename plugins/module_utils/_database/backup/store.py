# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of proven backups. One with its final name is there only if it was proven, with its `.sha256` and its `.json` beside it.

A backup is a file or, for a method that copies a whole server, a folder. The `.sha256` covers the manifest, too, and `sha256sum -c` understands it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import quote, unquote

from ..._host import flock, removal
from ..._host.foreign_json import parse
from ..._host.small_files import PRIVATE, flush, make_folder, replace

TOOL = "alwayson.upgrade"
LOCK = ".lock"
PARTIAL = ".partial"
CHECKSUM = ".sha256"
MANIFEST = ".json"
STAMP = r"\d{8}T\d{6}\.\d{3}Z"
# Each backup method has its own suffix. The folder holds backups only.
SUFFIX = r"(?:\.[a-z]+)+?"
OWN_NAME = re.compile(
    rf"(?P<backup>[^/]+-{STAMP}{SUFFIX})(?P<rest>{re.escape(CHECKSUM)}|{re.escape(MANIFEST)})?(?P<partial>{re.escape(PARTIAL)})?"
)
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
    """The folder at `directory`, for backups whose names end with `suffix`."""

    def __init__(self, directory: str, suffix: str) -> None:
        self.directory = os.path.abspath(directory)
        self.suffix = suffix
        self.left: list[str] = []  # what could not be cleared up, in sentences

    def inspect(self) -> None:
        """Raise StoreError when there is something in the way of using the folder. Changes nothing."""
        if not os.path.lexists(self.directory):
            return
        if not os.path.isdir(self.directory):
            raise StoreError(f"{self.directory} is not a folder: give a folder for the backups as directory")
        mode = stat.S_IMODE(os.stat(self.directory).st_mode)
        if mode & 0o077:
            raise StoreError(f"{self.directory} is open to others ({mode:04o}), and backups contain all data: use a separate folder, or chmod 0700 it")

    def prepare(self) -> None:
        """Make the folder, for its owner alone."""
        self.inspect()
        try:
            make_folder(os.path.dirname(self.directory))
            if not os.path.isdir(self.directory):
                os.mkdir(self.directory, 0o700)
        except OSError as error:
            raise StoreError(f"cannot make the folder {self.directory}: {error.strerror}") from error

    @contextlib.contextmanager
    def exclusive(self, timeout: float = 0.0, clear_up: bool = True) -> Iterator[None]:
        """Be the only run that uses the folder. What killed runs left half done is removed first, unless it is to be looked at."""
        try:
            with flock.exclusive(os.path.join(self.directory, LOCK), timeout):
                if clear_up:
                    self._remove_debris()
                yield
        except flock.LockError as error:
            raise StoreError(f"backups are being written into {self.directory}, or proven: {error}") from error

    def new_path(self, database: str, taken: float) -> str:
        """Where a backup of `database`, taken at that epoch, will be once it is proven."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(taken)) + f".{int(taken * 1000) % 1000:03d}Z"
        return os.path.join(self.directory, f"{_file_name(database)}-{stamp}{self.suffix}")

    def keep(self, path: str, checksums: Sequence[tuple[str, str]], manifest: Mapping[str, Any]) -> None:
        """Give the proven backup at `path + PARTIAL` its final name, after checksums and manifest are beside it and all is on the disk.

        :param checksums: the files with checksums, while they still have the partial name, each with its SHA-256.
        """
        name = os.path.basename(path)
        try:
            _write(path + MANIFEST, json.dumps({"tool": TOOL, "file": name, **manifest}, indent=2, sort_keys=True) + "\n")
            final = [(path + file[len(path + PARTIAL):], digest) for file, digest in checksums]
            _write(path + CHECKSUM, self._lines([*final, (path + MANIFEST, sha256(path + MANIFEST))]))
            for file in [name for name, _digest in checksums] + [path + PARTIAL]:
                flush(file)
            os.rename(path + PARTIAL, path)
            flush(self.directory)
        except OSError as error:
            raise StoreError(f"cannot keep {path}: {error.strerror or error}") from error

    def discard(self, path: str) -> None:
        """Remove all that belongs to a backup which was not kept. The partial one goes last: it marks the others as debris."""
        for end in ("", CHECKSUM, MANIFEST, CHECKSUM + PARTIAL, MANIFEST + PARTIAL, PARTIAL):
            removal.remove(path + end)

    def newest(self, subject: str) -> str:
        """The path of the newest backup of `subject`, by its name, even when its files are missing. StoreError when there never was one."""
        finished = self.finished(subject)
        if not finished:
            raise StoreError(f"there is no backup of {subject} in {self.directory}: take one with state=proven")
        return finished[-1]

    def finished(self, subject: str) -> list[str]:
        """The paths of the backups of `subject`, the oldest first, by their names, even when their files are missing."""
        wanted = self._names_of(subject)
        return [os.path.join(self.directory, name) for name in self._finished_names() if wanted.fullmatch(name)]

    def subjects(self) -> list[str]:
        """Of what there are, or were, backups, by their names."""
        any_stamp = re.compile(rf"(.+)-{STAMP}{re.escape(self.suffix)}")
        return sorted({unquote(match[1]) for match in map(any_stamp.fullmatch, self._finished_names()) if match})

    def manifest_of_unharmed(self, path: str, sealed: Callable[[str], Sequence[str]]) -> dict[str, Any]:
        """The manifest of the backup at `path`, after every checksum was found right. StoreError names the file that is missing or has changed.

        :param sealed: gives the files of a backup that are covered by checksums.
        """
        for file in (path, path + CHECKSUM, path + MANIFEST):
            if not os.path.lexists(file):
                raise StoreError(f"{file} is missing: the backup is incomplete, take a new one")
        found = self._lines(digests([*sealed(path), path + MANIFEST]))
        with open(path + CHECKSUM, encoding="utf-8", errors="replace") as sums:
            written = sums.read(len(found) + CHUNK)
        if written != found:
            raise StoreError(f"{_differing(written, found)}: {path} has changed since it was proven, take a new backup")
        manifest = self.manifest(path)
        if manifest.get("file") != os.path.basename(path):
            raise StoreError(f"{path} was proven under another name, {manifest.get('file')}: it may be of another database")
        return manifest

    def manifest(self, path: str) -> dict[str, Any]:
        """The manifest of the backup at `path`; empty when it is missing, truncated or of another program."""
        try:
            with open(path + MANIFEST, encoding="utf-8") as file:
                manifest = parse(file.read())
        except (OSError, ValueError):
            return {}
        own = isinstance(manifest, dict) and manifest.get("tool") == TOOL and isinstance(manifest.get("taken"), (int, float))
        return manifest if own else {}

    def backups(self, subject: str, system_identifier: str) -> list[Backup]:
        """The proven backups of that subject of that server, the newest first."""
        found = []
        for name in filter(self._names_of(subject).fullmatch, os.listdir(self.directory)):
            path = os.path.join(self.directory, name)
            manifest = self.manifest(path)
            if manifest.get("database") == subject and manifest.get("system_identifier") == system_identifier and manifest.get("file") == name:
                found.append(Backup(path, float(manifest["taken"]), manifest))
        return sorted(found, key=lambda backup: backup.taken, reverse=True)

    def retain(self, subject: str, system_identifier: str, keep: int) -> list[str]:
        """Remove all but the newest `keep` backups of a subject (0 keeps all); the paths of what was removed."""
        removed = []
        for backup in self.backups(subject, system_identifier)[keep:] if keep else []:
            # The backup first, by one rename: without it, all else is debris that the next run removes.
            removal.require_nothing_mounted(backup.path)
            os.rename(backup.path, backup.path + PARTIAL)
            for end in (MANIFEST, CHECKSUM, PARTIAL):
                removal.remove(backup.path + end)
            removed.append(backup.path)
        return removed

    def _finished_names(self) -> list[str]:
        names = set(os.listdir(self.directory)) if os.path.isdir(self.directory) else set()
        found = {match["backup"] for match in map(OWN_NAME.fullmatch, names) if match and not match["partial"]}
        # One that a killed run did not finish is none.
        return sorted(name for name in found if name in names or name + PARTIAL not in names)

    def _names_of(self, subject: str) -> re.Pattern[str]:
        return re.compile(re.escape(_file_name(subject)) + rf"-{STAMP}{re.escape(self.suffix)}")

    def _lines(self, checksums: Sequence[tuple[str, str]]) -> str:
        return "".join(f"{digest}  {os.path.relpath(path, self.directory)}\n" for path, digest in checksums)

    def _remove_debris(self) -> None:
        names = set(os.listdir(self.directory))
        for name in names:
            match = OWN_NAME.fullmatch(name)
            if match and (match["partial"] or (match["rest"] and match["backup"] not in names)):
                try:
                    removal.remove(os.path.join(self.directory, name))
                except OSError as error:
                    self.left.append(f"what a killed run left cannot be removed: {error}")


class OneFileEach:
    """A part of a method, see `_database.backup.run.Method`: a backup is one file, of one database."""

    def groups(self, databases: Sequence[str]) -> dict[str, list[str]]:
        """What is backed up in one piece: each database for itself."""
        return {database: [database] for database in databases}

    def sealed(self, path: str) -> list[str]:
        """The files whose checksums are kept beside the backup at `path`, the one that covers it first."""
        return [path]


def sha256(path: str) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def digests(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Each file with its SHA-256."""
    return [(path, sha256(path)) for path in paths]


def _file_name(database: str) -> str:
    """A database's name as a part of a file's name: no slash, and different names stay different."""
    return quote(database, safe="")


def _differing(written: str, found: str) -> str:
    """Which of the files have another checksum than is written, in words."""
    lines = set(written.split("\n"))
    names = [line.partition("  ")[2] for line in found.split("\n") if line not in lines]
    return f"the checksum differs for {', '.join(names)}" if names else "the list of checksums is not the one that was written"


def _write(path: str, text: str) -> None:
    """Write a small file for its owner alone, under a name that marks what a killed run has left of it."""
    replace(path, text.encode("utf-8"), PRIVATE, partial=path + PARTIAL)
