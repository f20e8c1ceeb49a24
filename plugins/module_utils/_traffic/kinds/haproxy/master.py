# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The master process of an HAProxy on this host: found, and described as it has to be to re-execute itself.

At a reload it executes its own command line, in its own working directory and with its own environment. So the installed binary validates the
configuration in the same way. Source: HAProxy's management guide, ``-W``, ``-c``, ``-sf``, ``-x``, and ``mworker_reexec`` of its haproxy.c.
"""

from __future__ import annotations

import mmap
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...._host import proc
from .balancer import Haproxy
from .stats import parse_info

CHECK_SECONDS = 30
REASON_LENGTH = 2000
_DELETED = " (deleted)"
# A variable that a master sets for itself, by which HAProxy's programs are known, whatever they are called.
_MARK = "HAPROXY_MWORKER"
# Variables that a master sets for itself across a reload, or receives from the service manager.
_OF_RELOADS = (_MARK, "HAPROXY_PROCESSES", "HAPROXY_LOAD_SUCCESS", "NOTIFY_SOCKET")
# Options that a reload adds: of the processes to replace, and of the socket to take over.
_PROCESSES, _SOCKET, _END_OF_OPTIONS = ("-sf", "-st"), "-x", "--"


class Account(NamedTuple):
    """Numbers of a user, its group and its other groups."""

    user: int
    group: int
    others: tuple[int, ...]


@dataclass(frozen=True)
class Running:
    """The processes as they are: the worker that answers, the file that it runs, and its master with command line, working directory, environment, account.

    After a reload that has failed, the master runs what is installed, and the worker what was before.
    """

    version: str
    worker: int
    master: int
    argv: tuple[str, ...]
    executable: str
    folder: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None

    @property
    def program(self) -> str:
        """The file that the master re-executes."""
        name = self.argv[0]
        if os.sep in name:
            return os.path.join(self.folder, name)
        return shutil.which(name, path=self.environment.get("PATH", os.defpath)) or name

    @property
    def is_current(self) -> bool:
        """Whether the file that runs is the one that is installed: a package that was upgraded has put another in its place."""
        if self.executable.endswith(_DELETED):
            return False
        try:
            return os.path.samefile(f"/proc/{self.worker}/exe", self.program)
        except OSError:
            return True


def running(balancer: Haproxy) -> Running:
    """Raise LoadBalancerError when it does not run on this host, in this host's file system, or without a master."""
    info = parse_info(balancer.ask("show info"))
    worker = int(info.get("Pid", 0))
    try:
        master = proc.stat(worker).parent
        argv = tuple(proc.words(master, "cmdline"))
        environment, account = environment_of(proc.words(master, "environ")), account_of(proc.read(master, "status"))
        executable, folder = os.readlink(f"/proc/{worker}/exe"), os.readlink(f"/proc/{master}/cwd")
        is_master = _is_haproxy(master) and (os.path.samefile(f"/proc/{master}/exe", f"/proc/{worker}/exe") or _MARK in environment)
        is_here = os.path.samefile(f"/proc/{master}/root", "/")
        started = proc.words(worker, "cmdline")
    except (OSError, ValueError, KeyError) as error:
        raise balancer.error(f"is no process of this host that this account may look at ({error}): run this on the load balancer itself, as root") from error
    if not is_master or not argv:
        raise balancer.error(f"runs without a master process ({shlex.join(started)}): start it with -W or -Ws, as Debian's unit does, "
                             "or write master-worker into its section global, to hand over without a loss")
    if not is_here:
        raise balancer.error(f"runs in another file system than this one (process {master}, in a container): run this inside")
    return Running(info.get("Version", ""), worker, master, argv, executable, folder, environment, account)


def environment_of(words: Sequence[str]) -> dict[str, str]:
    """The variables in the words ``NAME=value`` of a process."""
    return dict(word.split("=", 1) for word in words if "=" in word)


def account_of(status: str) -> Account:
    """The effective account in what ``/proc/PID/status`` says."""
    lines = proc.fields(status)
    return Account(int(lines["Uid"].split()[1]), int(lines["Gid"].split()[1]), tuple(map(int, lines["Groups"].split())))


def check_command(before: Running) -> list[str]:
    """The command with which the installed binary validates the configuration: the master's command line, without what a reload adds."""
    kept, words = [], list(before.argv[1:])
    while words:
        word = words.pop(0)
        if word == _END_OF_OPTIONS:
            kept += [word, *words]
            break
        if word in _PROCESSES:
            while words and words[0].isdecimal():
                words.pop(0)
        elif word == _SOCKET:
            del words[:1]
        elif word != "-q":
            # With -q it would not print its errors.
            kept.append(word)
    return [before.program, "-c", *kept]


def require_accepted(balancer: Haproxy, before: Running) -> None:
    """Raise LoadBalancerError, with what it says, when the installed binary does not accept the configuration.

    It runs as the master's account, which chooses the program and the files that it loads.
    """
    argv = check_command(before)
    account = before.account if before.account and os.geteuid() == 0 else None
    run_as: dict[str, Any] = {"user": account.user, "group": account.group, "extra_groups": account.others} if account else {}
    environment = {name: value for name, value in before.environment.items() if not name.startswith(_OF_RELOADS)}
    try:
        checked = subprocess.run(argv, capture_output=True, timeout=CHECK_SECONDS, check=False, stdin=subprocess.DEVNULL, cwd=before.folder, env=environment,
                                 **run_as)
    except (OSError, subprocess.SubprocessError) as error:
        raise balancer.error(f"cannot be checked by {shlex.join(argv)} in {before.folder}: {error}. Nothing was changed") from error
    if checked.returncode:
        said = reason_of((checked.stderr + checked.stdout).decode("utf-8", "replace"))
        raise balancer.error(f"is not handed over: {argv[0]} does not accept its configuration: {said}. Nothing was changed; ask it again by "
                             f"{shlex.join(argv)} in {before.folder}")


def reason_of(said: str) -> str:
    """What HAProxy says is wrong: its alerts, without the warnings and notices between them; all that it says when there is none."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    alerts = [line for line in lines if line.startswith("[ALERT]")]
    return " ".join(" ".join(alerts or lines).split())[:REASON_LENGTH].rstrip(".") or "it says nothing"


def _is_haproxy(pid: int) -> bool:
    """Whether a process runs HAProxy: the number may be one of a container, and be another process's here."""
    with open(f"/proc/{pid}/exe", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_MARK.encode("ascii")) >= 0
