# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and links of an archive, validated as a tree that exists only in memory.

A link is followed here step by step as the kernel would follow it, through the archive's own links. Comparing the text of
names is not enough: `up -> a/..` and `up/../x` look harmless one by one.
"""

from __future__ import annotations

import re
from typing import Callable

from .._host.characters import has_controls

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024
MAX_LINKS_FOLLOWED = 40

_INTERPRETER = re.compile(r"(python|pypy)[0-9.]*t?")


class ArchiveNameError(Exception):
    """A member's name, type, size or link has no place in a release; the message is the reason only."""


def clean_name(raw: str) -> str:
    """Return the member's name relative to the top of the archive, "" for the top itself; raise ArchiveNameError if it leaves the tree."""
    if not raw:
        raise ArchiveNameError("it has no name")
    if raw.startswith("/"):
        raise ArchiveNameError("its name is absolute")
    parts = [part for part in raw.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveNameError("its name contains '..'")
    if has_controls(raw):
        raise ArchiveNameError("its name contains control characters")
    _require_storable(parts)
    return "/".join(parts)


def bytes_of(name: str) -> bytes:
    """The name as the archive has it, byte by byte."""
    return name.encode("utf-8", "surrogateescape")


def _require_storable(parts: list[str]) -> None:
    sizes = [len(bytes_of(part)) for part in parts]
    if sizes and (max(sizes) > MAX_NAME_BYTES or sum(sizes) + len(sizes) > MAX_PATH_BYTES):
        raise ArchiveNameError("its name is too long")


class Tree:
    """What an archive would create: {name: kind} and where its symlinks point.

    :param most: the most members and folders, those included that a path implies only.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kinds: dict[str, str] = {}
        self._targets: dict[str, str] = {}
        self._implied: set[str] = set()

    def add(self, name: str, kind: str, target: str) -> tuple[str, str]:
        """Add one member with a clean name; raise ArchiveNameError when it cannot stand beside those before it.

        Return its kind and target as they are to be made: a hard link to a symlink is that symlink once more.
        """
        if name in self._kinds and not kind == self._kinds[name] == "folder":
            raise ArchiveNameError("the same name occurs twice")
        if not name and kind != "folder":
            raise ArchiveNameError("the top of the archive is not a folder")
        if kind == "hardlink":
            linked = clean_name(target)
            if self._kinds.get(linked) not in ("file", "hardlink", "symlink"):
                raise ArchiveNameError(f"it is a hard link to {target!a}, which is no file before it in the archive")
            kind, target = ("symlink", self._targets[linked]) if linked in self._targets else (kind, linked)
        if kind == "symlink":
            _require_plain_target(target)
            self._targets[name] = target
        self._kinds[name] = kind
        self._imply(name)
        return kind, target

    def _imply(self, name: str) -> None:
        """Each folder costs the disk as much as a member does, and one long path implies hundreds."""
        above = name.rpartition("/")[0]
        while above and above not in self._implied:
            self._implied.add(above)
            above = above.rpartition("/")[0]
        if len(self._kinds) + len(self._implied) > 2 * self._most:
            raise ArchiveNameError(f"with it the archive has more than {self._most} members and as many folders")

    def require_links_inside(self, require_time: Callable[[], None] = lambda: None) -> None:
        """Raise ArchiveNameError when a member lies below something that is no folder, or a symlink leads out of the tree.

        :param require_time: raises when this takes too long: links that lead to links cost much more than they weigh.
        """
        for parent in self._implied:
            if self._kinds.get(parent, "folder") != "folder":
                name = min(name for name in self._kinds if name.startswith(f"{parent}/"))
                raise ArchiveNameError(f"member {name!a}: it lies below {parent!a}, which is no folder")
        for name, target in self._targets.items():
            require_time()
            self._follow(name, target)

    def _follow(self, name: str, target: str) -> None:
        """Walk from the folder of `name` along `target`, through links on the way, and never above the top."""
        here = name.split("/")[:-1]
        ahead = target.split("/")[::-1]
        followed = 0
        while ahead:
            part = ahead.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    raise ArchiveNameError(f"member {name!a}: its link to {target!a} leads out of the archive. {_remedy(target)}")
                here.pop()
                continue
            link = self._targets.get("/".join([*here, part]))
            if link is None:
                here.append(part)
                continue
            followed += 1
            if followed > MAX_LINKS_FOLLOWED:
                raise ArchiveNameError(f"member {name!a}: its link to {target!a} leads in a circle")
            ahead.extend(link.split("/")[::-1])


def _require_plain_target(target: str) -> None:
    if not target:
        raise ArchiveNameError("it is a link to nowhere")
    if target.startswith("/"):
        raise ArchiveNameError(f"it is a link to the absolute name {target!a}, which is not in the archive. {_remedy(target)}")
    if has_controls(target):
        raise ArchiveNameError("its link contains control characters")
    if len(bytes_of(target)) > MAX_PATH_BYTES:
        raise ArchiveNameError("its link is too long")


def _remedy(target: str) -> str:
    """What to do in place of a link out of the archive."""
    if _INTERPRETER.fullmatch(target.rsplit("/", 1)[-1]):
        return ("It is the interpreter of a virtual environment. Pack wheels, and build the virtual environment on the host, or make it with "
                "python3 -m venv --copies: docs/python_applications.md")
    return "Pack the file itself, or have the service make the link when it starts"


def parents_of(name: str) -> list[str]:
    """The folders that a clean name lies in, outermost first."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
