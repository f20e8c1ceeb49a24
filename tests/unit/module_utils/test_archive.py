# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import io
import os
import random
import stat
import tarfile
import zlib

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._archive import (
    ArchiveError,
    Limits,
    sha256_of,
    unpack,
    validated,
)
from archives import folder, hardlink, member, symlink, tar_bytes, write_archive, write_bytes, write_release

LIMITS = Limits(members=100, size=1_000_000)
GOOD = member("app.py", b"print('shop')\n")

EVIL = {
    "absolute name": ([member("/etc/cron.d/x", b"x")], "name is absolute"),
    "parent in the name": ([member("../x", b"x")], r"contains '\.\.'"),
    "parent within the name": ([member("a/../../x", b"x")], r"contains '\.\.'"),
    "absolute symlink": ([symlink("x", "/etc/passwd")], "absolute name"),
    "symlink out of the tree": ([symlink("a/x", "../../x")], "leads out of the archive"),
    "symlink out through another": ([folder("a"), folder("a/b"), symlink("a/b/up", "../.."), symlink("x", "a/b/up/../x")], "leads out"),
    "symlinks in a circle": ([symlink("x", "y"), symlink("y", "x")], "in a circle"),
    "file below a symlink": ([symlink("x", "a"), member("x/passwd", b"x")], "lies below 'x'"),
    "file below a symlink that comes later": ([member("x/passwd", b"x"), symlink("x", "a")], "lies below 'x'"),
    "file below a file": ([member("x", b"x"), member("x/y", b"x")], "lies below 'x'"),
    "hard link out of the tree": ([hardlink("x", "../x")], r"contains '\.\.'"),
    "absolute hard link": ([hardlink("x", "/etc/passwd")], "name is absolute"),
    "hard link to a symlink": ([symlink("s", "app.py"), hardlink("x", "s")], "no file before it"),
    "hard link to nothing": ([hardlink("x", "y")], "no file before it"),
    "character device": ([member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)], "device or a named pipe"),
    "block device": ([member("sda", type=tarfile.BLKTYPE, devmajor=8)], "device or a named pipe"),
    "named pipe": ([member("pipe", type=tarfile.FIFOTYPE)], "device or a named pipe"),
    "unknown type": ([member("x", b"x", type=b"Z")], "unknown type"),
    "contiguous file": ([member("x", b"x", type=tarfile.CONTTYPE)], "unknown type"),
    "setuid": ([member("su", b"x", mode=0o4755)], "setuid"),
    "setgid folder": ([folder("shared", mode=0o2775)], "setuid, setgid or sticky"),
    "sticky folder": ([folder("tmp", mode=0o1777)], "setuid, setgid or sticky"),
    "the same name twice": ([member("x", b"1"), member("x", b"2")], "occurs twice"),
    "the same name spelt otherwise": ([member("x", b"1"), member("./x", b"2")], "occurs twice"),
    "the marker of a release": ([member(".release.json", b"{}")], "reserved"),
    "top is a symlink": ([symlink(".", "x")], "not a folder"),
    "escape sequence in the name": ([member("a\x1b[2Jb", b"x")], "unprintable"),
    "name that is not UTF-8": ([member("a\udcff", b"x")], "unprintable"),
    "name that no disk takes": ([member("n" * 256, b"x")], "too long"),
    "path that no disk takes": ([member("/".join(["n" * 200] * 6), b"x")], "too long"),
    "more bytes than allowed": ([member("x", b"\0" * 1_000_001)], "more than 1000000 bytes"),
    "more bytes than allowed, in parts": ([member(str(n), b"\0" * 300_000) for n in range(4)], "more than 1000000 bytes"),
    "more members than allowed": ([folder(str(n)) for n in range(101)], "more than 100 members"),
}


@pytest.mark.parametrize(("name", "target", "remedy"), [
    ("venv/bin/python", "/usr/bin/python3", "the interpreter of a virtual environment. Pack wheels"),
    ("venv/bin/python3", "/opt/python/cpython-3.12/bin/python3.12", "python3 -m venv --copies: docs/python_applications.md"),
    ("bin/python3", "../../../usr/bin/python3.13t", "the interpreter of a virtual environment"),
    ("media", "/srv/media", "Pack the file itself, or have the service make the link when it starts"),
    ("python", "/srv/python-plugins", "Pack the file itself"),
])
def test_a_link_out_of_the_archive_is_refused_with_what_to_do_in_its_place(tmp_path, name, target, remedy):
    write_archive(tmp_path / "x.tar.gz", GOOD, symlink(name, target))
    with pytest.raises(ArchiveError) as error, open(tmp_path / "x.tar.gz", "rb") as stream, validated(stream, LIMITS):
        pass
    assert remedy in str(error.value) and repr(name) in str(error.value) and repr(target) in str(error.value)


