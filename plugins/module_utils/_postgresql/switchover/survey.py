# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two servers have to look like for one to take over from the other: one list of checks on facts that were gathered before, see `facts`.

Each finding names what is in the way and what cures it. It refuses, or it is a warning: of what does not come along, and of what is to be done afterwards.
Source: PostgreSQL's documentation of hot standby, logical replication, two-phase transactions, and of the settings that are named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..auto_conf import libraries
from .findings import Finding
from .synchronous_names import always_waits_for, waits_for

READ_ONLY, COMMIT, SYNCHRONOUS = "default_transaction_read_only", "synchronous_commit", "synchronous_standby_names"
DELAY, SENDERS, SLOTS, LEVEL, LIBRARIES = "recovery_min_apply_delay", "max_wal_senders", "max_replication_slots", "wal_level", "shared_preload_libraries"
RETRY, RETRY_MOST_MS = "wal_retrieve_retry_interval", 500
SETTINGS = (READ_ONLY, COMMIT, SYNCHRONOUS, DELAY, SENDERS, SLOTS, LEVEL, LIBRARIES, RETRY)
# A commit waits until the standby has it on its disk.
DURABLE_LEVELS = ("on", "remote_apply")
FALSE = ("off", "false", "no", "0", "f", "n", "of", "fa", "fal", "fals")
# What a standby is called that was given no name, and what Debian calls every server's cluster.
UNNAMED, GENERIC = "walreceiver", re.compile(r"\d+/\S+")
# So many names of a kind are shown.
SHOWN = 8


class Override(NamedTuple):
    """``ALTER ROLE role IN DATABASE database SET name = value``; an empty role or database stands for all. `is_own`: it counts for the session that asks."""

    role: str
    database: str
    name: str
    value: str
    is_own: bool

    def __str__(self) -> str:
        whose = f"ALTER ROLE {self.role or 'ALL'}{f' IN DATABASE {self.database}' if self.database else ''}" if self.role or not self.database else (
            f"ALTER DATABASE {self.database}")
        return f"{whose} SET {self.name} = {self.value}"


class Slot(NamedTuple):
    """A replication slot. `database` is empty for a physical one."""

    name: str
    database: str
    is_active: bool


@dataclass(frozen=True)
class Facts:
    """A server.

    :ivar settings: `SETTINGS` by name, as the server has them.
    :ivar prepared: the names of prepared transactions; `subscriptions` those that are enabled, with their databases; `appliers` processes that apply changes of
        other servers by themselves.
    :ivar replicas: name and synchronous state of each standby or receiver that streams from it.
    :ivar streams_as: under which name it streams, None when it does not; `has_own_name` whether it was given that by ``application_name``.
    :ivar replay: ``not paused``, or what it is instead; `readers` are those that replay waits for; both of a standby.
    :ivar behind: bytes of the primary's log that it has not replayed.
    :ivar lasting: transactions that have lasted too long; `unlogged` tables with their databases.
    """

    name: str
    settings: Mapping[str, str]
    overrides: Sequence[Override] = ()
    prepared: Sequence[str] = ()
    subscriptions: Sequence[str] = ()
    appliers: Sequence[str] = ()
    replicas: Sequence[tuple[str, str]] = ()
    slots: Sequence[Slot] = ()
    streams_as: str | None = None
    has_own_name: bool = True
    replay: str = "not paused"
    readers: Sequence[str] = ()
    behind: int = 0
    lasting: Sequence[str] = ()
    unlogged: Sequence[str] = ()

    def __str__(self) -> str:
        return self.name


def switchover(old: Facts, new: Facts, lag_bytes: int, is_fenced: bool = True) -> list[Finding]:
    """Before a planned one. `is_fenced`: whether the old primary goes on as a server that is read only, and is not stopped."""
    if not new.streams_as or new.streams_as not in [name for name, _state in old.replicas]:
        return [Finding(f"{new} does not stream from {old}: repair the replication first")]
    return [
        *(_writes_past_the_fence(old, new) if is_fenced else ()),
        *_cannot_take_writes(new),
        *_does_not_keep_up(old, new, lag_bytes),
        *_lasts(old),
        *_cannot_be_followed(old, new),
        *_is_slow(new),
        *_stays_behind(old, new),
        *_is_left_to_do(old, new),
    ]


