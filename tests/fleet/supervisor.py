# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service supervisor of one application server: what systemd is to a real host.

    supervisor.py run DIR      supervise in the foreground until SIGTERM
    supervisor.py start DIR    have the application started, and wait until it accepts requests
    supervisor.py stop DIR     have it stopped, and wait until it has ended
    supervisor.py status DIR   exit code 0: running; 3: not running; 1: not running, and no supervisor either

DIR/current/app.py is the application, DIR/env.json its environment. It reports that it accepts requests by writing its
process id to the file that SERVICE_READY names. An application that ends by itself is started again, after a pause that
grows. It does not outlive its supervisor.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Run by its path, as a program: the fleet's other modules are found beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleet import service
from fleet.processes import start_mark
from fleet.service import Files, ServiceError

POLL_SECONDS = 0.05
STOP_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
# An application that ran so long has not failed at its start: the next pause is a short one again.
STABLE_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
# Exit codes of LSB's status: 0 running, 1 dead, 3 not running, 4 unknown.
STATUS_CODES = {"running": 0, "dead": 1, "orphaned": 4}
EXIT_FAILED = 4


class Supervisor:
    """Keeps one application as the last command wants it: `up` or `down`."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.child: subprocess.Popen | None = None
        self.child_mark: str | None = None
        self.child_since = 0.0
        self.pause = FIRST_PAUSE_SECONDS
        self.next_start = 0.0
        self.kill_at: float | None = None
        self.command = {"wanted": "up", "serial": None}
        self.last_exit: int | None = None
        self.starts = 0
        self.written: dict = {}
        self.ending = False
        self.tie_to_parent = _parent_tie()

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT, then stop the application and return."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._end)
        while not (self.ending and self.child is None):
            now = time.monotonic()
            self._reap(now)
            self._read_command()
            self._act(now)
            self._write_state()
            time.sleep(POLL_SECONDS)

    def _end(self, _signum: int, _frame: object) -> None:
        self.ending = True

    @property
    def wanted(self) -> str:
        return "down" if self.ending else self.command["wanted"]

    def _reap(self, now: float) -> None:
        if self.child is not None and self.child.poll() is not None:
            self._note_exit(now, self.child.returncode)

    def _note_exit(self, now: float, code: int) -> None:
        _log(f"the application ended with {code}")
        if self.child and now - self.child_since >= STABLE_SECONDS:
            self.pause = FIRST_PAUSE_SECONDS
        self.child, self.child_mark, self.kill_at = None, None, None
        self.last_exit = code
        self.next_start = now + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE_SECONDS)

    def _read_command(self) -> None:
        command = self.files.read(self.files.command)
        if command and command != self.command:
            self.command = command
            # A command is somebody's new try: it does not wait for an old failure's pause.
            self.pause, self.next_start = FIRST_PAUSE_SECONDS, 0.0

    def _act(self, now: float) -> None:
        if self.wanted == "up" and self.child is None and now >= self.next_start:
            self._start(now)
        elif self.wanted == "down" and self.child is not None:
            if self.kill_at is None:
                # An application that ends in the middle of whatever it does.
                abrupt = self.files.abrupt.exists()
                self.child.send_signal(signal.SIGKILL if abrupt else signal.SIGTERM)
                self.kill_at = now + STOP_SECONDS
            elif now >= self.kill_at:
                self.child.kill()

    def _start(self, now: float) -> None:
        self.starts += 1
        self.files.ready.unlink(missing_ok=True)
        try:
            # The link is followed now, once: a switch under a running application must not mix two releases.
            release = (self.files.directory / "current").resolve(strict=True)
            self.child = self._spawn(release)
        except (OSError, ValueError) as error:
            _log(f"the application cannot be started: {error}")
            self._note_exit(now, 127)
            return
        self.child_mark = start_mark(self.child.pid)
        self.child_since = now
        _log(f"release {release.name} started, pid {self.child.pid}")

    def _spawn(self, release: Path) -> subprocess.Popen:
        self.files.log.parent.mkdir(exist_ok=True)
        with open(self.files.log, "ab") as log:
            return subprocess.Popen(
                [sys.executable, str(release / "app.py")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self.files.directory,
                preexec_fn=self.tie_to_parent,
            )

    def _environment(self) -> dict[str, str]:
        # What somebody set for PostgreSQL clients of their own would also speak to the application's.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        settings = json.loads((self.files.directory / "env.json").read_text(encoding="utf-8"))
        # A release's folder stays as it was unpacked: without compiled files.
        own = {"SERVICE_READY": str(self.files.ready), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        return {**kept, **settings, **own}

    def _write_state(self) -> None:
        state = {
            "state": self._state(),
            "serial": self.command["serial"],
            "pid": self.child.pid if self.child else None,
            "started": self.child_mark,
            "starts": self.starts,
            "last_exit": self.last_exit,
        }
        if state != self.written:
            self.files.write(self.files.state, state)
            self.written = state

    def _state(self) -> str:
        if self.child is None:
            return "stopped" if self.wanted == "down" else "backoff"
        if self.wanted == "down":
            return "stopping"
        return "running" if self._is_ready() else "starting"

    def _is_ready(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self.files.ready.read_text(encoding="ascii").strip() == str(self.child.pid)
        return False


def _parent_tie() -> Callable[[], None] | None:
    """What a child does before it becomes the application, so that the kernel kills it when the supervisor dies (Linux).

    Elsewhere the application looks itself, see shop/common/app.py.
    """
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    # Looked up here: between fork and exec only little is safe.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie


def _log(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def run(files: Files) -> None:
    """Be the supervisor; refuse when there is one."""
    files.service.mkdir(parents=True, exist_ok=True)
    with only_supervisor(files):
        Supervisor(files).run()


@contextlib.contextmanager
def only_supervisor(files: Files) -> Iterator[None]:
    with open(files.lock, "ab") as lock:
        if not any(_locked(lock) for _attempt in range(20)):
            raise ServiceError(f"another supervisor runs for {files.directory}")
        yield


def _locked(lock) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Whoever looks whether there is a supervisor holds the lock for a moment, too: a short wait tells the two apart.
        time.sleep(POLL_SECONDS)
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="Supervise one application server.")
    parser.add_argument("command", choices=("run", "start", "stop", "status"))
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    files = Files(arguments.directory.absolute())
    try:
        return _carry_out(arguments.command, files)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED


def _carry_out(command: str, files: Files) -> int:
    if command == "run":
        run(files)
        return 0
    if command == "status":
        state = service.status(files)
        print(json.dumps(state))
        return STATUS_CODES.get(state["state"], 3)
    print(service.start(files) if command == "start" else service.stop(files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
