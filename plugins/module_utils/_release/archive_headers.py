# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extended headers of an archive, validated before tarfile parses them. Pure.

tarfile looks for records with regular expressions that take minutes for a megabyte of digits, which a 2 kB archive unpacks to (CVE-2024-6232), and follows
records that overlap, each with a name of a megabyte. Such a header is rejected first, so it does not matter which Python has which of these faults.
Source: POSIX, pax, "pax Header Block"; GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

import re

BLOCK = 512
# A path has at most 1024 bytes here, and an extended attribute at most 65536 on Linux.
MOST_BYTES, MOST_RECORDS = 128 * 1024, 1000
_TYPE = slice(156, 157)
_PAX, _GNU_NAMES, _GNU_SPARSE = (b"x", b"g", b"X"), (b"L", b"K"), b"S"
_LENGTH = re.compile(rb"[1-9][0-9]{0,6} ")
# So many in a row cost the worst tarfile milliseconds; the value of an extended attribute may be a number, or a checksum, of hundreds.
_MANY_DIGITS = re.compile(rb"[0-9]{4096}")
# All extended headers of an archive together may have so many bytes for each member that may be in it, and those of one besides.
BYTES_PER_MEMBER = 4 * BLOCK


class ArchiveHeaderError(Exception):
    """An extended header is not as any archiver writes it; the message is the reason only."""


class Headers:
    """What tarfile reads of an archive while it looks for members: a block for each header, and in one piece what extends it.

    :param members: the most that the archive may have.
    """

    def __init__(self, members: int) -> None:
        self._extending = b""
        self._left = MOST_BYTES + members * BYTES_PER_MEMBER

    def require_readable(self, size: int) -> None:
        """Raise ArchiveHeaderError unless the next piece may have this size in bytes."""
        if not 0 <= size <= MOST_BYTES:
            raise ArchiveHeaderError(f"it has a header of {size} bytes")

    def see(self, content: bytes) -> None:
        """Validate the piece that was read; raise ArchiveHeaderError when tarfile must not get it."""
        kind, self._extending = self._extending, b""
        self._left -= len(content) if kind else 0
        if self._left < 0:
            raise ArchiveHeaderError("its extended headers are too long for the members that it may have")
        if kind in _PAX:
            require_records(content)
        elif not kind and len(content) == BLOCK:
            found = content[_TYPE]
            if found == _GNU_SPARSE:
                raise ArchiveHeaderError("it has a sparse file")
            self._extending = found if found in (*_PAX, *_GNU_NAMES) else b""


def require_records(content: bytes) -> None:
    """Raise ArchiveHeaderError unless `content` is records of ``LENGTH NAME=VALUE``, one after the other, with nothing but zeros behind them."""
    if _MANY_DIGITS.search(content):
        raise ArchiveHeaderError("it has an extended header with a number of 4096 digits")
    place = count = 0
    while content[place:place + 1] not in (b"", b"\0"):
        length = _LENGTH.match(content, place)
        end = place + int(length[0]) if length else 0
        name, equals, value = content[length.end():end].partition(b"=") if length else (b"", b"", b"")
        count += 1
        if not name or not equals or end > len(content) or not value.endswith(b"\n") or count > MOST_RECORDS:
            raise ArchiveHeaderError("it has an extended header that is none: its records do not follow one another")
        if name.startswith(b"GNU.sparse."):
            raise ArchiveHeaderError("it has a sparse file")
        place = end
    if content[place:].strip(b"\0"):
        raise ArchiveHeaderError("it has an extended header with more behind its end")
