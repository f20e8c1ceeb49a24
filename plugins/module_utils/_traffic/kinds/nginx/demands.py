# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx's configuration and its processes have to look like for the proof of a drain to hold: see `Demand`. Pure."""

from __future__ import annotations

import functools
import os
import re
from typing import NamedTuple

from ...demands import Demand
from .configuration import ConfigurationError, Directive, dumped, every, is_in_dump, parse, servers

# Of an upstream: those that choose among the servers that are not down, and those that have nothing to do with the choice.
KNOWN = ("server", "hash", "ip_hash", "keepalive", "keepalive_requests", "keepalive_time", "keepalive_timeout", "least_conn", "least_time", "ntlm", "queue",
         "random", "resolver", "resolver_timeout", "sticky", "zone")
PASSES = ("proxy_pass", "fastcgi_pass", "grpc_pass", "memcached_pass", "scgi_pass", "uwsgi_pass")
SOUGHT = ("worker_shutdown_timeout", "upstream", *PASSES)
# Of nginx' own options those with a value.
VALUED = "cegps"
_HOST = re.compile(r"(?:[a-z+]+://)?([^/$]+)")


class Facts(NamedTuple):
    """An upstream `name` with what is in it, the file in which it stands, and its text.

    `command` is nginx' own, as a shell has it; `output` what it says to -T, `problem` why it says nothing. `title` is the master's; `elders` are masters whose
    workers take requests beside the master's, `orphans` workers that do so without one, `strangers` are other masters on this network.
    """

    name: str
    block: tuple[Directive, ...]
    path: str
    text: str
    command: str
    output: str = ""
    problem: str = ""
    title: str = ""
    elders: tuple[int, ...] = ()
    orphans: tuple[int, ...] = ()
    strangers: tuple[int, ...] = ()


def _is_accepted(facts: Facts) -> str:
    return f"its configuration cannot be tested, so it cannot be reloaded: {facts.problem}" if facts.problem else ""


def _reads_the_file(facts: Facts) -> str:
    if facts.problem or is_in_dump(facts.output, facts.text):
        return ""
    return (f"nginx does not read {facts.path} as it stands there: {facts.command} -T shows no file with that text. Give the file that it includes; where "
            "it runs in a container, mount the file's folder, because a file that is mounted by itself stays the old one")


def _is_the_same_nginx(facts: Facts) -> str:
    """Empty unless the process title of the running master shows another configuration than the one that the command tests."""
    started, files = _started_with(facts.title), dumped(facts.output)
    if not started or not files or _is_path(started, files[0][0]):
        return ""
    return f"the master process was started with {started}, and {facts.command} -T reads {files[0][0]}: give that in the setting command, too"


def _started_with(title: str) -> str:
    """The main file that a master's title names, as it was given with -c; empty without one."""
    words = iter(title.partition("master process ")[2].split()[1:])
    for word in words:
        options = word[1:] if word.startswith("-") else ""
        found = re.search(f"[{VALUED}]", options)
        if found:
            value = options[found.end():] or next(words, "")
            if found[0] == "c":
                return value
    return ""


def _is_path(given: str, path: str) -> bool:
    """Whether a path may be the reported one: relative to nginx's own folder, or cut at its first blank."""
    if ".." not in given:
        given, path = (os.path.normpath(re.sub("/+", "/", each)) for each in (given, path))
    return path == given or path.startswith(f"{given} ") or ".." in given or (not given.startswith("/") and path.endswith(f"/{given}"))


def _has_its_servers_here(facts: Facts) -> str:
    used = sorted({directive.name for directive in facts.block} & {"include", "state"})
    return f"servers of {facts.name} stand elsewhere ({', '.join(used)}), and are not seen here: write them into {facts.path}" if used else ""


def _is_known(facts: Facts) -> str:
    unknown = sorted({directive.name for directive in facts.block} - {*KNOWN, "include", "state"})
    return (f"{facts.name} has {', '.join(unknown)}, for which it is unknown whether they send requests to servers that are down: use one of nginx' methods"
            if unknown else "")


def _has_one_master(facts: Facts) -> str:
    if facts.elders:
        given = ", ".join(map(str, facts.elders))
        return f"an older master process ({given}) takes requests, too, with an earlier configuration: end the upgrade of its binary (kill -QUIT {given})"
    return ""


def _has_no_orphans(facts: Facts) -> str:
    given = " ".join(map(str, facts.orphans))
    return f"workers without a master process take requests, and read nothing any more: let them end (kill -QUIT {given})" if given else ""


def _is_alone(facts: Facts) -> str:
    given = ", ".join(map(str, facts.strangers))
    return f"other master processes run here ({given}): each that serves {facts.name} has to be a load balancer of its own" if given else ""


def _lets_requests_end(facts: Facts) -> str:
    seconds = {argument for directive in _sought(facts.output) if directive.name == "worker_shutdown_timeout" for argument in directive.arguments}
    return (f"worker_shutdown_timeout {', '.join(sorted(seconds))} ends longer requests at each change: remove it" if seconds else "")


def _is_not_passed_by(facts: Facts) -> str:
    """Other pools of the same file are seen as such."""
    ours, found = set(servers(facts.block)), set()
    seen = [directive.arguments for directive in every(parse(facts.text), "upstream")]
    for directive in _sought(facts.output):
        if directive.name == "upstream" and directive.arguments not in seen:
            found |= {f"{address} in upstream {' '.join(directive.arguments)}" for address in ours & set(servers(directive.block or ()))}
        elif directive.name in PASSES and directive.arguments and (host := _HOST.match(directive.arguments[0])) and host[1] in ours:
            found.add(f"{host[1]} by {directive.name} {directive.arguments[0]}")
    return f"{'; '.join(sorted(found))}: members are not drained there, and requests that reach a member there while it is out fail" if found else ""


@functools.lru_cache(maxsize=2)
def _sought(output: str) -> tuple[Directive, ...]:
    """Every directive that interests here, of files that have the word: others may be large. One that is not nginx' own language (Lua) is left out."""
    found: list[Directive] = []
    for text in (text for _path, text in dumped(output) if any(name in text for name in SOUGHT)):
        try:
            directives = parse(text)
        except ConfigurationError:
            continue
        for name in SOUGHT:
            found += every(directives, name)
    return tuple(found)


DEMANDS = (
    Demand(_is_accepted), Demand(_reads_the_file), Demand(_is_the_same_nginx), Demand(_has_its_servers_here), Demand(_is_known), Demand(_has_one_master),
    Demand(_has_no_orphans), Demand(_is_alone, is_needed=False), Demand(_lets_requests_end, is_needed=False), Demand(_is_not_passed_by, is_needed=False),
)
