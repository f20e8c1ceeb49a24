# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of PostgreSQL's log that ``pg_receivewal --synchronous`` fills: its receiver ended, its last segment shown to recovery, where its log ends.

Source: PostgreSQL's documentation of ``pg_receivewal`` and ``pg_waldump``; its header file ``xlog_internal.h`` for the first page of a segment.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..._host import proc, programs
from ..._host.small_files import flush
from ..._host.waiting import wait_for
from ..session import PostgresqlError

RECEIVER, PARTIAL = "pg_receivewal", ".partial"
SEGMENT = re.compile(r"(?P<name>[0-9A-F]{24})(?P<partial>\.partial)?")
COMPRESSED = re.compile(r"[0-9A-F]{24}\.(gz|lz4)(\.partial)?")
# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr, xlp_rem_len, xlp_sysid, xlp_seg_size: the head of a segment's first page.
HEAD = struct.Struct("=HHIQI4xQI")
LAST_RECORD = re.compile(rb"\blsn: ([0-9A-F]+/[0-9A-F]+),")
TAIL_BYTES = 65_536
PAUSE_SECONDS = 0.005


class ReceivedLogError(PostgresqlError):
    """The folder is not what was described, or its receiver does not end. The message names it."""


class Segment(NamedTuple):
    """A file of the folder by the name that recovery asks for, which begins with its timeline, and whether it is still a partial one."""

    name: str
    is_partial: bool


