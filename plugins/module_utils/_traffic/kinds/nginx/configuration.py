# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's configuration, read as nginx reads it: words, quotes, comments and blocks, each word with its place in the text. Pure.

Source: ``ngx_conf_read_token`` of nginx: a comment, a quote and a closing brace are such only where a word would begin, and ``${`` opens no block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

WHITE = " \t\r\n"
_ESCAPED = re.compile(r"\\([\"'\\])")
_DUMPED = re.compile(r"^# configuration file (?P<path>.+):\n", re.MULTILINE)


class ConfigurationError(ValueError):
    """The text is no configuration of nginx; the message names the line."""


class Word(NamedTuple):
    """A word, without its quotes, and where it stands in the text, with them."""

    text: str
    start: int
    end: int


class Directive(NamedTuple):
    """A directive: its words, the first of which is its name, and what is in its block, None where it has none."""

    words: tuple[Word, ...]
    block: tuple[Directive, ...] | None

    @property
    def name(self) -> str:
        return self.words[0].text

    @property
    def arguments(self) -> list[str]:
        return [word.text for word in self.words[1:]]


class Server(NamedTuple):
    """A member of an upstream, which may be written several times: it is down, a backup, or drained by hand, when it is so each time.

    ``drain`` leaves it those clients that are bound to it (nginx 1.29.6 and newer). Of it and ``down`` the last one holds: tried on nginx 1.31.3.
    """

    is_down: bool
    is_backup: bool
    weight: int
    is_drained: bool = False


def parse(text: str) -> tuple[Directive, ...]:
    """The directives of a file; raise ConfigurationError when it is none."""
    found: list[list[Directive]] = [[]]
    heads: list[tuple[Word, ...]] = []
    words: list[Word] = []
    for token in _tokens(text):
        if token.text not in "{};" or token.end - token.start != 1:
            words.append(token)
            continue
        if (token.text == "}") == bool(words) or (token.text == "}" and not heads):
            raise ConfigurationError(f"unexpected {token.text!r} in line {_line(text, token.start)}")
        if token.text == ";":
            found[-1].append(Directive(tuple(words), None))
        elif token.text == "{":
            heads.append(tuple(words))
            found.append([])
        else:
            block = tuple(found.pop())
            found[-1].append(Directive(heads.pop(), block))
        words = []
    if words or heads:
        raise ConfigurationError(f"it ends within {(words or heads[-1])[0].text!r}, which begins in line {_line(text, (words or heads[-1])[0].start)}")
    return tuple(found[0])


def every(directives: tuple[Directive, ...], name: str) -> Iterator[Directive]:
    """All directives of a name, however deep."""
    for directive in directives:
        if directive.name == name:
            yield directive
        yield from every(directive.block or (), name)


def upstreams(text: str) -> dict[str, tuple[Directive, ...]]:
    """What is in each ``upstream``; raise ConfigurationError when there are two of one name."""
    found: dict[str, tuple[Directive, ...]] = {}
    for directive in every(parse(text), "upstream"):
        name = "".join(directive.arguments[:1])
        if name in found:
            raise ConfigurationError(f"it has two upstreams {name!r}, of http and of stream: give each a file of its own")
        found[name] = directive.block or ()
    return found


def servers(block: tuple[Directive, ...]) -> dict[str, Server]:
    """The servers of an upstream by their addresses."""
    found: dict[str, Server] = {}
    for directive in (directive for directive in block if directive.name == "server" and directive.arguments):
        address, *options = directive.arguments
        before = found.get(address, Server(True, True, 0, True))
        found[address] = Server(before.is_down and _is_down(options), before.is_backup and "backup" in options, before.weight + _weight(options),
                                before.is_drained and "drain" in options)
    return found


def with_servers(text: str, upstream: str, down: Mapping[str, bool]) -> str:
    """The text with these servers of an upstream ``down``, or not; all else, comments too, as it is."""
    edits: list[tuple[int, int, str]] = []
    for directive in (directive for directive in upstreams(text).get(upstream, ()) if directive.name == "server" and directive.arguments):
        address, words = directive.words[1], [word for word in directive.words[2:] if word.text == "down"]
        wanted = down.get(address.text)
        if wanted and not _is_down(directive.arguments[1:]):
            # Right behind the address: further on there may be a comment. But `drain` would take it back.
            end = max([address.end, *(word.end for word in directive.words[2:] if word.text == "drain")])
            edits.append((end, end, " down"))
        elif wanted is False:
            edits += [(_with_blanks(text, word), word.end, "") for word in words]
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def dumped(output: str) -> list[tuple[str, str]]:
    """The files that ``nginx -T`` shows, path and text, the main one first."""
    heads = list(_DUMPED.finditer(output))
    ends = [head.start() for head in heads[1:]] + [len(output)]
    # Behind each text there is a line's end more.
    return [(head["path"], output[head.end():end].removesuffix("\n")) for head, end in zip(heads, ends)]


def is_in_dump(output: str, text: str) -> bool:
    """Whether a file that ``nginx -T`` shows has exactly this text, which may itself have lines that look like the beginning of a file."""
    rests = [output[head.end() + len(text) + 1:] for head in _DUMPED.finditer(output) if output.startswith(text + "\n", head.end())]
    return any(not rest or _DUMPED.match(rest) for rest in rests)


def _is_down(options: list[str]) -> bool:
    return [option for option in options if option in ("down", "drain")][-1:] == ["down"]


def _weight(options: list[str]) -> int:
    weights = [option[len("weight="):] for option in options if option.startswith("weight=")]
    return int(weights[-1]) if weights and weights[-1].isdecimal() else 1


def _with_blanks(text: str, word: Word) -> int:
    """Where a word begins with the blanks before it, but not with a line's end, which may be a comment's."""
    start = word.start
    while start and text[start - 1] in " \t":
        start -= 1
    return start


def _tokens(text: str) -> Iterator[Word]:
    """The words; each ``;``, ``{`` and ``}`` is a separate one."""
    at = 0
    while at < len(text):
        character = text[at]
        if character in WHITE:
            at += 1
        elif character == "#":
            at = (text + "\n").find("\n", at)
        elif character in ";{}":
            yield Word(character, at, at + 1)
            at += 1
        else:
            word = _quoted(text, at) if character in "\"'" else _plain(text, at)
            yield word
            at = word.end


def _quoted(text: str, start: int) -> Word:
    at = start + 1
    while at < len(text) and text[at] != text[start]:
        at += 2 if text[at] == "\\" else 1
    if at >= len(text):
        raise ConfigurationError(f"the quote of line {_line(text, start)} has no end")
    if text[at + 1:at + 2] not in ("", ")", ";", "{", *WHITE):
        raise ConfigurationError(f"unexpected {text[at + 1]!r} behind a quote in line {_line(text, at)}")
    return Word(_ESCAPED.sub(r"\1", text[start + 1:at]), start, at + 1)


def _plain(text: str, start: int) -> Word:
    at, is_variable = start, False
    while at < len(text):
        character = text[at]
        if character == "{" and is_variable:
            at += 1
            continue
        if character in WHITE or character in ";{":
            break
        is_variable = character == "$"
        at += 2 if character == "\\" else 1
    at = min(at, len(text))
    return Word(_ESCAPED.sub(r"\1", text[start:at]), start, at)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
