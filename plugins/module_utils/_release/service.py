# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that is stopped and started by commands, each in bounded time and each proven by the status command.

The status command speaks the language of LSB and systemd: exit code 0 means running, 1 to 3 mean not running, and
everything else means that the state is unknown, which is a failure.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from typing import Any, Callable, NamedTuple

from .._host import programs
from .._host.command_words import words_of

POLL_SECONDS = 0.1
NOT_RUNNING = (1, 2, 3)


class ServiceError(Exception):
    """A command of the service failed, did not end in time or did not bring about what it is for."""


class CommandsError(ServiceError):
    """The commands of a service are not complete, or one is no command line. `options` are those to correct."""

    def __init__(self, options: list[str], message: str) -> None:
        super().__init__(message)
        self.options = options


class Commands(NamedTuple):
    """The commands of a service as argument lists; all empty when there is no service to stop and start."""

    stop: list[str]
    start: list[str]
    status: list[str]


def commands_for(unit: str | None, stop: Any, start: Any, status: Any, prefix: str = "") -> Commands:
    """The given commands, lists of words or texts, and those of the systemd `unit` for the others.

    :param prefix: what the options begin with where the user gives them.
    :raises CommandsError: when some are missing, or one is no command line.
    """
    given, missing = {}, []
    for verb, command in (("stop", stop), ("start", start), ("status", status)):
        option = f"{prefix}{verb}_command"
        try:
            given[verb] = words_of(command, option)
        except ValueError as error:
            raise CommandsError([option], str(error)) from error
        of_the_unit = ["is-active", "--quiet"] if verb == "status" else [verb]
        given[verb] = given[verb] or (["systemctl", *of_the_unit, unit] if unit else [])
        missing += [] if given[verb] else [option]
    if 0 < len(missing) < len(given):
        raise CommandsError(missing, f"{' and '.join(missing)} missing: give all three of {', '.join(f'{prefix}{verb}_command' for verb in given)}, "
                                     f"or {prefix}service, or none of them")
    return Commands(**given)


def run_command(command: list[str], timeout: float) -> programs.Ended:
    """Run `command` for at most `timeout` seconds; raise ServiceError when it cannot be run or does not end."""
    try:
        return programs.run(command, timeout)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{shlex.join(command)} did not end within {timeout:g} s and was killed{_shown(error.output)}") from None
    except OSError as error:
        raise ServiceError(f"{shlex.join(command)} cannot be run: {error.strerror}") from error


class Service:
    """A service behind three commands. `timeout` bounds each command, and the wait for what it brings about, in seconds."""

    def __init__(
        self,
        commands: Commands,
        timeout: float,
        run: Callable[[list[str], float], programs.Ended] = run_command,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.commands = commands
        self._timeout = timeout
        self._run = run
        self._clock = clock
        self._sleep = sleep

    @property
    def exists(self) -> bool:
        """False when there is nothing to stop and start."""
        return bool(self.commands.status)

    def is_running(self) -> bool:
        """Ask the status command; raise ServiceError when it does not answer with one of its known exit codes."""
        outcome = self._run(self.commands.status, self._timeout)
        if outcome.status != 0 and outcome.status not in NOT_RUNNING:
            raise ServiceError(
                f"{shlex.join(self.commands.status)} ended with {outcome.status}, neither 0 (running) nor "
                f"{NOT_RUNNING[0]} to {NOT_RUNNING[-1]} (not running){_shown(outcome.said)}"
            )
        return outcome.status == 0

    def stop(self) -> None:
        """Stop the service and return when it is down."""
        self._act(self.commands.stop, running=False)

    def start(self) -> None:
        """Start the service and return when it is up."""
        self._act(self.commands.start, running=True)

    def _act(self, command: list[str], running: bool) -> None:
        outcome = self._run(command, self._timeout)
        if outcome.status != 0:
            raise ServiceError(f"{shlex.join(command)} ended with {outcome.status}{_shown(outcome.said)}")
        give_up = self._clock() + self._timeout
        while self.is_running() is not running:
            if self._clock() >= give_up:
                state = "not running" if running else "still running"
                raise ServiceError(
                    f"{shlex.join(command)} ended well, but {self._timeout:g} s later {shlex.join(self.commands.status)} "
                    f"says {state}{_shown(outcome.said)}"
                )
            self._sleep(POLL_SECONDS)


def _shown(output: str) -> str:
    return f": {output}" if output else ", without a word"
