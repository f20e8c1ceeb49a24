# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy as a load balancer, driven through its runtime API: over TCP or over its UNIX socket.

One connection carries one line of commands, joined by ``;``, which HAProxy works off right after one another; it lets others in
between (``cli_io_handler``: "yield between pipelined commands"), so only a single command is seen as a whole. A command that
fails says so in words and does not stop the ones behind it, so every name is checked before it is put into a line, and every
word of an answer to a change is an error.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ...._host.patience import Patience, UnavailableError
from ...demands import looked_at
from ...interface import CUT, DRAIN, MAINT, READY, RECHECK, Backend, View
from . import words
from .demands import BYPASS, DEMANDS, UNSEEN, Facts, agent_seconds, lines_of_process, persistence_of
from .process import Process
from .runtime import ANSWER_SECONDS, CONNECT_SECONDS, HaproxyError, HaproxyUnavailableError
from .stats import STATES_HEADING, AnswerError, parse_view

if TYPE_CHECKING:
    from ...route import Table

# What HAProxy itself allows in the name of a proxy or a server. Neither `;` nor white space can get into a line of commands.
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")

# Out of maintenance HAProxy takes a server for healthy at once, on the word of its last check before: "UP 1/2". Its health set
# down in the same line, it has to pass its checks as often as the configuration demands (`rise`) before it counts as up again.
_COMMANDS = {
    READY: ("set server {server} state ready",),
    DRAIN: ("set server {server} state drain",),
    MAINT: ("set server {server} state maint",),
    RECHECK: ("set server {server} state drain", "set server {server} health down"),
    CUT: ("shutdown sessions server {server}",),
}

NO_MASTER = "requests in workers from before a reload are not counted: where HAProxy has a master process, give its endpoint in traffic_master_endpoint"
NO_STATE_FILE = "a reload loses the state of members: give the path of its server-state-file in traffic_state_file"

_UNKNOWN_BACKEND = ("No such proxy", "Can't find backend")


class _Configuration(NamedTuple):
    """What the configuration of a `process` says: the lines about persistence of each backend, None where it is not seen, and the interval of agent checks."""

    process: int
    persistence: Mapping[str, list[str]] | None
    agent_seconds: float


