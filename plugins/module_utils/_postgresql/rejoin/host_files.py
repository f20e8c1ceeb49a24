# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of a PostgreSQL data directory that belong to the host: set aside while ``pg_rewind`` copies those of another host, and put back.

``pg_rewind`` makes the whole directory like the one of its source, configuration, certificates and server logs too, and deletes what the source has not.
Only the entries of `OF_POSTGRESQL` are data. All others belong to the host, whatever their names: so the files that a configuration includes need not be known.
Source: PostgreSQL's documentation, "Database File Layout", and of ``pg_rewind``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Sequence

from ..._host import removal, small_files

OF_POSTGRESQL = frozenset([
    "PG_VERSION", "base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_multixact", "pg_notify",
    "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase",
    "pg_wal", "pg_xact", "backup_label", "backup_label.old", "backup_manifest", "current_logfiles", "recovery.done",
    "recovery.signal", "standby.signal", "tablespace_map", "tablespace_map.old", "postmaster.pid", "lost+found",
])
OTHERS_MAY_ENTER = 0o001


class HostFiles:
    """Those of the data directory at `path`. What is set aside is in a folder beside it, which is there as long as something is."""

    def __init__(self, path: str) -> None:
        self.path, self.store = path, f"{path}.rejoin"
        self._kept, self._record = os.path.join(self.store, "files"), os.path.join(self.store, "kept.json")

    def are_set_aside(self) -> bool:
        """Whether a former run has not put them back."""
        return os.path.exists(self._record)

    def set_aside(self, arriving: Iterable[str]) -> None:
        """Move them out; raise MountedError, having moved nothing, when something is mounted in one of them.

        :param arriving: the entries of the other server's data directory, which replace them.
        """
        own = _of_the_host(os.listdir(self.path))
        for name in own:
            removal.require_nothing_mounted(os.path.join(self.path, name))
        owner = os.stat(self.path)
        for folder in (self.store, self._kept):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)
        small_files.replace_json(self._record, {"own": own, "arriving": [name for name in _of_the_host(arriving) if name not in own]})
        os.chown(self._record, owner.st_uid, owner.st_gid)
        for name in own:
            _move(os.path.join(self.path, name), os.path.join(self._kept, name))

    def put_back(self) -> None:
        """Remove those of the other server, and move the host's own back. It may be interrupted, and done again."""
        record = small_files.read_json(self._record)
        for name in record["arriving"]:
            removal.remove(os.path.join(self.path, name))
        for name in record["own"]:
            kept, place = os.path.join(self._kept, name), os.path.join(self.path, name)
            if os.path.lexists(kept):
                removal.remove(place)
                _move(kept, place)
        small_files.flush(self.path)
        small_files.remove(self._record)
        with contextlib.suppress(OSError):
            removal.remove(self.store)

    def close(self) -> None:
        """Keep PostgreSQL from starting a server here: it refuses a data directory that others may enter. The files in it stay closed to them."""
        os.chmod(self.path, os.stat(self.path).st_mode & 0o7777 | OTHERS_MAY_ENTER)

    def reopen(self) -> None:
        """Let it be started."""
        os.chmod(self.path, os.stat(self.path).st_mode & 0o7770)


def _of_the_host(names: Iterable[str]) -> Sequence[str]:
    return sorted(name for name in names if name not in OF_POSTGRESQL)


def _move(source: str, target: str) -> None:
    """By a rename; from one file system to another as a copy with the same owners and rights, which is whole when it is found under its name."""
    try:
        os.rename(source, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    partial, gone = f"{target}.partial", f"{source}.gone"
    for place in (partial, gone):
        removal.remove(place)
    _copy(source, partial)
    os.rename(partial, target)
    os.rename(source, gone)
    removal.remove(gone)


def _copy(source: str, target: str) -> None:
    status = os.lstat(source)
    if os.path.isdir(source) and not os.path.islink(source):
        os.mkdir(target, 0o700)
        for name in os.listdir(source):
            _copy(os.path.join(source, name), os.path.join(target, name))
        shutil.copystat(source, target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
