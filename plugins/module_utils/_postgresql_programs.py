# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own programs, pg_dump and pg_restore before all: found, fit for the server, run so that they can be stopped."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import BinaryIO, Iterable, Mapping, Sequence

PROGRAMS = ("pg_dump", "pg_restore")
# Debian and its like, Red Hat and its like: a folder for each version.
VERSION_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
MESSAGE_BYTES = 2000


class ProgramError(Exception):
    """A program is missing, does not fit the server, or failed; the message says which, and what it said."""


@dataclass(frozen=True)
class Programs:
    """Absolute paths of the programs, and the major version of both."""

    pg_dump: str
    pg_restore: str
    major: int


def find(server_major: int, bin_dir: str | None = None) -> Programs:
    """The programs in `bin_dir`; without it those on PATH or in a version's own folder, of the server's very version if there are such.

    :raises ProgramError: when there are none, or only older ones than the server, which do not know all that it holds.
    """
    folders = [bin_dir] if bin_dir else _folders()
    found = [programs for programs in (_programs_in(folder) for folder in folders) if programs is not None]
    fitting = [programs for programs in found if programs.major == server_major] or [programs for programs in found if programs.major > server_major]
    if fitting:
        return fitting[0]
    where = bin_dir or "PATH or " + ", ".join(VERSION_FOLDERS)
    if found:
        seen = ", ".join(f"{programs.pg_dump} of {programs.major}" for programs in found)
        problem = f"pg_dump must not be older than the server, which is {server_major}; found {seen}"
    else:
        problem = f"there are no pg_dump and pg_restore of one version in {where}"
    raise ProgramError(f"{problem}; install postgresql-client-{server_major} on this host, or give the folder of its programs as bin_dir")


def find_all(server_major: int, names: Sequence[str], bin_dir: str | None = None) -> dict[str, str]:
    """Programs that come with a server of exactly this version, by name, from one folder; ProgramError when a folder with all of them is nowhere."""
    folders = [bin_dir] if bin_dir else _folders()
    for folder in folders:
        paths = {name: os.path.join(os.path.abspath(folder), name) for name in names}
        if all(os.access(path, os.X_OK) for path in paths.values()) and _major(paths[names[0]]) == server_major:
            return paths
    raise ProgramError(
        f"there are no {', '.join(names)} of version {server_major} together in {bin_dir or 'PATH or ' + ', '.join(VERSION_FOLDERS)}; "
        f"install postgresql-{server_major} on this host, or give the folder of its programs as bin_dir"
    )


def find_on_path(names: Sequence[str], bin_dir: str | None, package: str) -> dict[str, str]:
    """Programs of which any version will do, by name, in `bin_dir` or on PATH; ProgramError says which is missing, and which package has it."""
    found = {name: shutil.which(name, path=bin_dir) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise ProgramError(f"there is no {', no '.join(missing)} in {bin_dir or 'PATH'}: install {package} on this host, or give the folder as bin_dir")
    return {name: os.path.abspath(path) for name, path in found.items()}


def _folders() -> list[str]:
    on_path = shutil.which("pg_dump")
    versions = [folder for pattern in VERSION_FOLDERS for folder in glob.glob(pattern)]
    return [*([os.path.dirname(on_path)] if on_path else []), *sorted(versions, key=_number, reverse=True)]


def _number(folder: str) -> int:
    digits = re.search(r"\d+", folder.replace("postgresql", "").replace("pgsql", ""))
    return int(digits[0]) if digits else 0


def _programs_in(folder: str) -> Programs | None:
    paths = [os.path.join(os.path.abspath(folder), name) for name in PROGRAMS]
    majors = {_major(path) for path in paths}
    if len(majors) != 1 or None in majors:
        return None
    return Programs(*paths, major=majors.pop())


def _major(path: str) -> int | None:
    try:
        said = subprocess.run([path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(said.decode("utf-8", "replace"))
    return int(match[1]) if match else None


class Runner:
    """Runs programs for several threads, and can stop them all at once."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], source: Iterable[bytes] | None = None, sink: BinaryIO | None = None
    ) -> str:
        """Run a program to its end, and return what it wrote. What it creates can be read by its user alone.

        :param source: what it reads, if anything.
        :param sink: where what it wrote goes instead.
        :raises ProgramError: when it ends with anything but 0; the message is the end of what it said.
        """
        with tempfile.TemporaryFile() as said, self._start(command, environment, said, source is not None) as process:
            try:
                wrote = b""
                if source is not None:
                    _feed(process, source)
                elif sink is not None:
                    shutil.copyfileobj(process.stdout, sink)
                if sink is None:
                    wrote = process.stdout.read()
                process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                with self._lock:
                    self._running.discard(process)
            _require_success(process, command[0], said)
        return wrote.decode("utf-8", "replace")

    def require_going_on(self) -> None:
        """Raise ProgramError when `stop` was called: for those who wait for something without a program."""
        if self._stopped:
            raise ProgramError("stopped before its end")

    def stop(self) -> None:
        """Stop what runs, and start nothing any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def _start(self, command: Sequence[str], environment: Mapping[str, str], said: BinaryIO, reads: bool) -> subprocess.Popen:
        with self._lock:
            self.require_going_on()
            try:
                process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.PIPE if reads else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, umask=0o077
                )
            except OSError as error:
                raise ProgramError(f"{command[0]} could not be started: {error}") from error
            self._running.add(process)
            return process


def _feed(process: subprocess.Popen, source: Iterable[bytes]) -> None:
    """Give a program what it reads. One that ends before all is read says why itself."""
    with contextlib.suppress(BrokenPipeError):
        for piece in source:
            process.stdin.write(piece)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _require_success(process: subprocess.Popen, program: str, said: BinaryIO) -> None:
    if process.returncode == 0:
        return
    said.seek(0)
    text = re.sub(r"\s*\n\s*", "; ", said.read().decode("utf-8", "replace").strip())[-MESSAGE_BYTES:]
    raise ProgramError(f"{os.path.basename(program)} ended with {process.returncode}: {text or 'it said nothing'}")