def unpacked(path, folder_path, limits=LIMITS, reserved=frozenset([".release.json"])):
    with open(path, "rb") as stream, validated(stream, limits, reserved) as archive:
        unpack(archive, str(folder_path))
        return archive


@pytest.fixture(name="target")
def _target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.mark.parametrize(("members", "reason"), EVIL.values(), ids=EVIL.keys())
def test_an_evil_archive_is_refused_with_the_reason_and_leaves_nothing(tmp_path, target, members, reason):
    write_archive(tmp_path / "evil", GOOD, *members)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match=reason):
        unpacked(tmp_path / "evil", target)
    assert sorted(tmp_path.rglob("*")) == before


def test_there_are_enough_kinds_of_evil():
    assert len(EVIL) >= 30


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_a_good_archive_is_unpacked_as_it_is(tmp_path, target, form):
    long_name = "/".join(["folder-with-a-long-name"] * 6) + "/file" if form != tarfile.USTAR_FORMAT else "short/file"
    write_archive(
        tmp_path / "good",
        folder("./"),
        GOOD,
        member("bin/run", b"#!/bin/sh\n", mode=0o777),
        member("private", b"key", mode=0o400),
        member("empty"),
        folder("static", mode=0o700),
        member(long_name, b"deep"),
        symlink("bin/start", "../bin/run"),
        symlink("dangling", "not-there"),
        symlink("here", "."),
        hardlink("copy.py", "app.py"),
        form=form,
    )
    archive = unpacked(tmp_path / "good", target)
    assert (target / "app.py").read_bytes() == GOOD[1]
    assert (target / long_name).read_bytes() == b"deep"
    assert os.readlink(target / "bin/start") == "../bin/run"
    assert (target / "copy.py").stat().st_ino == (target / "app.py").stat().st_ino
    modes = {name: stat.S_IMODE((target / name).stat().st_mode) for name in ("app.py", "bin", "bin/run", "private", "static")}
    assert modes == {"app.py": 0o644, "bin": 0o755, "bin/run": 0o755, "private": 0o600, "static": 0o700}
    assert (target / "app.py").stat().st_mtime == 1_700_000_000
    assert archive.size == sum(len(content) for _info, content in (GOOD,)) + len(b"#!/bin/sh\n") + len(b"key") + len(b"deep")


def test_the_umask_does_not_take_the_release_away_from_its_service(tmp_path, target):
    write_release(tmp_path / "good", "1.0.0")
    umask = os.umask(0o077)
    try:
        unpacked(tmp_path / "good", target)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((target / "bin").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "VERSION").stat().st_mode) == 0o644


def test_an_existing_file_is_never_overwritten(tmp_path, target):
    write_archive(tmp_path / "good", GOOD)
    os.symlink(tmp_path / "victim", target / "app.py")
    with pytest.raises(FileExistsError):
        unpacked(tmp_path / "good", target)
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", b"\x1f\x8b", gzip.compress(b""), gzip.compress(b"\0" * 1024), gzip.compress(b"text" * 300), tar_bytes(GOOD)],
    ids=["empty", "text", "gzip magic only", "empty gzip", "empty tar", "gzip of text", "tar without gzip"],
)
def test_what_is_no_archive_is_refused(tmp_path, target, content):
    write_bytes(tmp_path / "no", content)
    with pytest.raises(ArchiveError):
        unpacked(tmp_path / "no", target)
    assert not list(target.iterdir())


def test_a_header_that_is_damaged_in_the_middle_is_not_taken_for_the_end(tmp_path, target):
    content = bytearray(tar_bytes(GOOD, member("second", b"x")))
    content[1024] ^= 0xFF
    write_bytes(tmp_path / "torn", gzip.compress(bytes(content)))
    with pytest.raises(ArchiveError, match="damaged or hidden"):
        unpacked(tmp_path / "torn", target)


