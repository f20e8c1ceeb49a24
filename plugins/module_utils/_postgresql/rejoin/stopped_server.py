# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done on a PostgreSQL server of this host by its programs, without a session: its settings read, its crash recovery, its rewind.

They run as the owner of the data, in English, and without what the environment says of another server (``PGDATA``, ``PGSERVICE``).
Source: PostgreSQL's documentation of ``postgres`` and ``pg_rewind``; Patroni, which recovers a crashed server in the same way before it rewinds it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..auto_conf import quoted
from ..data_directory import STANDBY, DataDirectory
from ..session import Login

CONFIG_FILE = re.compile(r"""config[_-]file\s*=\s*(?:'([^']+)'|"([^"]+)"|([^\s'"]+))""")
DEBIAN = "/etc/postgresql/*/*/postgresql.conf"
DATA_DIRECTORY = re.compile(r"^\s*data_directory\s*(?:=|\s)\s*'?([^'#\n]+?)'?\s*(?:#.*)?$", re.MULTILINE)
RECOVERY = "recovery.signal"
CONFIGURATION = "postgresql.conf"
MESSAGE_BYTES = 1500


class ProgramFailed(Exception):
    """A program ended with another status than 0; the message says which, and what it said."""


class StoppedServer:
    """:param hints: words that may name the configuration file, such as those of the command that starts it."""

    def __init__(self, directory: DataDirectory, bin_dir: str, hints: Sequence[str]) -> None:
        self.directory, self._bin_dir, self._hints = directory, bin_dir, hints

    def missing_programs(self) -> list[str]:
        """The paths of those that are not there."""
        return [path for name in ("postgres", "pg_rewind") if not os.access(path := os.path.join(self._bin_dir, name), os.X_OK)]

    def configuration(self) -> str | None:
        """The path of its postgresql.conf: as it was last started, as it is to be started, in its data directory, or where Debian has it."""
        named = [next(filter(None, found)) for word in (*self.directory.options(), *self._hints) for found in CONFIG_FILE.findall(word)]
        in_debian = [path for path in sorted(glob.glob(DEBIAN)) if self._is_of(path)]
        return next((path for path in (*named, self.directory.file(CONFIGURATION), *in_debian) if os.path.isfile(path)), None)

    def setting(self, name: str) -> str:
        """A setting as its files have it, and the command line with which it was last started."""
        return self._run(["postgres", "-D", self.directory.path, *self._options(), "-C", name]).rstrip("\n")

    def recover(self, lock: int) -> None:
        """Have a server that crashed end its recovery, and shut it down in order, without a session. It is fenced afterwards."""
        with self._without_signals():
            self._run(["postgres", "--single", "-D", self.directory.path, *self._options(), "-c", "wal_keep_size=1TB", "template1"], lock=lock)

    def rewind(self, source: Login, lock: int, *flags: str) -> str:
        """Run pg_rewind with `stub` as the configuration of the server; returns what it said."""
        from_archive = ["--restore-target-wal"] if os.path.getsize(self.directory.file(CONFIGURATION)) else []
        return self._run(["pg_rewind", f"--target-pgdata={self.directory.path}", f"--source-server={source.conninfo(source.maintenance_database)}",
                          "--no-ensure-shutdown", *from_archive, *flags], {"PGPASSWORD": source.password} if source.password else {}, lock)

    def account(self) -> Mapping[str, Any]:
        """How a program runs as the owner of the data, in the words of `subprocess`; empty where this process is the owner."""
        owner = os.stat(self.directory.path)
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 and owner.st_uid else {}

    def _options(self) -> Sequence[str]:
        return [*self.directory.options(), "-c", f"config_file={self.configuration()}"]

    def _is_of(self, path: str) -> bool:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            return any(os.path.realpath(found) == self.directory.path for found in DATA_DIRECTORY.findall(file.read()))
        return False

    @contextlib.contextmanager
    def _without_signals(self) -> Iterator[None]:
        """A server without sessions does not start as a standby."""
        for name in (STANDBY, RECOVERY):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.directory.file(name))
        try:
            yield
        finally:
            owner = os.stat(self.directory.path)
            with open(self.directory.file(STANDBY), "wb") as file:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)

    def _run(self, argv: Sequence[str], more: Mapping[str, str] | None = None, lock: int | None = None) -> str:
        done = subprocess.run([os.path.join(self._bin_dir, argv[0]), *argv[1:]], env={**environment(os.stat(self.directory.path).st_uid), **(more or {})},
                              cwd="/", stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", check=False,
                              pass_fds=() if lock is None else (lock,), **self.account())
        if done.returncode:
            raise ProgramFailed(f"{argv[0]} ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-MESSAGE_BYTES:]}")
        return done.stdout + (done.stderr if argv[0] == "pg_rewind" else "")


def stub(restore_command: str) -> str:
    """A configuration for pg_rewind, which asks for this setting only, and before PostgreSQL 15 looks for it in the data directory only."""
    return f"restore_command = {quoted(restore_command)}\n" if restore_command else ""


def environment(uid: int) -> dict[str, str]:
    """That of PostgreSQL's programs as this account: nothing of libpq's, no language, its own home (where its password file is)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_")) and name not in ("LANG", "LANGUAGE")}
    with contextlib.suppress(KeyError):
        kept["HOME"] = pwd.getpwuid(uid).pw_dir
    return {**kept, "LC_ALL": "C"}
