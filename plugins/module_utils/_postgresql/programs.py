# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own programs, pg_dump and pg_restore before all: found, and fit for the server."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from .._database.programs import ProgramError

PROGRAMS = ("pg_dump", "pg_restore")
# Debian and its like, Red Hat and its like: a folder for each version.
VERSION_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


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


def _folders() -> list[str]:
    on_path = shutil.which("pg_dump")
    versions = [folder for pattern in VERSION_FOLDERS for folder in glob.glob(pattern)]
    return [*([os.path.dirname(on_path)] if on_path else []), *sorted(versions, key=_number, reverse=True)]


def _number(folder: str) -> int:
    digits = re.search(r"\d+", folder.replace("postgresql", "").replace("pgsql", ""))
    return int(digits[0]) if digits else 0


def _programs_in(folder: str) -> Programs | None:
    pg_dump, pg_restore = (os.path.join(os.path.abspath(folder), name) for name in PROGRAMS)
    major = _major(pg_dump)
    return None if major is None or major != _major(pg_restore) else Programs(pg_dump, pg_restore, major)


def _major(path: str) -> int | None:
    try:
        said = subprocess.run([path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(said.decode("utf-8", "replace"))
    return int(match[1]) if match else None
