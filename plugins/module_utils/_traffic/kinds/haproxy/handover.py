# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running HAProxy goes on as the binary that is installed now: its master re-executes itself and hands the listening sockets to a new worker.

What is in flight stays with the old worker until it ends. Source: HAProxy's management guide on the master-worker mode and SIGUSR2.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from typing import Callable

from ...._host import proc
from ...._host.clock import Clock
from ...._host.config_file import text_of
from ...._host.waiting import wait_for
from ...interface import LoadBalancerError, Member, View
from . import pattern_files, words
from .balancer import Haproxy
from .master import Running, require_accepted, running

PAUSE_SECONDS = 0.1
# The most differences of one file that a message shows.
SHOWN = 5
_TABLE = re.compile(r"^# table: (?P<name>[^,]+), .*\bused:(?P<used>\d+)", re.MULTILINE)
_SHARED_TABLE = re.compile(r"\btable:0x[0-9a-f]+ id=(\S+)")
# The kinds of pattern files, each with the parser of the entries that the process reports, and that of its file.
_FILES = (("map", pattern_files.parse_map, pattern_files.entries_of_map), ("acl", pattern_files.parse_acl, pattern_files.entries_of_acl))


def hand_over(balancer: Haproxy, before: Running, timeout: float, clock: Clock = Clock(), loses: Callable[[str], None] | None = None) -> Running:
    """Have it done, and prove it; returns what runs then. Raise LoadBalancerError with what was there still at work, or with what has changed by it.

    :param loses: called with a sentence for each file whose entries differ from the process's, because a hand-over reads it; without it, that is an error.
    """
    require_possible(balancer, before, loses)
    views = balancer.read()
    _require_listening(balancer, before.master, clock, timeout)
    try:
        os.kill(before.master, signal.SIGUSR2)
    except OSError as error:
        raise balancer.error(f"cannot be restarted by this account: {error.strerror}") from error
    after = _wait_for_another(balancer, before, clock, timeout)
    changed = changed_states(views, balancer.read())
    if changed:
        raise balancer.error(f"was handed over, and lost states: {'; '.join(changed)}. Set them again (alwayson.upgrade.traffic_member), and "
                             "make it keep them: server-state-file, load-server-state-from-file global")
    return after


def require_possible(balancer: Haproxy, before: Running, loses: Callable[[str], None] | None = None) -> None:
    """Raise LoadBalancerError when a hand-over would not work, or would lose something; see `hand_over`. Only reads."""
    require_accepted(balancer, before)
    lost = lost_entries(balancer, before.folder)
    if lost and loses is None:
        raise balancer.error(f"is not handed over, because files that it would read differ from the running process: {'; '.join(lost)}. Nothing was changed. "
                             "Make both equal: alwayson.upgrade.traffic_route with persist=true, on this load balancer, writes a route into its file; "
                             "force=true uses the files' values")
    if loses is not None:
        for sentence in lost:
            loses(sentence)


def lost_entries(balancer: Haproxy, folder: str) -> list[str]:
    """A part of a sentence for each file of a map or of an ACL that says something else than the process, and that a hand-over would read.

    :param folder: where the process looks for files that are named by a relative path.
    """
    found = []
    for kind, parse, entries_of in _FILES:
        for name in pattern_files.parse_files(balancer.ask_exactly(f"show {kind}")):
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            try:
                running = parse(balancer.ask_exactly(f"show {kind} {balancer.word(name)}"))
                different = pattern_files.differences(running, entries_of(text_of(path)))
            except (OSError, ValueError, LoadBalancerError) as error:
                different = [f"cannot be compared with what the process has: {error}"]
            more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
            found += [words.readable(f"{path}: {', '.join(different[:SHOWN])}{more}")] if different else []
    return found


def forgotten_tables(balancer: Haproxy) -> list[str]:
    """A sentence for each stick table that has entries and no peer to hand them on to the new worker: it begins empty."""
    shared = set(_SHARED_TABLE.findall(balancer.ask("show peers")))
    return [f"the new worker of {balancer.name} begins with an empty stick table {table['name']}, which has {table['used']} entries: only a section peers that "
            "has the load balancer itself in it (localpeer) can hand them on" for table in _TABLE.finditer(balancer.ask("show table"))
            if table["name"] not in shared and table["used"] != "0"]


def changed_states(before: View, after: View) -> list[str]:
    """A sentence for each member that is in another administrative state, or has another weight."""
    changed = []
    for name, backend in before.backends.items():
        for member, was in backend.members.items():
            now = _member(after, name, member)
            if now is None or now.admin != was.admin:
                changed.append(f"{name}/{member} was {was.admin} and is {now.admin if now else 'gone'}")
            elif now.weight != was.weight:
                changed.append(f"{name}/{member} had weight {was.weight} and has {now.weight}")
    return changed


def wait_for_old_workers(count: Callable[[], int], timeout: float, clock: Clock = Clock()) -> int:
    """How many old workers are still finishing their requests after so many seconds at most."""
    wait_for(lambda: not count(), timeout, PAUSE_SECONDS, clock.steady, clock.sleep)
    return count()


def children(master: int) -> set[int]:
    """The workers of a master, old ones too."""
    with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as file:
        return {int(pid) for pid in file.read().split()}


def _require_listening(balancer: Haproxy, master: int, clock: Clock, timeout: float) -> None:
    """A master that begins, also again at a reload, ignores the signal until it has a handler for it, which is a moment after its worker's first answer."""
    def listens() -> bool:
        try:
            return proc.catches(master, signal.SIGUSR2)
        except OSError as error:
            raise balancer.error(f"has no master process {master} any more: {error.strerror}") from error

    if not wait_for(listens, timeout, PAUSE_SECONDS, clock.steady, clock.sleep):
        raise balancer.error(f"has a master, process {master}, that does not take SIGUSR2: it is still starting, or reading its configuration. "
                             "Nothing was changed; see its log, and run this again")


def _wait_for_another(balancer: Haproxy, before: Running, clock: Clock, timeout: float) -> Running:
    def another() -> Running | None:
        try:
            now = running(balancer)
        except LoadBalancerError:
            # Its socket is handed over in this moment.
            return None
        return now if now.worker != before.worker and now.is_current else None

    found = wait_for(another, timeout, PAUSE_SECONDS, clock.steady, clock.sleep)
    if found is None:
        raise balancer.error(f"still answers as process {before.worker} ({before.version}): see its log; it still runs unchanged")
    return found


def _member(view: View, backend: str, member: str) -> Member | None:
    found: Mapping[str, Member] = view.backends[backend].members if backend in view.backends else {}
    return found.get(member)
