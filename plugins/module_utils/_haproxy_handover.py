# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running HAProxy goes on as the binary that is installed now: its master starts itself anew and hands the listening sockets to a new worker.

What is in flight stays with the old worker until it ends. Source: HAProxy's management guide on the master-worker mode and SIGUSR2.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from dataclasses import dataclass
from typing import Callable, Mapping

from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy_stat import parse_info
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import LoadBalancerError, View
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic_pool import Clock
from ansible_collections.alwayson.upgrade.plugins.module_utils._waiting import wait_for

CHECK_SECONDS = 30
PAUSE_SECONDS = 0.1
_DELETED = " (deleted)"


@dataclass(frozen=True)
class Running:
    """The processes as they are: the worker that answers, its master, the master's command line and the file that it runs."""

    version: str
    worker: int
    master: int
    argv: tuple[str, ...]
    executable: str

    @property
    def is_current(self) -> bool:
        """Whether the file that runs is the one that is installed: a package that was upgraded has put another in its place."""
        if self.executable.endswith(_DELETED):
            return False
        try:
            return os.path.samefile(f"/proc/{self.master}/exe", self.argv[0])
        except OSError:
            return True


def running(balancer: Haproxy) -> Running:
    """Raise LoadBalancerError when it does not run on this host, or without a master."""
    info = parse_info(balancer.ask("show info"))
    worker = int(info.get("Pid", 0))
    try:
        with open(f"/proc/{worker}/stat", encoding="utf-8", errors="replace") as file:
            master = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{master}/cmdline", encoding="utf-8", errors="replace") as file:
            argv = tuple(file.read().rstrip("\0").split("\0"))
        executable = os.readlink(f"/proc/{master}/exe")
    except (OSError, ValueError) as error:
        raise balancer.error(f"is no process of this host that this account may look at ({error}): run this on the load balancer itself, as root") from error
    if not any(word in ("-W", "-Ws") for word in argv):
        raise balancer.error(f"runs without a master process ({shlex.join(argv)}): start it with -W or -Ws, as Debian's unit does, to hand over without a loss")
    return Running(info.get("Version", ""), worker, master, argv, executable)


def check_command(argv: tuple[str, ...]) -> list[str]:
    """How the installed binary is asked whether it accepts the configuration that the master was started with."""
    files = [word for flag, value in zip(argv, argv[1:]) if flag == "-f" for word in (flag, value)]
    return [argv[0], "-c", "-q", *files]


def hand_over(balancer: Haproxy, before: Running, timeout: float, clock: Clock = Clock()) -> Running:
    """Have it done, and prove it; returns what runs then. Raise LoadBalancerError with what was there still at work, or with what has changed by it."""
    _require_accepted(balancer, before)
    views = balancer.read()
    try:
        os.kill(before.master, signal.SIGUSR2)
    except OSError as error:
        raise balancer.error(f"cannot be told by this account to start anew: {error.strerror}") from error
    after = _wait_for_another(balancer, before, clock, timeout)
    changed = changed_states(views, balancer.read())
    if changed:
        raise balancer.error(f"has handed over, and forgot states by it: {'; '.join(changed)}. Set them again (alwayson.upgrade.traffic_member), and "
                             "have it keep them: server-state-file, load-server-state-from-file global")
    return after


def changed_states(before: View, after: View) -> list[str]:
    """A sentence for each member that is in another administrative state."""
    return [f"{name}/{member} was {was.admin} and is {now.admin if now else 'gone'}"
            for name, backend in before.backends.items() for member, was in backend.members.items()
            if (now := _member(after, name, member)) is None or now.admin != was.admin]


def wait_for_old_workers(count: Callable[[], int], timeout: float, clock: Clock = Clock()) -> int:
    """How many workers of before are still ending what they have after so many seconds at most."""
    wait_for(lambda: not count(), timeout, PAUSE_SECONDS, clock.steady, clock.sleep)
    return count()


def children(master: int) -> set[int]:
    """The workers of a master, old ones too."""
    with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as file:
        return {int(pid) for pid in file.read().split()}


def _require_accepted(balancer: Haproxy, before: Running) -> None:
    argv = check_command(before.argv)
    try:
        checked = subprocess.run(argv, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise balancer.error(f"cannot be checked by {shlex.join(argv)}: {error}. Nothing was changed") from error
    if checked.returncode:
        raise balancer.error(f"is not handed over: {argv[0]} does not accept its configuration: {' '.join(checked.stderr.split())}")


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
        raise balancer.error(f"still answers as process {before.worker} ({before.version}): see its log; it goes on as if nothing had been asked")
    return found


def _member(view: View, backend: str, member: str):
    found: Mapping = view.backends[backend].members if backend in view.backends else {}
    return found.get(member)
