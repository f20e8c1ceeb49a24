# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that must not come back, each with its plain alternative, and the prose of a file in which they are looked for."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

# Regular expressions, matched in lower case at word boundaries.
WORDS = {
    r"somebody|someone|whoever|anybody|anyone|everybody|everyone": "name the role: another run, an operator, any client, all members",
    r"nobody (who|whose|has come|but)": "name the role: no operator, no client, only the agent",
    r"(is|are|be|was|were|been) told": "is set, sent, reported, known; or name the error that says it",
    r"ha(s|ve) come for": "has joined",
    r"whose word": "trusted",
    r"(its|their|own) (own )?affair": "manages, decides, is left to",
    r"whatever becomes?|whatever became": "even when, regardless of",
    r"keeps what was": "still has",
    r"(everything|what|primary|servers?) of now": "current",
    r"of before": "previous, earlier",
    r"gone on with": "continued, resumed",
    r"(is|are) not one": "is invalid, is no ...",
    r"strangers?('s?)?": "another program, another account",
    r"dead man": "watchdog",
    r"latecomers?": "lingering connections",
    r"probation": "recheck",
    r"to be had|be had": "is available",
    r"in peace": "undisturbed, without load",
    r"in vain|for nothing": "without success, needlessly",
    r"come about|came about": "succeed, happen",
    r"anew": "again",
    r"hence|lest|thereof|whence|wherein": "so, so that not, of it, from where",
    r"own ways?": "defaults; diverge",
    r"vouch(es|ed)?": "sign, verify, cover",
}
BANNED = re.compile("|".join(f"(?P<w{number}>\\b(?:{words})\\b)" for number, words in enumerate(WORDS)), re.IGNORECASE)
# What stands as code in prose: names in backticks, and Ansible's markup of options and values.
CODE = re.compile(r"``.*?``|`[^`]*`")
ALTERNATIVES = list(WORDS.values())


def banned(text: str) -> Iterator[tuple[str, str]]:
    """Each word of the list in a text, with its alternative."""
    for match in BANNED.finditer(CODE.sub("", text)):
        yield match[0], ALTERNATIVES[int((match.lastgroup or "w0")[1:])]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that people read, with their numbers: of Python the comments and the texts that have a blank in them, of others all."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string):
            yield from enumerate(token.string.splitlines(), token.start[0])
