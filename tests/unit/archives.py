# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds release archives for tests: good ones, and ones that mean harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path


def member(name: str, content: bytes = b"", **attributes) -> tuple[tarfile.TarInfo, bytes]:
    """One member; `attributes` are those of TarInfo (type, linkname, mode, size and so on)."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    info.mtime = 1_700_000_000
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def folder(name: str, **attributes) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **attributes})


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


def hardlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def tar_bytes(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_archive(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> str:
    """Write a .tar.gz of `members` to `path`; return its SHA-256."""
    return write_bytes(path, gzip.compress(tar_bytes(*members, form=form), mtime=0))


def write_bytes(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def write_release(path: Path, version: str, *more: tuple[tarfile.TarInfo, bytes]) -> str:
    """Write a small harmless release to `path`; return its SHA-256."""
    return write_archive(
        path,
        folder("./"),
        member("./VERSION", version.encode()),
        member("./bin/run", b"#!/bin/sh\necho " + version.encode() + b"\n", mode=0o755),
        symlink("./bin/start", "run"),
        *more,
    )
