# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands in a text, completed with what the user gave on the command line, so that they can be pasted. Pure: words in, text out."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...module_utils._host.credentials import secrets_in

PROGRAM = "ansible-playbook"
COLLECTION = "alwayson.upgrade."
# How a message names a command, and the one that the user has run.
_COMMAND = re.compile(rf"{PROGRAM} {re.escape(COLLECTION)}([a-z_]+)((?: -e (?:\"[^\"]*\"|'[^']*'|[^\s;)\"'])+)*)")
AGAIN = "THE_SAME_COMMAND"
_AGAIN_WITH = re.compile(r"the same command with (?=-e )")
# Options of ansible-playbook without a value; every other one has one.
_SWITCHES = frozenset(("--ask-vault-password", "--ask-vault-pass", "--ask-become-pass", "--ask-pass", "--become", "--check", "--diff", "--flush-cache",
                       "--force-handlers", "--help", "--list-hosts", "--list-tags", "--list-tasks", "--step", "--syntax-check", "--verbose", "--version"))
_SWITCH_LETTERS = frozenset("JKbCDhkv")
# What belongs to the one run that it was given for.
_ONCE_OPTIONS = frozenset(("-C", "--check", "--step", "--start-at-task", "--syntax-check", "--list-hosts", "--list-tags", "--list-tasks"))
_ONCE_VARIABLES = frozenset(("upgrade_plan", "upgrade_take_over", "upgrade_reason"))
_SECRET = re.compile(r"passw|passphrase|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")


class Option(NamedTuple):
    """Words of a command line that belong together; a playbook has no name."""

    name: str
    value: str | None

    @property
    def words(self) -> list[str]:
        """As it is typed."""
        return [word for word in (self.name, self.value) if word]


def options_of(words: Sequence[str]) -> Iterator[Option]:
    """The words after the program's name, by option."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            yield from (Option("", value) for value in rest)
            return
        if word.startswith("--"):
            name, is_given, value = word.partition("=")
            takes_value = not is_given and name not in _SWITCHES
            yield Option(name, value if is_given else rest.pop(0) if takes_value and rest else None)
        elif word.startswith("-") and len(word) > 1:
            yield from _short_options(word, rest)
        else:
            yield Option("", word)


def _short_options(word: str, rest: list[str]) -> Iterator[Option]:
    for place, letter in enumerate(word[1:], start=1):
        if letter not in _SWITCH_LETTERS:
            value = word[place + 1:]
            yield Option(f"-{letter}", value or (rest.pop(0) if rest else None))
            return
        yield Option(f"-{letter}", None)


def complete(text: str, words: Sequence[str], program: str = PROGRAM) -> str:
    """Complete each command of the collection in a text.

    :param words: what the user typed after the program's name; with none the text stays as it is.
    :param program: how the program is called.
    """
    given = list(options_of(words))
    playbooks = [option.value or "" for option in given if not option.name]
    if not playbooks:
        return text.replace(AGAIN, "the same command")
    again = _joined(program, given)

    def completed(match: re.Match[str]) -> str:
        variables = [word for word in shlex.split(match[2]) if word != "-e"]
        end = match[2][-1:] if match[2][-1:] in (".", ",", ":") and not match[2].endswith("..") else ""
        if end:
            variables[-1] = variables[-1].removesuffix(end)
        return _other_command(program, given, _sibling(playbooks, match[1]), variables) + end

    # Not a command that stands in what the user typed.
    return again.join(_COMMAND.sub(completed, part) for part in _AGAIN_WITH.sub(f"{AGAIN} ", text).split(AGAIN))


def _other_command(program: str, given: Sequence[Option], playbook: str, variables: Sequence[str]) -> str:
    replaced = {variable.partition("=")[0] for variable in variables} | _ONCE_VARIABLES
    kept = [option for option in given if option.name and option.name not in _ONCE_OPTIONS and not _assigns_only(option, replaced)]
    return _joined(program, [Option("", playbook), *kept, *(Option("-e", _as_extra_variable(variable)) for variable in variables)])


def _as_extra_variable(variable: str) -> str:
    """ansible-playbook splits NAME=VALUE at spaces, and reads JSON as it is."""
    name, _is, value = variable.partition("=")
    return variable if re.fullmatch(r"[\w./:@%+,-]*", value) else json.dumps({name: value}, ensure_ascii=False)


def _assigns_only(option: Option, names: set[str] | frozenset[str]) -> bool:
    assigned = set(_ASSIGNMENT.findall(option.value or "")) if option.name in ("-e", "--extra-vars") else set()
    match = _ASSIGNMENT.match(option.value or "")
    return bool(match) and assigned <= names and len(_words_of(option.value or "")) == len(assigned)


def _words_of(text: str) -> list[str]:
    """The words of a text; of one with a quotation mark that is not closed, the text."""
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def _sibling(playbooks: Sequence[str], name: str) -> str:
    """The playbook of that name, beside the one that the user named by its path."""
    paths = [path for path in playbooks if posixpath.basename(posixpath.dirname(path)) == "playbooks" and path.endswith(".yml")]
    return posixpath.join(posixpath.dirname(paths[0]), f"{name}.yml") if paths else f"{COLLECTION}{name}"


def _joined(program: str, options: Sequence[Option]) -> str:
    words = [program]
    for option in options:
        words += _without_secrets(option).words
    return " ".join(shlex.quote(word) for word in words)


def _without_secrets(option: Option) -> Option:
    """What is printed may be kept for long: the value of a password that was typed is left for the user to fill in."""
    value = option.value or ""
    if option.name not in ("-e", "--extra-vars"):
        return option
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        named = re.sub(r"(\b[A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|\S+)", lambda match: f"{match[1]}=<{match[1]}>" if _SECRET.search(match[1]) else match[0], value)
        return option._replace(value=_without(named, secrets_in(named)))
    masked = _masked(content)
    secrets = secrets_in(masked)
    return option if masked == content and not secrets else option._replace(value=_without(json.dumps(masked, ensure_ascii=False), secrets))


def _without(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        # What was masked by its name already names what to fill in.
        text = text if secret.startswith("<") else text.replace(secret, "<secret>")
    return text


def _masked(content: object) -> object:
    if isinstance(content, Mapping):
        return {name: f"<{name}>" if _SECRET.search(str(name)) and not isinstance(value, (Mapping, list)) else _masked(value)
                for name, value in content.items()}
    return [_masked(value) for value in content] if isinstance(content, list) else content