def failover(new: Facts) -> list[Finding]:
    """Before one to a standby whose primary is dead."""
    return [*_cannot_take_writes(new), *_is_slow(new)]


def after_failover(new: Facts) -> list[Finding]:
    """What to say of a standby that has become a primary."""
    found = []
    if new.prepared:
        found.append(Finding(f"{new} has prepared transactions, which hold their locks ({_shown(new.prepared)}): COMMIT PREPARED or ROLLBACK PREPARED them",
                             False))
    if new.unlogged:
        found.append(Finding(f"unlogged tables are empty on {new} ({_shown(new.unlogged)}): fill them again there", False))
    if new.subscriptions:
        found.append(Finding(f"{new} has subscriptions, which apply there from now on ({_shown(new.subscriptions)})", False))
    return found


def why_not_everything(server: Facts, name: str, has_own_name: bool = True) -> str:
    """Why the standby, or receiver, of this name may lack a write that was acknowledged; empty when it cannot.

    :param server: whose settings count: the primary, or a standby, which has the same as a rule.
    """
    names = server.settings[SYNCHRONOUS]
    if name.lower() not in waits_for(names)[1]:
        return f"{name} is not named in {SYNCHRONOUS} of {server}"
    if not always_waits_for(names, name):
        return f"{SYNCHRONOUS} of {server} is {names!r}, which has not every commit wait for {name}"
    if not has_own_name:
        return f"{name} is the name of every standby that was given none by application_name in its primary_conninfo"
    if [other for other, _state in server.replicas].count(name) > 1:
        return f"several standbys of {server} are called {name}, of which one has to acknowledge"
    levels = [(f"{COMMIT} is {server.settings[COMMIT]} on {server}", server.settings[COMMIT])]
    given = [one for one in server.overrides if one.name == COMMIT]
    for text, level in [*levels, *((f"{one} counts on {server}", one.value) for one in given)]:
        if level.lower() not in DURABLE_LEVELS:
            return f"{text}, where commits do not wait until a standby has them on its disk"
    hidden = [one for one in given if one.is_own]
    return f"{hidden[0]} hides what {COMMIT} is on {server}: RESET it for the role that logs in here" if hidden else ""


def _writes_past_the_fence(old: Facts, new: Facts) -> Iterator[Finding]:
    if old.prepared:
        yield Finding(f"{old} has prepared transactions ({_shown(old.prepared)}), and no fence holds a COMMIT PREPARED back: "
                      "COMMIT PREPARED or ROLLBACK PREPARED them first")
    if old.subscriptions:
        yield Finding(f"{old} has subscriptions ({_shown(old.subscriptions)}), whose apply workers write past a fence what {new} would never get: "
                      f"ALTER SUBSCRIPTION ... DISABLE first, and ENABLE on {new} afterwards")
    elif old.appliers:
        yield Finding(f"{old} applies changes of other servers ({_shown(old.appliers)}), and these processes write past a fence: stop them first")
    for one in old.overrides:
        if one.name == READ_ONLY and one.value.lower() in FALSE:
            yield Finding(f"{one} lets sessions write past a fence on {old}: RESET it first")


def _cannot_take_writes(new: Facts) -> Iterator[Finding]:
    if new.settings[READ_ONLY] == "on":
        yield Finding(f"{new} is read only by its own configuration ({READ_ONLY} = on), so clients could not write there: ALTER SYSTEM RESET {READ_ONLY} "
                      "there, or take it from its files, and SELECT pg_reload_conf()")


