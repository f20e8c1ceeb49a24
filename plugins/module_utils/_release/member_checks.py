# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member needs to come back after it was taken out of traffic: a folder of releases that can be switched, and commands that can be run.

Nothing here changes anything: the status command and `systemctl show` are the only programs that are run.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
from typing import Callable, NamedTuple

from .._host.private_copy import open_regular
from .._host.programs import Ended
from . import releases
from .service import Commands, Service, ServiceError, run_command

BECOME = "ansible_become"
ROOT = "release_root"
UNIT = "release_service"
# Of systemd, the states of a unit that can be started.
LOADED = ("loaded", "alias", "merged")


class Problem(NamedTuple):
    """What would keep a member from coming back, and the inventory's variable that is to be corrected."""

    variable: str
    what: str


def user_name() -> str:
    """Who releases are activated as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def root_problems(root: str, current: str | None, serving: bool, user: str) -> list[Problem]:
    """What is wrong with the folder of the releases. A host that takes no traffic may have none yet."""
    if not os.path.lexists(root):
        if serving:
            return [Problem(ROOT, f"there is no folder {root}, and the member takes traffic")]
        return _unwritable([_nearest_folder(root)], user)
    if not os.path.isdir(root):
        return [Problem(ROOT, f"{root} is no folder")]
    places = [os.path.join(root, name) for name in (".", releases.RELEASES, ".lock", ".fence")]
    found = _unwritable([os.path.normpath(place) for place in places if os.path.lexists(place)], user)
    if current is not None and not os.path.isdir(os.path.join(root, "current")):
        found.append(Problem(ROOT, f"{root}/current points to {releases.RELEASES}/{current}, which is not there"))
    return found


def command_problems(commands: Commands, unit: str | None, timeout: float, user: str,
                     run: Callable[[list[str], float], Ended] = run_command, comes_later: str | None = None) -> list[Problem]:
    """What is wrong with the commands that stop, start and look at the service; none are needed.

    :param comes_later: the folder of the releases where the first one is yet to come; programs below it come with it.
    """
    found = []
    for verb, command in commands._asdict().items():
        if comes_later is not None and command and _is_below(command[0], comes_later):
            continue
        if command and not _is_of_the_unit(command, unit):
            why = _why_not_run(command[0], user)
            found += [Problem(f"release_{verb}_command", f"{shlex.join(command)} cannot be run by {user}: {why}")] if why else []
    if unit and any(_is_of_the_unit(command, unit) for command in commands):
        why = _why_no_unit(unit, timeout, run)
        found += [Problem(UNIT, why)] if why else []
    return found


def _is_below(program: str, folder: str) -> bool:
    """Whether a program, which need not be there, is in a folder, by the path that is given or by the real one."""
    return (os.path.normpath(program).startswith(os.path.join(folder, ""))
            or os.path.realpath(program).startswith(os.path.join(os.path.realpath(folder), "")))


def state_of(service: Service, unit: str | None, serving: bool) -> tuple[bool | None, list[Problem]]:
    """Whether the service runs (None: there is nothing to ask), and what is wrong with what it says of itself."""
    if not service.exists:
        return None, []
    variable = UNIT if _is_of_the_unit(service.commands.status, unit) else "release_status_command"
    try:
        running = service.is_running()
    except ServiceError as error:
        return None, [Problem(variable, str(error))]
    if serving and not running:
        return running, [Problem(variable, f"{shlex.join(service.commands.status)} says that the service is not running, and the member takes traffic")]
    return running, []


def _is_of_the_unit(command: list[str], unit: str | None) -> bool:
    return bool(unit) and command[:1] == ["systemctl"] and command[-1] == unit


def _why_not_run(program: str, user: str) -> str:
    """Why a program cannot be run; empty when it can."""
    path = os.path.join("/", program) if "/" in program else shutil.which(program)
    if path is None:
        return f"there is no {program} in PATH ({os.environ.get('PATH', '')})"
    if not os.path.exists(path):
        return f"there is no {path}"
    if os.path.isdir(path) or not _may(path, os.X_OK):
        return f"{path} is not executable for {user}"
    interpreter = _interpreter(path)
    return f"its interpreter {interpreter} is not there" if interpreter and not os.path.exists(interpreter) else ""


def _interpreter(path: str) -> str:
    """The program in the first line of a script; empty for anything else."""
    try:
        with open_regular(path) as file:
            first = file.readline(256)
    except OSError:
        return ""
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    return words[0] if words else ""


def _why_no_unit(unit: str, timeout: float, run: Callable[[list[str], float], Ended]) -> str:
    if shutil.which("systemctl") is None:
        return f"the unit {unit} cannot be started: there is no systemctl on this host"
    try:
        outcome = run(["systemctl", "show", "--property", "LoadState", "--value", unit], timeout)
    except ServiceError as error:
        return str(error)
    state = outcome.said.strip()
    if outcome.status != 0:
        return f"systemctl show {unit} ended with {outcome.status}: {state}"
    return "" if state in LOADED else f"systemd has no unit {unit} that it can start: its LoadState is {state}"


def _nearest_folder(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _unwritable(places: list[str], user: str) -> list[Problem]:
    closed = [place for place in places if not _may(place, os.W_OK | (os.X_OK if os.path.isdir(place) else os.R_OK))]
    return [Problem(BECOME, f"{user}, who releases are activated as, may not write {' and '.join(closed)}")] if closed else []


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