class Haproxy(Process):
    """One HAProxy. Its socket at `endpoint` needs ``level admin`` to change anything.

    :param master_endpoint: the master process's socket, where reloads leave old workers.
    :param state_file: what `server-state-file` names, kept so that a reload forgets nothing.
    """

    options: tuple[str, ...] = ("master_endpoint", "state_file")
    can_cut = True

    def __init__(
        self,
        name: str,
        endpoint: str,
        master_endpoint: str | None = None,
        state_file: str | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(name, endpoint, master_endpoint, connect_seconds, answer_seconds, patience)
        self._state_file = state_file
        self._configuration: _Configuration | None = None

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`."""
        if backend is None:
            return self._parse(self.ask("show info;show servers state;show stat -1 6 -1"))
        self._require_name("backend", backend)
        return self.patience.call(lambda: self._read_once(backend))

    def _read_once(self, backend: str) -> View:
        """Worker and master, one after the other. When a reload came between the two, all is read again."""
        answer = self.ask_once(f"show info;show servers state {backend};show stat {backend} 6 -1")
        # A frontend has statistics, and no servers.
        if f"\n\n{STATES_HEADING}" not in answer and any(line.startswith(_UNKNOWN_BACKEND) for line in answer.split("\n")):
            raise self._unknown_backend(backend)
        view = self._parse(answer)
        if backend not in view.backends:
            raise self._unknown_backend(backend)
        try:
            return self._old_workers.added_to(view, backend) if self._old_workers else view
        except HaproxyUnavailableError:
            raise
        except UnavailableError as error:
            raise self.unavailable(f"could not be read consistently: {error}") from error
        except AnswerError as error:
            raise self.error(f"has workers from before a reload that cannot be read: {error}") from error

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: all changes in one line of commands (several for very many), each of which may be carried out twice."""
        self.carry_out(self._commands(backend, changes))
        cut = [member for member, change in changes.items() if change == CUT]
        old_workers = self._old_workers
        if old_workers and cut:
            self.patience.call(lambda: old_workers.cut(backend, cut))
        self._keep_states()

    def set_weights(self, backend: str, weights: Mapping[str, int]) -> None:
        """Give these members these weights, which a reload keeps as it keeps their states."""
        self._require_name("backend", backend)
        for name in weights:
            self._require_name("member", name)
        self.carry_out([f"set server {backend}/{name} weight {weight}" for name, weight in weights.items()])
        self._keep_states()

    def table(self, name: str, is_kept: bool) -> Table:
        """See `_traffic.route.Routing`: the map that a file of this name fills."""
        from .map import HaproxyMap

        return HaproxyMap(self, name, is_kept)

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        return f"echo {shlex.quote(';'.join(self._commands(backend, changes)))} | socat stdio {shlex.quote(self.socat_address())}"

    def _keep_states(self) -> None:
        """Write down what every server is in, where a reload reads it: by one rename, so that it never reads a part.

        Several members may be driven at once: one writes after the other, and each what is true then.
        """
        if not self._state_file:
            return
        from ...._host.config_file import one_writer, put

        try:
            with one_writer(self._state_file, self.error):
                states = self.ask_exactly("show servers state").rstrip("\n") + "\n"
                put(self._state_file, states)
        except OSError as error:
            raise self.error(
                f"keeps its state in {self._state_file}, which cannot be written here: {error.strerror}. A reload would return all members to traffic: "
                "let this account write in that folder, or drive the load balancer from itself"
            ) from error

    def _parse(self, answer: str) -> View:
        """The states have no empty line in them. The other two may, in what an administrator or a server has written: a description, the words of a check."""
        info, heading, rest = answer.partition(f"\n\n{STATES_HEADING}")
        states, stat = words.first_answer(f"{STATES_HEADING}{rest}")
        try:
            if not heading:
                raise AnswerError(f"it answers {' '.join(answer.split())[:80]!r}, which is no state of an HAProxy")
            view = parse_view(info, states, stat)
        except AnswerError as error:
            raise self.error(f"cannot be understood: {error}. Is this the runtime API of an HAProxy, with a level of operator or admin?") from error
        return dataclasses.replace(view, backends={name: self._checked(name, pool, view.process) for name, pool in view.backends.items()})

    def _checked(self, name: str, pool: Backend, process: int) -> Backend:
        """The backend with what its configuration makes impossible, and with what is not seen."""
        if self._configuration is None or self._configuration.process != process:
            lines = lines_of_process(self.endpoint, process)
            self._configuration = _Configuration(process, None if lines is None else persistence_of(lines), agent_seconds(lines or ()))
        known = self._configuration.persistence
        found = looked_at(DEMANDS, Facts(name, tuple((known or {}).get(name, ()))))
        unproven = tuple(sentence for sentence, is_given in ((NO_MASTER, self._old_workers), (NO_STATE_FILE, self._state_file), (UNSEEN, known is not None))
                         if not is_given)
        members = {member: dataclasses.replace(facts, watch_seconds=max(facts.watch_seconds, self._configuration.agent_seconds)) if facts.agent else facts
                   for member, facts in pool.members.items()}
        return dataclasses.replace(pool, members=members, refusals=found.refusals, warnings=found.notes, unproven=unproven, bypass=BYPASS)

    def _commands(self, backend: str, changes: Mapping[str, str]) -> list[str]:
        self._require_name("backend", backend)
        commands = []
        for member, change in changes.items():
            self._require_name("member", member)
            commands += [command.format(server=f"{backend}/{member}") for command in _COMMANDS[change]]
        return commands

    def _require_name(self, kind: str, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise self.error(f"cannot have a {kind} named {name!r}: letters, digits and any of . _ : - make a name")

    def _unknown_backend(self, backend: str) -> HaproxyError:
        known = sorted(self.read().backends)
        return self.error(f"has no backend {backend!r}: it has {', '.join(known) or 'none'}")