def test_a_second_archive_behind_the_end_is_refused(tmp_path, target):
    write_bytes(tmp_path / "two", gzip.compress(tar_bytes(GOOD) + tar_bytes(member("hidden", b"x"))))
    with pytest.raises(ArchiveError, match="damaged or hidden"):
        unpacked(tmp_path / "two", target)


def test_an_archive_cut_at_any_block_is_refused(tmp_path, target):
    whole = tar_bytes(GOOD, member("second", b"x" * 600))
    members_end = 512 * 5
    for end in range(0, members_end + 1, 256):
        write_bytes(tmp_path / "cut", gzip.compress(whole[:end]))
        with pytest.raises(ArchiveError):
            unpacked(tmp_path / "cut", target)
    assert not list(target.iterdir())


def test_a_header_that_announces_gigabytes_is_refused_without_reading_them(tmp_path, target):
    info, _content = member("big", size=8 * 1024**4)
    write_bytes(tmp_path / "bomb", gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(ArchiveError, match="more than 1000000 bytes"):
        unpacked(tmp_path / "bomb", target)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_an_extended_header_that_announces_gigabytes_is_refused_without_reading_them(tmp_path, target, kind):
    info, _content = member("x", size=4 * 1024**3, type=kind)
    write_bytes(tmp_path / "bomb", gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 4096))
    with pytest.raises(ArchiveError, match="header of 4294967296 bytes"):
        unpacked(tmp_path / "bomb", target)


def test_a_gzip_bomb_is_given_up_at_the_limit(tmp_path, target):
    write_bytes(tmp_path / "bomb", gzip.compress(tar_bytes(GOOD) + b"\0" * 50_000_000))
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        unpacked(tmp_path / "bomb", target)


def test_a_sparse_file_is_refused(tmp_path, target):
    info, _content = member("sparse")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse", "GNU.sparse.realsize": "8000000000"}
    write_archive(tmp_path / "sparse", GOOD, (info, b"0\n"))
    with pytest.raises(ArchiveError):
        unpacked(tmp_path / "sparse", target)


def repair_checksums(content: bytearray, headers: list[int]) -> None:
    """Make every header at these offsets valid again, so that what it says is believed."""
    for start in headers:
        total = sum(content[start : start + 148]) + 8 * 0x20 + sum(content[start + 156 : start + 512])
        content[start + 148 : start + 156] = b"%06o\0 " % total


def test_damage_anywhere_is_refused_or_harmless(target):
    """2,000 damaged archives, half of them with valid headers: each is refused, or unpacks below its folder, and nothing else happens."""
    chance = random.Random(20261122)
    whole = tar_bytes(folder("a"), member("a/x", b"x" * 700), symlink("l", "a/x"), hardlink("h", "a/x"), member("n" * 99, b"y"))
    headers = [0, 512, 2048, 2560, 3072]
    refused = 0
    for turn in range(2000):
        content = bytearray(whole[:4096])
        for _change in range(chance.randint(1, 4)):
            content[chance.choice(headers) + chance.randrange(512)] = chance.randrange(256)
        if turn % 2:
            repair_checksums(content, headers)
        stream = io.BytesIO(gzip.compress(bytes(content) + b"\0" * 1024, compresslevel=1))
        place = target / str(turn)
        place.mkdir()
        try:
            with validated(stream, LIMITS) as archive:
                unpack(archive, str(place))
        except ArchiveError:
            refused += 1
            assert not list(place.iterdir())
        for path in place.rglob("*"):
            assert path.is_symlink() or not path.stat().st_mode & 0o7022
            assert os.path.realpath(path).startswith(f"{place}")
    assert 1000 < refused < 1900


def test_a_damaged_gzip_stream_is_refused(tmp_path, target):
    content = bytearray(gzip.compress(tar_bytes(member("x", os.urandom(2000)))))
    content[len(content) // 2] ^= 0xFF
    write_bytes(tmp_path / "damaged", bytes(content))
    with pytest.raises(ArchiveError):
        unpacked(tmp_path / "damaged", target)


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_archive(tmp_path):
    write_archive(tmp_path / "good", GOOD)
    with open(tmp_path / "good", "rb") as stream, pytest.raises(ValueError, match="mine"), validated(stream, LIMITS):
        raise ValueError("mine")


def test_the_checksum_is_that_of_the_whole_stream():
    stream = io.BytesIO(b"abc")
    stream.read(2)
    assert sha256_of(stream) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert stream.tell() == 0
    assert zlib.crc32(stream.read()) == zlib.crc32(b"abc")
