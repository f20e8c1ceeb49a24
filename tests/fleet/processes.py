# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start processes that outlive their starter, recognise them later, and end them: these and never a stranger.

A process is known by its id and the time it started: an id alone may belong to somebody else by now.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_SECONDS = 0.02
_children: dict[int, subprocess.Popen] = {}


class ProcessError(Exception):
    """A process could not be started, or could not be ended."""


@dataclass(frozen=True)
class Process:
    """A process of the fleet; `started` is the system's own mark of its start."""

    name: str
    pid: int
    started: str

    @property
    def is_alive(self) -> bool:
        """True while this very process runs."""
        _reap(self.pid)
        return start_mark(self.pid) == self.started

    def send(self, signum: int) -> None:
        """Send a signal, unless the process is gone."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def as_record(self) -> dict:
        """As JSON: {"name", "pid", "started"}."""
        return asdict(self)


def start_mark(pid: int) -> str | None:
    """What tells this process from later ones with the same id; None when there is none, or a dead one nobody has reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_mark_of_ps(pid)
    # The name, in parentheses, may hold anything: the numbers begin behind the last parenthesis.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_mark_of_ps(pid: int) -> str | None:
    """For systems without /proc."""
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    state, _space, started = shown.stdout.strip().partition(" ")
    return None if shown.returncode or state.startswith("Z") else started.strip()


def launch(name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
    """Start a process in a session of its own, so that a terminal's Ctrl-C does not reach it; its output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        try:
            child = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True
            )
        except OSError as error:
            raise ProcessError(f"{name} cannot be started: {argv[0]}: {error.strerror}") from error
    _children[child.pid] = child
    return Process(name=name, pid=child.pid, started=start_mark(child.pid) or "ended at once")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside the block Ctrl-C and SIGTERM wait for its end: no process is started and not written down, no end is left half-way."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python interrupts the main thread only.
        return
    waiting: list[int] = []
    previous = {signum: signal.signal(signum, lambda signum, _frame: waiting.append(signum)) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    for signum in dict.fromkeys(waiting):
        signal.raise_signal(signum)


def end(processes: Iterable[Process], first_signal: int = signal.SIGTERM, grace: float = 10.0) -> None:
    """Ask all to end, wait up to `grace` seconds, then kill; raise ProcessError when one survives even that."""
    processes = list(processes)
    for process in processes:
        process.send(first_signal)
    for process in _wait(processes, grace):
        process.send(signal.SIGKILL)
    left = _wait(processes, grace)
    if left:
        raise ProcessError("still running: " + ", ".join(f"{process.name} (pid {process.pid})" for process in left))


def _wait(processes: list[Process], seconds: float) -> list[Process]:
    """Wait until all have ended, at most so long; return those that have not."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if process.is_alive]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        alive = [process for process in alive if process.is_alive]
    return alive


def _reap(pid: int) -> None:
    """Take note of the death of a child of ours, so that it does not stay behind as a zombie."""
    if pid in _children and _children[pid].poll() is not None:
        del _children[pid]


def exit_code_of(program: str, work: Callable[[], int], errors: tuple[type[Exception], ...]) -> int:
    """The exit code of a program's work: its own, or 1 and a sentence for one of its errors, or 130 for Ctrl-C."""
    try:
        return work()
    except errors as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130


def tail(path: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"({path} cannot be read)"
    return "\n".join(text.splitlines()[-lines:]) or f"({path} is empty)"
