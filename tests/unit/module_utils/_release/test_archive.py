# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import io
import itertools
import os
import random
import stat
import subprocess
import sys
import tarfile

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.archive import ArchiveError, Limits, unpack, validated
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.archive_names import Tree
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
    "hard link to a symlink that leads out from there": ([symlink("a/b/s", "../../app.py"), hardlink("x", "a/b/s")], "leads out"),
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
    "escape sequence in the name": ([member("a\x1b[2Jb", b"x")], "control characters"),
    "escape sequence of one byte in the name": ([member("a\x9b2Jb", b"x")], "control characters"),
    "escape sequence in a link": ([symlink("a", "b\x1b[2J")], "control characters"),
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


NAMES = {
    "umlaut": "gr\u00f6\u00dfe.css",
    "narrow space of a macOS screenshot": "Screenshot 9.41.00\u202fAM.png",
    "ideographic space": "\u65e5\u672c\u3000\u8a9e.txt",
    "a script that is newer than this Python": "\U0001fae8\u0378",
    "bytes that are no UTF-8": "caf\udce9",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_of_any_writing_is_kept_byte_by_byte(tmp_path, target, form, name):
    with tarfile.open(tmp_path / "good", "w:gz", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for info, content in (member(name, b"x"), symlink("link", name), folder(f"d/{name}")):
            tar.addfile(info, io.BytesIO(content))
    unpacked(tmp_path / "good", target)
    wanted = name.encode("utf-8", "surrogateescape")
    assert sorted(os.listdir(os.fsencode(target))) == sorted([wanted, b"link", b"d"])
    assert os.readlink(os.fsencode(target / "link")) == wanted and os.listdir(os.fsencode(target / "d")) == [wanted]


IN_ANOTHER_LOCALE = """
import sys
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.archive import Limits, unpack, validated
assert sys.getfilesystemencoding() == "ascii", sys.getfilesystemencoding()
with open(sys.argv[1], "rb") as stream, validated(stream, Limits(100, 1000)) as archive:
    unpack(archive, sys.argv[2])
"""


def test_a_name_does_not_go_through_the_locale_of_the_host(tmp_path, target):
    write_archive(tmp_path / "good", member(NAMES["umlaut"], b"x"))
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", IN_ANOTHER_LOCALE, str(tmp_path / "good"), str(target)], check=True, env=plain)
    assert os.listdir(os.fsencode(target)) == [NAMES["umlaut"].encode("utf-8")]


def test_a_hard_link_to_a_symlink_is_that_symlink(tmp_path, target):
    """As ``cp -al`` and package managers make them, and GNU tar packs them."""
    write_archive(tmp_path / "good", GOOD, folder("a"), symlink("a/s", "../app.py"), folder("b"), hardlink("b/s", "a/s"), hardlink("b/t", "b/s"),
                  hardlink("copy.py", "app.py"), hardlink("again.py", "copy.py"))
    unpacked(tmp_path / "good", target)
    assert {name: os.readlink(target / name) for name in ("a/s", "b/s", "b/t")} == dict.fromkeys(("a/s", "b/s", "b/t"), "../app.py")
    assert (target / "again.py").stat().st_ino == (target / "app.py").stat().st_ino


def extended(kind, content):
    """An archive whose first header is extended by these bytes."""
    info, _content = member("x", size=len(content), type=kind)
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + content + b"\0" * (-len(content) % 512) + tar_bytes(GOOD))


HEADERS = {
    "digits without end": (tarfile.XHDTYPE, b"1" * 100_000),
    "digits in a value": (tarfile.XHDTYPE, b"100011 comment=" + b"1" * 99_995 + b"\n"),
    "records that overlap": (tarfile.XHDTYPE, b"2 " * 30_000 + b"=\n"),
    "records that overlap, for all members": (tarfile.XGLTYPE, b"2 " * 30_000 + b"=\n"),
    "records without end": (tarfile.XHDTYPE, b"6 a=b\n" * 10_000),
    "a record without a name": (tarfile.XHDTYPE, b"5 =b\n"),
    "a record longer than the header": (tarfile.XHDTYPE, b"900 a=b\n"),
    "more behind the end": (tarfile.XHDTYPE, b"6 a=b\n\0\0more"),
    "a sparse file": (tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n"),
    "a sparse file of old": (tarfile.GNUTYPE_SPARSE, b""),
    "a megabyte": (tarfile.XHDTYPE, b"\0" * 1024 * 1024),
    "a name of a megabyte": (tarfile.GNUTYPE_LONGNAME, b"a" * 1024 * 1024),
}


@pytest.mark.parametrize(("kind", "content"), HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_some_tarfile_takes_minutes_for_never_reaches_it(tmp_path, target, monkeypatch, kind, content):
    def must_not_be_parsed(*_given):
        raise AssertionError("tarfile parses it")

    for parser in ("_proc_pax", "_proc_sparse"):
        monkeypatch.setattr(tarfile.TarInfo, parser, lambda info, tar: (tar.fileobj.read(info._block(info.size)), must_not_be_parsed()))
    write_bytes(tmp_path / "costly", extended(kind, content))
    with pytest.raises(ArchiveError, match=r"header|sparse"):
        unpacked(tmp_path / "costly", target)


def test_headers_are_bounded_together_and_not_kept(tmp_path, target):
    """Each is as long as it may be, and empty files cost nothing."""
    def padded(number, size):
        info, content = member(f"m{number}", b"x")
        info.pax_headers = {"comment": "x" * size}
        return info, content

    write_archive(tmp_path / "costly", *(padded(number, 130_000) for number in range(4)))
    with pytest.raises(ArchiveError, match="extended headers are too long"):
        unpacked(tmp_path / "costly", target)
    write_archive(tmp_path / "good", *(padded(number, 1200) for number in range(50)))
    with open(tmp_path / "good", "rb") as stream, validated(stream, LIMITS) as archive:
        assert [entry.member.pax_headers for entry in archive.entries] == [{}] * 50


def test_folders_that_are_named_twice_are_one(tmp_path, target):
    """As ``tar -C a . -C ../b .`` writes them."""
    write_archive(tmp_path / "two", folder("./"), folder("./a"), GOOD, folder("./"), folder("./a", mode=0o700), member("./a/x", b"x"))
    unpacked(tmp_path / "two", target)
    assert (target / "a" / "x").read_bytes() == b"x" and (target / "a").stat().st_mode & 0o777 == 0o700
    write_archive(tmp_path / "file", folder("a"), member("a", b"x"))
    with pytest.raises(ArchiveError, match="occurs twice"):
        unpacked(tmp_path / "file", tmp_path)


def test_headers_that_archivers_write_are_taken(tmp_path, target):
    info, content = GOOD
    info = tarfile.TarInfo.frombuf(info.tobuf(), "utf-8", "strict")
    info.pax_headers = {"comment": "3f2a", "SCHILY.xattr.user.note": "a=b\n1 c", "SCHILY.xattr.user.number": "7" * 1000,
                        "mtime": "1700000000.123456789", "path": "app.py"}
    write_archive(tmp_path / "good", (info, content), member("x" * 90 + "/" + "y" * 90, b"long"))
    unpacked(tmp_path / "good", target)
    assert (target / "app.py").read_bytes() == content
    git = b"52 comment=3f2a000000000000000000000000000000000000\n"
    write_bytes(tmp_path / "git", extended(tarfile.XGLTYPE, git))
    (target / "git").mkdir()
    unpacked(tmp_path / "git", target / "git")


def test_judging_an_archive_comes_to_an_end(tmp_path):
    """Whatever it is that takes so long: many empty streams, one after the other, are one way."""
    write_bytes(tmp_path / "slow", gzip.compress(b"") * 2000 + gzip.compress(tar_bytes(GOOD)))
    moments = itertools.count(0, 10)
    with open(tmp_path / "slow", "rb") as stream, pytest.raises(ArchiveError, match="takes longer than 30 s"), \
            validated(stream, LIMITS, clock=lambda: next(moments)):
        pass


def test_links_that_lead_to_links_without_end_are_not_followed_for_longer(tmp_path, monkeypatch):
    """Each leads through 40 others with hundreds of steps: 50,000 of them weigh next to nothing, and take an hour."""
    path = "/".join("." * 500)
    links = [symlink(f"l{number}", f"{path}/l{number + 1}") for number in range(30)]
    write_archive(tmp_path / "slow", GOOD, *links, symlink("l30", "app.py"))
    with open(tmp_path / "slow", "rb") as stream, validated(stream, LIMITS) as archive:
        assert len(archive.entries) == 32
    spent = []
    monkeypatch.setattr(Tree, "_follow", lambda self, name, target: spent.append(10.0))
    with open(tmp_path / "slow", "rb") as stream, pytest.raises(ArchiveError, match="takes longer than 30 s"), \
            validated(stream, LIMITS, clock=lambda: sum(spent)):
        pass
    assert len(spent) == 4


def test_the_folders_that_paths_imply_are_counted(tmp_path, target):
    """A disk has as many inodes as it has: 100,000 paths of 500 folders each are 50 million."""
    deep = "/".join("d" * 150)
    write_archive(tmp_path / "deep", GOOD, member(f"a/{deep}/x", b"x"), member(f"b/{deep}/x", b"x"))
    with pytest.raises(ArchiveError, match="more than 100 members and as many folders"):
        unpacked(tmp_path / "deep", target)
    write_archive(tmp_path / "good", GOOD, *(member(f"{deep}/{number}", b"x") for number in range(40)))
    unpacked(tmp_path / "good", target)
