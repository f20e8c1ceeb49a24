# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release archives (.tar.gz): validated as a whole before the first byte is written, then unpacked.

`validated` reads the archive once and yields what it would create, or raises ArchiveError having written nothing.
`unpack` writes just that: it never follows a link, never overwrites, and takes neither owners nor special mode bits
from the archive. Nothing here trusts the archive: not its names, links, sizes or headers.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import tarfile
import time
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Callable, NamedTuple, cast

from .._host.small_files import flush
from .archive_headers import ArchiveHeaderError, Headers
from .archive_names import ArchiveNameError, Tree, bytes_of, clean_name, parents_of

CHUNK = 1024 * 1024
BLOCK = tarfile.BLOCKSIZE
MAX_TIME = 2**32 - 1
# The time that validating an archive may take: so much for any, and so much more for each of its bytes. A slow host takes a tenth of it.
VALIDATION_SECONDS, VALIDATION_SECONDS_PER_BYTE = 30.0, 1 / 500_000

# What tarfile, gzip and zlib let through when an archive is torn or forged.
_MALFORMED = (tarfile.TarError, zlib.error, EOFError, ValueError, OverflowError, RecursionError, gzip.BadGzipFile)


class ArchiveError(Exception):
    """The archive is refused. The message names its member and the reason."""


class Limits(NamedTuple):
    """The most that one archive may hold: `members` entries and `size` bytes when unpacked."""

    members: int
    size: int


class Entry(NamedTuple):
    """One validated member: `kind` is file, folder, symlink or hardlink; `target` is where a link points."""

    name: str
    kind: str
    mode: int
    mtime: int
    size: int
    target: str
    member: tarfile.TarInfo


class Archive(NamedTuple):
    """An open, validated archive: its tar stream and its entries in the archive's order."""

    tar: tarfile.TarFile
    entries: list[Entry]

    @property
    def size(self) -> int:
        """Bytes of all files when unpacked."""
        return sum(entry.size for entry in self.entries)


@contextlib.contextmanager
def validated(
    stream: BinaryIO, limits: Limits, reserved: frozenset[str] = frozenset(), clock: Callable[[], float] = time.monotonic
) -> Iterator[Archive]:
    """Open `stream` as a .tar.gz and yield it once every member was found harmless, in bounded time; raise ArchiveError otherwise.

    `reserved` are names that the archive must not contain because the caller writes them itself.
    """
    with contextlib.ExitStack() as opened:
        with _malformed_as_archive_error():
            timed = _TimedReader(stream, clock)
            plain = opened.enter_context(gzip.GzipFile(fileobj=timed, mode="rb"))
            bounded = _BoundedReader(plain, limits.size + (limits.members + 2) * 8 * BLOCK, limits.members, timed.require_time)
            # tarfile uses only read, seek and tell of a file, so the reader has no other methods.
            source = cast(BinaryIO, bounded)
            tar = opened.enter_context(tarfile.open(fileobj=source, mode="r:", errors="surrogateescape", encoding="utf-8"))
            entries = _validate(tar, limits, reserved, timed.require_time)
            bounded.allow_large_reads()
            _require_clean_end(tar, bounded)
            timed.is_validated = True
        yield Archive(tar, entries)


def unpack(archive: Archive, folder: str) -> None:
    """Write the entries of `archive` into the existing, empty `folder` and flush them to disk.

    Raises ArchiveError when the content turns out shorter than announced, OSError when the disk refuses.
    """
    files = [entry for entry in archive.entries if entry.kind == "file"]
    folders = _folders(archive.entries)
    for name in sorted(folders):
        os.mkdir(_below(folder, name), mode=0o700)
    with _malformed_as_archive_error():
        for entry in files:
            _write_file(archive.tar, entry, _below(folder, entry.name))
    # Links last: whatever they point to, no file was written through them.
    for entry in archive.entries:
        if entry.kind in ("hardlink", "symlink"):
            _make_link(entry, folder)
    for entry in files:
        flush(_below(folder, entry.name))
    for name in sorted(folders, reverse=True):
        path = _below(folder, name)
        flush(path)
        mode, mtime = folders[name]
        os.chmod(path, mode)
        os.utime(path, (mtime, mtime))
    flush(folder)


def _below(folder: str, name: str) -> bytes:
    """Where a member's name stands on the disk: the archive's own bytes, whatever locale this host has."""
    return os.path.join(os.fsencode(folder), bytes_of(name))


@contextlib.contextmanager
def _malformed_as_archive_error() -> Iterator[None]:
    try:
        yield
    except _MALFORMED as error:
        raise ArchiveError(f"it is not a whole .tar.gz archive ({error or type(error).__name__})") from error


