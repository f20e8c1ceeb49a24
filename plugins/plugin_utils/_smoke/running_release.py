# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a service reports the release that runs, and the smoke test that proves it. Pure.

It is read from JSON, from a header or from the text of an answer, or from what a command on the member prints. What is read is compared exactly with the
release, after ``upgrade_version_pattern`` has cut it out where one is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, cast

QUERY: Final = "version_query"
HEADER: Final = "version_header"
COMMAND: Final = "version_command"
SOURCES = (QUERY, HEADER, COMMAND)
DEFAULT_QUERY = "release"
# Of ``HealthAndRelease``, name to default. None: not given.
DEFAULTS: dict[str, str | None] = {"health_path": "/healthz", "version_path": "/version", QUERY: None, HEADER: None, "version_pattern": None}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HealthAndRelease(TypedDict):
    """Where a service reports its health, and the release that runs."""

    health_path: str
    version_path: str
    version_query: str | None
    version_header: str | None
    version_pattern: str | None
    has_version_command: bool


def health_and_release(given: Mapping[str, Any], command: Sequence[str] = ()) -> HealthAndRelease:
    """What *given* says of this, with the defaults of what it leaves out.

    :param given: the description of a service, or a part of it; its other names are not read.
    :param command: the command that prints the release, where there is one.
    """
    options = {name: value for name, value in given.items() if value is not None}
    found: dict[str, object] = {name: options.get(name, default) for name, default in DEFAULTS.items()}
    found["has_version_command"] = options.get("has_version_command", bool(command))
    if not (found[HEADER] or found["version_pattern"] or found["has_version_command"]):
        found[QUERY] = found[QUERY] or DEFAULT_QUERY
    return cast("HealthAndRelease", found)


def complete(service: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Fill in how *service* reports its release; returns the errors, as sentences.

    :param names: the names of all ``upgrade_*`` variables that are set: a command is read on each member only.
    """
    given = [source for source in SOURCES if f"upgrade_{source}" in names]
    service["has_version_command"] = COMMAND in given
    if not given and service["version_pattern"] is None:
        service[QUERY] = DEFAULT_QUERY
    # The prober reads the release in the same header, unless it is given another one.
    if service["probe"] and service[HEADER]:
        pattern = {} if service["version_pattern"] is None else {"version_pattern": service["version_pattern"]}
        service["probe"] = {"version_header": service[HEADER], **pattern, **service["probe"]}
    problems = []
    if len(given) > 1:
        problems.append(f"{' and '.join(f'upgrade_{source}' for source in given)} are set: the release that runs is read in one place, so give one of them")
    if service[HEADER] is not None and not _TOKEN.fullmatch(str(service[HEADER])):
        problems.append(f"upgrade_version_header is {service[HEADER]!r}: give the name of a header, for example X-Release")
    return problems + _pattern_problems(service["version_pattern"])


def version_test(service: HealthAndRelease, base_url: str, release: str, *, name: str, headers: Mapping[str, Any] | None = None,
                 command: Sequence[str] = ()) -> dict[str, Any]:
    """The test that proves which release runs, for the module smoke_test.

    :param command: ``upgrade_version_command`` as the member has it, for a service that reports its release by one.
    :raises ValueError: when such a service's command is missing or no list.
    """
    if service["has_version_command"]:
        if not command or isinstance(command, str):
            raise ValueError(f"upgrade_version_command is {command!r}: give a list, the program and its arguments, that prints the release")
        return {"name": name, "command": list(command), "expect_answer": {"body": _compared(service, release)}}
    asked = {"name": name, "url": base_url.rstrip("/") + "/" + service["version_path"].lstrip("/"), "headers": dict(headers or {})}
    if service[HEADER]:
        return {**asked, "expect_answer": {f"headers.{json.dumps(service[HEADER].lower())}": _compared(service, release)}}
    if service[QUERY]:
        return {**asked, "expect": {service[QUERY]: _compared(service, release)}}
    return {**asked, "expect_answer": {"body": _compared(service, release)}}


def _compared(service: HealthAndRelease, release: str) -> object:
    return release if service["version_pattern"] is None else {"captures": [service["version_pattern"], release]}


def _pattern_problems(pattern: object) -> list[str]:
    if pattern is None:
        return []
    wanted = r"give a regular expression whose first group is the release, for example 'shop ([0-9.]+)'"
    try:
        groups = re.compile(str(pattern)).groups
    except re.error as error:
        return [f"upgrade_version_pattern is {pattern!r}, which is no regular expression ({error}): {wanted}"]
    return [] if groups else [f"upgrade_version_pattern is {pattern!r}, which has no group: {wanted}"]