def _does_not_keep_up(old: Facts, new: Facts, lag_bytes: int) -> Iterator[Finding]:
    if new.replay != "not paused":
        yield Finding(f"replay is {new.replay} on {new}: SELECT pg_wal_replay_resume() there, when its log does not tell of a setting that is lower than on "
                      f"{old}")
    if new.settings[DELAY] != "0":
        yield Finding(f"{new} replays with a delay ({DELAY} = {new.settings[DELAY]} ms): take another standby, or set it to 0")
    if new.readers:
        yield Finding(f"replay on {new} waits for readers: {_shown(new.readers)}. Wait for their end, or end them")
    if new.behind > lag_bytes:
        yield Finding(f"{new} lags {new.behind} bytes behind {old}, and {lag_bytes} are allowed: wait until it has caught up")


def _lasts(old: Facts) -> Iterator[Finding]:
    if old.lasting:
        yield Finding(f"a pause would wait for transactions on {old}: {_shown(old.lasting)}. Wait for their end, or end them")


def _cannot_be_followed(old: Facts, new: Facts) -> Iterator[Finding]:
    free = int(new.settings[SENDERS]) - len(new.replicas)
    if free < 1:
        yield Finding(f"{new} has no place for a standby ({SENDERS} = {new.settings[SENDERS]}, {len(new.replicas)} are in use), so {old} could not follow it: "
                      f"raise {SENDERS} there, and restart it")
    elif free < len(old.replicas):
        yield Finding(f"{new} has places for {free} standbys ({SENDERS} = {new.settings[SENDERS]}), and {len(old.replicas)} will want to follow it: raise it",
                      False)
    if new.settings[LEVEL] == "minimal":
        yield Finding(f"{LEVEL} is minimal on {new}, so no standby could follow it: set it to replica there, and restart it")
    in_use = [slot for slot in old.slots if not slot.database and slot.is_active]
    if in_use and int(new.settings[SLOTS]) - len(new.slots) < 1:
        yield Finding(f"the standbys of {old} use replication slots, and {new} has no place for one ({SLOTS} = {new.settings[SLOTS]}): "
                      f"drop unused ones, or raise {SLOTS} there and restart it")


def _is_slow(new: Facts) -> Iterator[Finding]:
    if int(new.settings[RETRY]) > RETRY_MOST_MS:
        yield Finding(f"{RETRY} is {new.settings[RETRY]} ms on {new}: sometimes its promotion waits that long. Set it to 100ms", False)


def _stays_behind(old: Facts, new: Facts) -> Iterator[Finding]:
    """What the standby does not have, which would be noticed only after the switchover."""
    there = {slot.name for slot in new.slots}
    logical = [f"{slot.name} in {slot.database}" for slot in old.slots if slot.database and slot.name not in there]
    if logical:
        yield Finding(f"logical replication slots of {old} are lost ({_shown(logical)}): their consumers lose their places. Stop the consumers, "
                      f"and create the slots on {new} before clients write there, or have them copy again", False)
    if old.unlogged:
        yield Finding(f"unlogged tables are empty on {new} ({_shown(old.unlogged)}): fill them again there", False)


def _is_left_to_do(old: Facts, new: Facts) -> Iterator[Finding]:
    others = sorted({name for name, _state in old.replicas if name != new.streams_as})
    if others:
        yield Finding(f"{_shown(others)} follow {old} too: make them standbys of {new} afterwards", False)
    names = [name for name, _state in old.replicas]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        yield Finding(f"several standbys of {old} are called {_shown(twice)}, so after a crash it is unknown which of them has acknowledged: give each an "
                      "application_name of its own in its primary_conninfo", False)
    missing = sorted(set(libraries(old.settings[LIBRARIES])) - set(libraries(new.settings[LIBRARIES])))
    if missing:
        yield Finding(f"{LIBRARIES} of {new} lacks {_shown(missing)}, which {old} has: what needs them fails there", False)
    if old.settings[LEVEL] == "logical" != new.settings[LEVEL]:
        yield Finding(f"{LEVEL} is logical on {old} and {new.settings[LEVEL]} on {new}: no subscription to that one is possible", False)


def _shown(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join([*names[:SHOWN], *([f"and {more} more"] if more > 0 else [])])
