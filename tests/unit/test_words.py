# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain English: no word of the list stands in plugins, roles, playbooks and documents."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from words import WORDS, banned, prose

REPOSITORY = Path(__file__).resolve().parents[2]
# Each folder with fewer files than it has, so that a pattern that finds nothing cannot pass.
READ = {"plugins": 330, "roles": 50, "playbooks": 50, "docs": 15, "*.md": 2, "tests/*.md": 1}


def files(pattern: str) -> list[Path]:
    """What git has or will have of a folder, or of a pattern: text that people write."""
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", f":(glob){pattern}{'/**' if '*' not in pattern else ''}"],
                           cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split()
    return [path for name in names if (path := REPOSITORY / name).is_file() and path.suffix in (".py", ".yml", ".md", ".j2", ".sh")]


@pytest.mark.parametrize("pattern", READ)
def test_no_word_of_the_list_comes_back(pattern):
    read = files(pattern)
    assert len(read) >= READ[pattern], f"only {len(read)} files were read"
    found = [f"{path.relative_to(REPOSITORY)}:{number}: {word!r}: {alternative}"
             for path in read for number, line in prose(path) for word, alternative in banned(line)]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("text", [
    "Somebody else has it", "wait for its end, whoever runs it", "which the server is told", "A release of before", "start it anew",
])
def test_each_is_found(text, tmp_path):
    assert [word for word, _alternative in banned(text)]
    path = tmp_path / "sample.py"
    path.write_text(f'NAME = f"{text} {{NAME}}"  # {text}\n\n\ndef call():\n    """{text}."""\n', encoding="utf-8")
    assert {number for number, line in prose(path) if list(banned(line))} == {1, 5}


@pytest.mark.parametrize("text", ["another run has it", "the option `lingering`", "``everybody`` of the plan", "untold", "hencefort"])
def test_code_and_other_words_are_not(text):
    assert list(banned(text)) == []


def test_names_in_code_are_not_prose(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text('everybody = facts["everybody"]\n', encoding="utf-8")
    assert [line for _number, line in prose(path)] == []


def test_the_list_is_short():
    assert 15 < len(WORDS) < 40