def _validate(tar: tarfile.TarFile, limits: Limits, reserved: frozenset[str], require_time: Callable[[], None]) -> list[Entry]:
    """Every member of `tar` as an Entry. Sizes are checked before the stream is read past them."""
    entries: list[Entry] = []
    tree = Tree(limits.members)
    size = 0
    for count, member in enumerate(tar, start=1):
        if count > limits.members:
            raise ArchiveError(f"it has more than {limits.members} members")
        shown = ascii(member.name)
        try:
            name = clean_name(member.name)
            kind = _kind(member)
            size += member.size if kind == "file" else 0
            if member.size < 0 or size > limits.size:
                raise ArchiveNameError(f"with it the archive unpacks to more than {limits.size} bytes")
            if name in reserved:
                raise ArchiveNameError("this name is reserved")
            kind, target = tree.add(name, kind, member.linkname)
        except ArchiveNameError as error:
            raise ArchiveError(f"member {shown}: {error}") from error
        # tarfile keeps each member, with what its headers say, which is not needed any more.
        member.pax_headers = {}
        if name:
            entries.append(_entry(member, name, kind, target))
    try:
        tree.require_links_inside(require_time)
    except ArchiveNameError as error:
        raise ArchiveError(str(error)) from error
    if not any(entry.kind == "file" for entry in entries):
        raise ArchiveError("it contains no file")
    return entries


def _kind(member: tarfile.TarInfo) -> str:
    """What the member is; refuses everything that has no place in a release."""
    if member.mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
        raise ArchiveNameError(f"its mode {member.mode & 0o7777:04o} sets setuid, setgid or sticky")
    if member.issparse():
        raise ArchiveNameError("it is a sparse file")
    if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
        return "file"
    if member.isdir():
        return "folder"
    if member.issym():
        return "symlink"
    if member.islnk():
        return "hardlink"
    if member.isdev():
        raise ArchiveNameError("it is a device or a named pipe")
    raise ArchiveNameError(f"it is of the unknown type {member.type!a}")


def _entry(member: tarfile.TarInfo, name: str, kind: str, target: str) -> Entry:
    """Readable and writable for its owner, never writable for others; whether it can be executed is the archive's word."""
    owner = 0o700 if kind == "folder" else 0o600
    return Entry(
        name=name,
        kind=kind,
        mode=member.mode & 0o755 | owner,
        mtime=min(max(int(member.mtime), 0), MAX_TIME),
        size=member.size if kind == "file" else 0,
        target=target,
        member=member,
    )


def _require_clean_end(tar: tarfile.TarFile, bounded: _BoundedReader) -> None:
    """tarfile takes a broken header in the middle for the end. The end is: zeros, from there on, and at least a block."""
    bounded.seek(tar.offset)
    end = bounded.read(BLOCK)
    if len(end) < BLOCK:
        raise ArchiveError("it ends without an end mark: it is cut short")
    while end:
        if end.strip(b"\0"):
            raise ArchiveError("its end is followed by data that belongs to no member: a header is damaged or hidden")
        end = bounded.read(CHUNK)


def _folders(entries: list[Entry]) -> dict[str, tuple[int, int]]:
    """{name: (mode, mtime)} of every folder, those too that the archive implies only."""
    implied = {parent: (0o755, entry.mtime) for entry in entries for parent in parents_of(entry.name)}
    return {**implied, **{entry.name: (entry.mode, entry.mtime) for entry in entries if entry.kind == "folder"}}


def _write_file(tar: tarfile.TarFile, entry: Entry, path: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(handle, "wb") as file:
        content = tar.extractfile(entry.member)
        written = 0
        for chunk in iter(lambda: content.read(CHUNK), b"") if content else ():
            written += file.write(chunk)
        if written != entry.size:
            raise ArchiveError(f"member {entry.name!a}: {written} of {entry.size} bytes: it is cut short")
        os.fchmod(file.fileno(), entry.mode)
    os.utime(path, (entry.mtime, entry.mtime))


def _make_link(entry: Entry, folder: str) -> None:
    path = _below(folder, entry.name)
    if entry.kind == "symlink":
        os.symlink(bytes_of(entry.target), path)
    else:
        os.link(_below(folder, entry.target), path)


class _BoundedReader:
    """A seekable reader that gives no more than `limit` bytes of a stream, however far that would unpack.

    Until `allow_large_reads`, tarfile reads nothing but headers here, and gets none that it would not cope with.
    """

    def __init__(self, stream: gzip.GzipFile, limit: int, members: int, require_time: Callable[[], None]) -> None:
        self._stream = stream
        self._limit = limit
        self._require_time = require_time
        self._headers: Headers | None = Headers(members)

    def allow_large_reads(self) -> None:
        self._headers = None

    def read(self, size: int = -1) -> bytes:
        self._require_time()
        try:
            if self._headers:
                self._headers.require_readable(size)
            content = self._stream.read(size)
            self._require_inside(self._stream.tell())
            if self._headers:
                self._headers.see(content)
        except ArchiveHeaderError as error:
            raise ArchiveError(str(error)) from error
        return content

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise ArchiveError("it can only be read forward")
        self._require_inside(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _require_inside(self, position: int) -> None:
        if position > self._limit:
            raise ArchiveError(f"it unpacks to more than {self._limit} bytes")


class _TimedReader:
    """The archive as it is on the disk. Until it is validated, reading it has to come to an end."""

    def __init__(self, stream: BinaryIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        self._most = VALIDATION_SECONDS + size * VALIDATION_SECONDS_PER_BYTE
        self._began = clock()
        self.is_validated = False

    def require_time(self) -> None:
        """Raise ArchiveError when this took longer than an archive of its size may."""
        if not self.is_validated and self._clock() - self._began > self._most:
            raise ArchiveError(f"validating it takes longer than {self._most:.0f} s, which is too long for its size")

    def read(self, size: int = -1) -> bytes:
        self.require_time()
        return self._stream.read(size)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(position, whence)
