# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy's configuration has to look like for the proof of a drain to hold: see `Demand`. HAProxy does not show it, so its files are read.

``option persist`` has clients that are bound to a server reach it in maintenance, too, and so does ``force-persist`` where its condition holds. Both were
tried on HAProxy 2.8. The process may run with another text than its files have now, so what the files say is not all that is looked at: see `arrivals`.

An agent that answers ``ready`` ends maintenance, and one that answers ``drain`` makes a drain of it; ``up``, ``down`` and weights leave it alone. HAProxy does
not tell whether the first two were in an answer. Source: HAProxy's configuration manual, ``agent-check``, and its management guide on ``-f``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ...._host import proc
from ...._host.private_copy import open_regular
from ...demands import Demand

SECTIONS = ("global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "mailers", "userlist", "program", "http-errors", "ring", "cache",
            "fcgi-app", "log-forward", "crt-store", "traces", "acme")
BACKENDS, FORCED, PERSIST = ("backend", "listen"), "force-persist", ["option", "persist"]
BYPASS = ("the configuration that it runs with, which may be older than its file, lets bound clients in: take option persist and force-persist out of the "
          "backend and its defaults, and reload HAProxy")
# The default interval of agent checks is 2 s, which spread-checks makes up to 50 % longer; an agent takes a moment to answer.
DEFAULT_AGENT_SECONDS, AGENT_SPREAD, AGENT_ANSWER_SECONDS = 2.0, 1.5, 0.5
_INTERVAL = re.compile(r"\bagent-inter\s+(\d+)(us|ms|s|m|h|d)?")
_UNITS = {"us": 0.000001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
UNSEEN = "its configuration cannot be read here, so option persist and force-persist are not ruled out: with them, bound clients reach a member in maintenance"


class Facts(NamedTuple):
    """A backend `name` and the lines of its configuration that speak of persistence."""

    name: str
    lines: tuple[str, ...]


def lines_of_process(endpoint: str, pid: int) -> tuple[str, ...] | None:
    """The lines of the configuration of a process that answers at a runtime API on this host; None where it is elsewhere, or is not to be read."""
    if not pid or not is_local(endpoint):
        return None
    try:
        name, _state, parent, _began = proc.stat(pid)
        # The number may be one of a container, and be another process's here.
        if "haproxy" not in name or os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"):
            return None
        # A worker may have another working directory; its master keeps the one in which it was started.
        folder = os.readlink(f"/proc/{parent if proc.stat(parent).name == name else pid}/cwd")
        found = [line for path in files_of(proc.words(pid, "cmdline"), folder) for line in _lines(path)]
    except (OSError, ValueError):
        return None
    return tuple(found) or None


def is_local(endpoint: str) -> bool:
    """Whether the runtime API is one of this host for certain."""
    if endpoint.startswith("unix:"):
        return True
    try:
        return (urlsplit(endpoint).hostname or "").startswith("127.")
    except ValueError:
        return False


def files_of(argv: Sequence[str], folder: str) -> list[str]:
    """The files of a configuration, in their order, by a command line: each ``-f`` is a file or a folder of them, and so is whatever is behind ``--``."""
    words, paths = list(argv[1:]), []
    while words:
        word = words.pop(0)
        if word == "-C" and words:
            folder = os.path.join(folder, words.pop(0))
        elif word == "-f" and words:
            paths.append(words.pop(0))
        elif word == "--":
            paths += [rest for rest in words if rest]
            break
    found = []
    for path in (os.path.join(folder, path) for path in paths):
        found += sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(".cfg")) if os.path.isdir(path) else [path]
    return found


def persistence_of(lines: Iterable[str]) -> dict[str, list[str]]:
    """The lines about persistence of each backend: those of the defaults that it inherits, then its own, without what may be a comment."""
    defaults: dict[str, list[str]] = {}
    found: dict[str, list[str]] = {}
    latest: list[str] = []
    into: list[str] = []
    for words in _words(lines):
        if words[0] not in SECTIONS:
            into += [" ".join(words)] if words[0] == FORCED or words[-2:] == PERSIST else []
            continue
        named = words[1] if len(words) > 1 else ""
        inherited = list(_inherited(words, defaults, latest))
        if words[0] == "defaults":
            latest = into = defaults[named] = inherited
        else:
            # Only backends have members; frontends and the others are of no interest.
            into = found[named] = inherited if words[0] in BACKENDS else []
    return found


def agent_seconds(lines: Iterable[str]) -> float:
    """After how many seconds each agent of a configuration has certainly been asked once more: the longest of its intervals counts."""
    intervals = [int(number) * _UNITS[unit or "ms"] for line in lines for number, unit in _INTERVAL.findall(line)]
    return max([DEFAULT_AGENT_SECONDS, *intervals]) * AGENT_SPREAD + AGENT_ANSWER_SECONDS


def _inherited(words: list[str], defaults: Mapping[str, list[str]], latest: list[str]) -> list[str]:
    """What a section begins with: the lines of the defaults that it names, else of the latest ones before it; those themselves begin empty."""
    if "from" in words[:-1]:
        return defaults.get(words[words.index("from") + 1], [])
    return [] if words[0] == "defaults" else latest


def _words(lines: Iterable[str]) -> Iterator[list[str]]:
    """The words of each line, without quotes, and without what is a comment."""
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.partition("#")[0].split()
        if words:
            yield words


def _lines(path: str) -> list[str]:
    with open_regular(path) as file:
        return file.read().decode("utf-8", "replace").splitlines()


def _shuts_bound_clients_out(facts: Facts) -> str:
    options = [line for line in facts.lines if not line.startswith(FORCED)]
    return (f"option persist has clients that are bound to a member reach it in maintenance, too: write no option persist into backend {facts.name}"
            if options and not options[-1].startswith("no ") else "")


def _forces_nobody(facts: Facts) -> str:
    forced = [line for line in facts.lines if line.startswith(FORCED)]
    return f"{'; '.join(forced)}: clients that meet this condition reach a member in maintenance, too" if forced else ""


DEMANDS = (Demand(_shuts_bound_clients_out), Demand(_forces_nobody, is_needed=False))
