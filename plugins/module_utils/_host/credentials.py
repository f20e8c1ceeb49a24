# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in places that are none by their name: passwords and tokens in URLs, in connection strings, in bodies and settings of APIs. Pure.

An option that is a secret as a whole says so by ``no_log``. Of the others only these parts are secrets, and all else in them is to be seen in messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set as AbstractSet
from typing import Any
from urllib.parse import unquote

# Shorter values occur in texts by chance, and masking names and numbers makes messages useless. A value in a query is often a word or a version.
SHORTEST, SHORTEST_IN_QUERY = 8, 16
MASK = "********"
# Up to the last @, whatever is before it: a password that has to be percent-encoded, and is not, may have any of /?#@ in it.
_LOGIN = re.compile(r"^([A-Za-z][\w+.-]*://).*@|^[^/@:]*:[^/@]*@", re.DOTALL)
# An option may hold megabytes without a space: each pattern is looked for in one pass, and none begins with a repetition.
_LOGINS = re.compile(r"(?<=[\w+.-])://([^\s@]+)(@?)")
_QUERY = re.compile(r"([?&][^?=&#\s]*)=([^&#\s]*)")
_WORDS = r"passw|passphrase|secret|token|credential|api[_-]?key|private[_-]?key|access[_-]?key"
# An author, an authority and the state or affinity of a session are none.
_NAME = re.compile(rf"(?i){_WORDS}|auth(?!or(?!iz))|cookie|session(?:[_-]?id)?$|bearer|^signature$|(?:^|[_-])(?:key|pass|pwd|jwt|otp)$")
# In connection strings, command lines and SQL.
_KEYWORD, _BARE = re.compile(rf"(?i){_WORDS}|pwd"), re.compile(r"[^\s;&'\"]+")
# In JSON it is a text in quotes, after a name in quotes.
_EQUALS = re.compile(r"[\w-]{0,64}(?:\s{0,16}=|['\"]\s{0,16}:(?=\s{0,16}['\"]))\s{0,16}")
# An option of a command and the next word. What begins with / is the path of a file that has it, and --token-file is not at its end a secret.
_OPTION = r"(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|pwd)"
_OPTIONS, _OPTION_BEFORE = re.compile(rf"(?i){_OPTION}[ \t]{{1,16}}(?![-/=])"), re.compile(r"(?:^|[\s'\"])--?[\w-]{0,64}$")
_OPTION_WORD = re.compile(rf"(?i)--?(?:[\w-]{{0,64}}[_-])?{_OPTION}")
_HEADER = re.compile(r"(?i)\bauthorization:[ \t]{0,16}(?:[a-z]{1,16}[ \t]{1,16})?([^\s'\"]+)"
                     r"|\bx-(?:[a-z]{1,16}-){0,3}(?:token|key|secret):[ \t]{0,16}([^\s'\"]+)")
_CURL, _CURL_USER = re.compile(r"(?:^|[\s/])curl$"), re.compile(r"(?:^|\s)(?:-u|--user)[ \t=]{1,16}['\"]?[^\s:]{1,256}:([^\s'\"]+)")
_SQL = re.compile(r"(?i)\bpassword\s+'([^']+)'")


def shown_url(url: str) -> str:
    """A URL for messages: who logs in by it, and the values in its query, are left out, whatever else is wrong with it."""
    return shown_path(_LOGIN.sub(lambda found: f"{found[1] or ''}...@", str(url)))


def shown_path(path: str) -> str:
    """A path for messages, without the values in its query."""
    return _QUERY.sub(r"\1=...", str(path))


def secrets_in(value: Any, spec: Mapping[str, Mapping[str, Any]] | None = None) -> set[str]:
    """The secrets in an option's value, as texts.

    :param spec: the options within, as in an argument spec: their names say nothing about their values, which are masked by their own options. Of one with
        no_log all is secret, unless it is raw: the body of a request has secrets by their names, and all else in it may be what an answer has to say.
    """
    return {text for text in _secrets(value, spec, False) if len(text) >= SHORTEST}


def masked(text: str, secrets: AbstractSet[str]) -> str:
    """The text without these secrets, neither as they are nor as JSON has them."""
    for secret in sorted({form for plain in secrets for form in (plain, json.dumps(plain)[1:-1])}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _secrets(value: Any, spec: Mapping[str, Mapping[str, Any]] | None, is_named: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            known = (spec or {}).get(name)
            is_secret = bool(_NAME.search(str(name))) if known is None else bool(known.get("no_log")) and known.get("type") != "raw"
            yield from _secrets(inner, (known or {}).get("options"), is_named or is_secret)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _secrets(inner, spec, is_named)
        yield from () if is_named else _in_words(value)
    elif isinstance(value, str):
        yield from [value] if is_named else _in_text(value)
    elif is_named and isinstance(value, (int, float)):
        yield str(value)


def _in_text(text: str) -> Iterator[str]:
    logins = [login for login, end in _LOGINS.findall(text) if end]
    found = [_password(login) for login in logins]
    # A short password is masked where it stands in its URL: as a word it may come up anywhere.
    found += [f"//{login}@" for login in logins if ":" in login and "/" not in login and len(_password(login)) < SHORTEST]
    if "?" in text:
        found += [given for name, given in _QUERY.findall(text) if len(given) >= SHORTEST_IN_QUERY or _NAME.search(name[1:])]
    found += [*_given(text), *_SQL.findall(text), *(given for row in _HEADER.findall(text) for given in row)]
    if "curl " in text:
        found += _CURL_USER.findall(text)
    for secret in filter(None, found):
        yield secret
        yield unquote(secret)


def _password(login: str) -> str:
    """The password in what stands before the @ of a URL; a token may stand there alone."""
    return login[login.partition("/")[0].find(":") + 1:] or login


def _in_words(words: Sequence[Any]) -> Iterator[str]:
    """The secrets that are words of their own in a command: what follows an option that says so, and curl's user."""
    is_curl = bool(words) and isinstance(words[0], str) and bool(_CURL.search(words[0][-64:]))
    for option, value in zip(words, words[1:]):
        if not (isinstance(option, str) and isinstance(value, str) and option.startswith("-")) or len(option) > 96:
            continue
        if _OPTION_WORD.fullmatch(option) and not value.startswith(("-", "/")):
            yield value
        elif is_curl and option in ("-u", "--user") and ":" in value:
            yield value.partition(":")[2]


def _given(text: str) -> Iterator[str]:
    """What the names that say so are given: ``password=...``, ``"password": "..."`` and ``--password ...``, in quotes or not."""
    equals = (_EQUALS.match(text, keyword.end()) for keyword in _KEYWORD.finditer(text))
    options = (found for found in _OPTIONS.finditer(text) if _OPTION_BEFORE.search(text[max(0, found.start() - 64):found.start()]))
    for places in (equals, options):
        end = 0
        for begins in (found.end() for found in places if found):
            if begins >= end:
                value, end = _value_at(text, begins)
                yield value


def _value_at(text: str, begins: int) -> tuple[str, int]:
    """The value that begins at this place, and where it ends. A quote that does not end goes on to the end of the text."""
    quote = text[begins:begins + 1]
    if quote in ("'", '"'):
        end = text.find(quote, begins + 1)
        end = len(text) if end < 0 else end
        return text[begins + 1:end], end
    bare = _BARE.match(text, begins)
    end = bare.end() if bare else begins
    return text[begins:end], end
