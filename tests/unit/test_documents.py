# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each path, link and heading that a document names is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOP = ("plugins", "playbooks", "roles", "tests", "docs", "changelogs", "requirements")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A path of this repository: from its root, in a span of code, in a command or in a picture. In an address or behind a folder it is another one.
PATH = re.compile(rf"(?<![\w./@:-])(?:{'|'.join(TOP)})/[\w./*-]*[\w/*]")
# Of a user's own repository, or made by a run; NAME and NN stand for something.
NOT_OURS = re.compile(r"NAME|NN|^requirements/\w+$")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=REPOSITORY, check=True, capture_output=True,
                           text=True).stdout.split()
    return [REPOSITORY / name for name in names if (REPOSITORY / name).is_file()]


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> Iterator[str]:
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"\w+:", target):
            continue
        name, _hash, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        if not other.exists() or (anchor and anchor not in anchors(other.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(REPOSITORY)}: {target}"


def paths(text: str) -> set[str]:
    return {found for found in PATH.findall(LINK.sub("", text)) if not NOT_OURS.search(found)}


def test_every_link_leads_to_a_file_and_a_heading():
    read = documents()
    links = sum(len(LINK.findall(path.read_text(encoding="utf-8"))) for path in read)
    assert len(read) >= 25 and links >= 80
    assert [link for path in read for link in broken_links(path)] == []


def test_every_path_that_a_document_names_is_there():
    named = {(path, name) for path in documents() for name in paths(path.read_text(encoding="utf-8"))}
    assert len(named) >= 120
    missing = sorted(f"{path.relative_to(REPOSITORY)}: {name}" for path, name in named if not list(REPOSITORY.glob(name.rstrip("/"))))
    assert missing == []


def test_a_missing_path_is_found():
    text = "see `tests/unit/none.py`, and `build/venv/bin/python tests/bench/none.py --x`, not https://x/tests/y.py"
    assert paths(text) == {"tests/unit/none.py", "tests/bench/none.py"}
