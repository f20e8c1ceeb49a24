# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A step that is the command of a migration tool (Alembic, Django, Flyway, Sqitch): run in a database under the runner's lock, and kept in its ledger.

The tool knows by itself what it has applied. Its status command says whether anything is left, so a run that was killed is finished, and not done again.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Callable, NamedTuple

from .lock_retries import MigrationError, Pace
from .step import COMMAND, Directives, Step, StepError

NAME = "command"
PLACE = "{database}"
SHOWN_LINES = 5


class Surroundings(NamedTuple):
    """What a migration tool runs with.

    `variables`: the environment variables that lead it to the database. `gave_way`: the words in a driver's error after a lock timeout. `locks`: descriptors
    of locked files, which the tool inherits, so that the locks last until it ends.
    """

    variables: Mapping[str, str]
    gave_way: Sequence[str]
    locks: Sequence[int] = ()


@dataclass(frozen=True)
class CommandStep(Step):
    """`command` and `status` are command lines; `status` may be empty. `environment` is added to the module's own."""

    command: tuple[Any, ...] = ()
    status: tuple[Any, ...] = ()
    environment: tuple[Any, ...] = ()
    directory: str | None = None

    @property
    def checksum(self) -> str:
        """The fingerprint of the command lines. The tool itself keeps track of its files."""
        return Step(*self.key, json.dumps([self.command, self.status])).checksum

    @cached_property
    def directives(self) -> Directives:
        return Directives(COMMAND)


def command_step(
    release: str, phase: str, command: Sequence[str], status: Sequence[str], environment: dict[str, Any], directory: str | None
) -> CommandStep:
    """The step that runs a tool's command; StepError when it cannot be one."""
    step = CommandStep(release, phase, NAME, " ".join(command), tuple(command), tuple(status), tuple(environment.items()), directory)
    if not command[0]:
        raise StepError(f"{step.title}: the first word of the command is empty: name the program")
    if directory and not os.path.isdir(directory):
        raise StepError(f"{step.title}: {directory} is no folder on this host: correct the directory in which the command runs")
    return step


def apply_command(
    database: Any, ledger: ModuleType, step: CommandStep, pace: Pace, surroundings: Surroundings,
    look_again: Callable[[], None] | None = None,
) -> tuple[bool, int]:
    """Run the tool unless it says that nothing is left; whether this marked the step as applied, and how often the tool ran.

    :param ledger: the module that keeps the ledger of this kind of database.
    :param look_again: raises MigrationError when other runners are not kept out any more; asked before anything is recorded.
    """
    was_begun = ledger.is_begun(database, step)
    ledger.begin(database, step)
    attempts = 0
    tool = _Tool(step, database.database, surroundings)
    if not (was_begun and step.status and tool.run(step.status).returncode == 0):
        attempts = tool.until_it_gets_its_locks(pace)
        checked = tool.run(step.status) if step.status else None
        if checked and checked.returncode:
            raise MigrationError(f"{step.title} ended with 0, but {step.status[0]} says that something is left ({checked.returncode}): {_said(checked)}")
    if look_again:
        look_again()
    return ledger.finish(database, step), attempts


@dataclass(frozen=True)
class _Tool:
    """The tool of a step in a database."""

    step: CommandStep
    database: str
    surroundings: Surroundings

    def until_it_gets_its_locks(self, pace: Pace) -> int:
        """Run the command until its statements did not give way; how often that was. MigrationError when it failed."""
        for attempt in range(1, pace.policy.attempts + 1):
            done = self.run(self.step.command)
            if not done.returncode:
                return attempt
            if attempt == pace.policy.attempts or not any(word in done.stdout for word in self.surroundings.gave_way):
                break
            pace.sleep(pace.policy.retry_delay_ms / 1000)
        raise MigrationError(f"{self.step.title}: {self.step.command[0]} ended with {done.returncode}: {_said(done)}")

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """One run of a command line; its output and its errors in one."""
        environment = {**self.surroundings.variables, **{key: str(value) for key, value in self.step.environment}}
        line = [word.replace(PLACE, self.database) for word in command]
        try:
            return subprocess.run(line, env=environment, cwd=self.step.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  encoding="utf-8", errors="replace", check=False, pass_fds=self.surroundings.locks)
        except OSError as error:
            raise MigrationError(f"{self.step.title}: {line[0]} does not start: {error.strerror}; install it on the host that this runs on, or give its path"
                                 ) from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return " / ".join(line.strip() for line in done.stdout.strip().splitlines()[-SHOWN_LINES:]) or "no output"