class ReceivedLog:
    """:param stop_command: what ends the receiver's service; without it the receiver is ended by a signal."""

    def __init__(self, directory: str, bin_dir: str, stop_command: Sequence[str] = ()) -> None:
        self.directory = os.path.realpath(directory)
        self._pg_waldump, self._stop_command = os.path.join(bin_dir, "pg_waldump"), list(stop_command)
        self._partial: str | None = None
        self._end: str | None = None

    def require_usable(self, system_identifier: str) -> None:
        """Raise ReceivedLogError unless it has the log of this cluster, which this account may read and rename. Changes nothing."""
        if not os.access(self._pg_waldump, os.X_OK):
            raise ReceivedLogError(f"there is no program {self._pg_waldump}: give the folder of PostgreSQL's programs as warm_log.bin_dir")
        if not os.path.isdir(self.directory) or not os.access(self.directory, os.R_OK | os.W_OK | os.X_OK):
            raise ReceivedLogError(f"{self.directory} is no folder that this account can read and write: run this on the host of the receiver, as its account")
        if not os.path.isdir("/proc/self/fd"):
            raise ReceivedLogError("there is no /proc on this host, so whether the receiver has ended is unknown: it has to be a Linux host")
        names = os.listdir(self.directory)
        compressed = sorted(name for name in names if COMPRESSED.fullmatch(name))
        if compressed:
            raise ReceivedLogError(f"{self.directory} has segments that are compressed, such as {compressed[-1]}: have {RECEIVER} run without --compress")
        segments = self._segments()
        if not segments:
            raise ReceivedLogError(f"{self.directory} has no segment of a log: correct the folder, or start {RECEIVER}")
        found = next((sysid for segment in reversed(segments) if (sysid := self._system_identifier(segment))), None)
        if found != system_identifier:
            raise ReceivedLogError(f"{self.directory} has the log of system identifier {found}, and the server's is {system_identifier}: correct the folder")
        self._partial = segments[-1].name if segments[-1].is_partial else None

    def receivers(self) -> list[int]:
        """The processes of pg_receivewal that write to the folder."""
        with self._errors_explained():
            return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and self._is_receiver(entry)]

    def end_receiver(self, seconds: float) -> None:
        """End all writers of the folder. ReceivedLogError when a process still writes to it after so many seconds."""
        if self._stop_command:
            self._run_stop_command(seconds)
        else:
            for pid in self.receivers():
                self._tell_to_end(pid)
        if not wait_for(lambda: not self.receivers(), seconds, PAUSE_SECONDS):
            raise ReceivedLogError(f"{RECEIVER} (process {', '.join(map(str, self.receivers()))}) still writes to {self.directory}: "
                                   "end its service, or give what does as stop_command")

    def expose(self) -> None:
        """Give the last segment the name that recovery asks for."""
        with self._errors_explained():
            newest = self._segments()[-1]
            if newest.is_partial:
                os.rename(self._path(newest), os.path.join(self.directory, newest.name))
                flush(self.directory)

    def hide(self) -> None:
        """Take that back: a receiver that is started again would go on behind a segment that looks finished, and leave a hole."""
        if self._partial is None:
            return
        with self._errors_explained():
            exposed = os.path.join(self.directory, self._partial)
            if self._segments()[-1] == Segment(self._partial, False) and not self.receivers():
                os.rename(exposed, exposed + PARTIAL)
                flush(self.directory)

    def last_record(self) -> str:
        """Where the last complete record begins. Only valid when no receiver writes any more, and the last segment is exposed.

        A server that has replayed more than that has all of the log: it replays in order, so a hole would have kept it from getting there.
        """
        if self._end is None:
            with self._errors_explained():
                # A segment that was just begun may have no record yet.
                for segment in reversed(self._segments()[-2:]):
                    self._end = self._end or self._last_record_of(segment)
            if self._end is None:
                raise ReceivedLogError(f"{self._pg_waldump} finds no record in the last segments of {self.directory}: is the program of the server's version?")
        return self._end

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Turn an OSError into an error of the log, which callers handle."""
        try:
            yield
        except OSError as error:
            raise ReceivedLogError(f"the received log in {self.directory} cannot be used: {error.strerror or error} ({error.filename})") from error

    def _segments(self) -> list[Segment]:
        """The newest last."""
        found = filter(None, (SEGMENT.fullmatch(name) for name in os.listdir(self.directory)))
        # Where there are both, the whole one is what counts.
        whole = {match["name"]: True for match in sorted(found, key=lambda match: match[0], reverse=True)}
        return [Segment(name, not os.path.exists(os.path.join(self.directory, name))) for name in sorted(whole)]

    def _path(self, segment: Segment) -> str:
        return os.path.join(self.directory, segment.name + PARTIAL * segment.is_partial)

    def _system_identifier(self, segment: Segment) -> str | None:
        """From its first page; None when nothing was received into it yet."""
        with open(self._path(segment), "rb") as file:
            head = file.read(HEAD.size)
        if len(head) < HEAD.size or not any(head):
            return None
        sysid = HEAD.unpack(head)[5]
        # As SQL has it, which knows no number without a sign.
        return str(sysid - 2**64 if sysid >= 2**63 else sysid)

    def _is_receiver(self, pid: str) -> bool:
        try:
            if proc.read(pid, "comm") != f"{RECEIVER}\n" or (given := directory_given(proc.words(pid, "cmdline"))) is None:
                return False
            base = "/" if os.path.isabs(given) else os.readlink(f"/proc/{pid}/cwd")
            return os.path.realpath(os.path.join(base, given)) == self.directory
        except (FileNotFoundError, ProcessLookupError):
            return False

    def _tell_to_end(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise ReceivedLogError(f"{RECEIVER} (process {pid}) is another account's: run this as that one, or give a stop_command") from error

    def _run_stop_command(self, seconds: float) -> None:
        try:
            done = programs.run(self._stop_command, max(0.1, seconds))
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReceivedLogError(f"the stop_command of {RECEIVER} failed: {error}") from error
        if done.status:
            raise ReceivedLogError(f"the stop_command of {RECEIVER} ended with {done.status}: {done.said[-500:]}")

    def _last_record_of(self, segment: Segment) -> str | None:
        """It ends with an error where the log does: what it has shown before that counts."""
        command = [self._pg_waldump, os.path.join(self.directory, segment.name)]
        tail = b""
        with subprocess.Popen(command, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            while process.stdout and (more := process.stdout.read(TAIL_BYTES)):
                tail = (tail + more)[-TAIL_BYTES:]
        found = LAST_RECORD.findall(tail)
        return found[-1].decode("ascii") if found else None


def directory_given(words: Sequence[str]) -> str | None:
    """The folder that a command line of pg_receivewal names."""
    for number, word in enumerate(words):
        if word in ("-D", "--directory") and number + 1 < len(words):
            return words[number + 1]
        if word.startswith("--directory="):
            return word.partition("=")[2]
        if word.startswith("-D") and len(word) > 2:
            return word[2:]
    return None
