# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators: each one a real ansible-playbook over a local connection, which is started, watched and killed like somebody's at a terminal."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
COLLECTIONS = REPOSITORY / "build" / "collections"
DEVELOPERS_OWN = Path(sys.executable).with_name("ansible-playbook")
SECONDS = 120
# A variable that every process of an operator inherits.
MARK = "OPERATOR_OF_THIS_TEST"


@dataclass
class Run:
    """What an operator saw: the exit code, the text, and what the tasks registered."""

    code: int
    output: str
    seen: dict

    @property
    def words(self) -> str:
        return " ".join(self.output.split())


class Operators:
    """Operators with `program`, in `folder`, of the lock in `directory`."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.directory = folder / "state"
        self._numbers = itertools.count(1)

    def lock(self, module: str = "fleet_lock", register: str = "seen", **arguments) -> dict:
        """The task that asks for the lock of the shop."""
        return {f"alwayson.upgrade.{module}": {"service": "shop", "directory": str(self.directory), **arguments}, "register": register}

    def run(self, *tasks: dict, arguments: tuple = (), prefix: tuple = (), **more) -> Run:
        """Run the tasks to their end; `more` are arguments of a task that asks for the lock, when no tasks are given."""
        number, process = self._spawn(tasks or (self.lock(**more),), arguments, prefix)
        try:
            output, _none = process.communicate(timeout=SECONDS)
        except BaseException:
            _end(process)
            raise
        return Run(process.returncode, output, self._seen(number))

    @contextlib.contextmanager
    def begun(self, *tasks: dict) -> Iterator[subprocess.Popen]:
        """An operator who has begun the tasks, and is ended with them or without."""
        _number, process = self._spawn(tasks, (), ())
        try:
            yield process
        finally:
            _end(process)

    def together(self, *runs: tuple[tuple, tuple]) -> list[Run]:
        """Run several operators at the same time, each with tasks and arguments."""
        spawned = [self._spawn(tasks, arguments, ()) for tasks, arguments in runs]
        try:
            outputs = [process.communicate(timeout=2 * SECONDS)[0] for _number, process in spawned]
        finally:
            for _number, process in spawned:
                _end(process)
        return [Run(process.returncode, output, self._seen(number)) for (number, process), output in zip(spawned, outputs)]

    @contextlib.contextmanager
    def at_work(self, prefix: tuple = (), **more) -> Iterator[Operator]:
        """An operator who takes the lock, has it, and goes on with something long."""
        flag = self.folder / f"flag-{next(self._numbers)}"
        tasks = (self.lock(**more), {"ansible.builtin.copy": {"content": "", "dest": str(flag), "mode": "0600"}}, {"ansible.builtin.command": "sleep 300"})
        _number, process = self._spawn(tasks, (), prefix)
        try:
            wait_for(flag.exists, process)
            yield Operator(process)
        finally:
            _end(process)

    def _spawn(self, tasks: tuple, arguments: tuple, prefix: tuple) -> tuple[int, subprocess.Popen]:
        number = next(self._numbers)
        keep = {"ansible.builtin.copy": {"content": "{{ {'seen': seen | default({}), 'more': more | default({})} | to_json }}", "mode": "0600",
                                         "dest": str(self.folder / f"seen-{number}.json")}, "check_mode": False}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"block": list(tasks), "always": [keep]}]}
        path = self.folder / f"play-{number}.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        mark = str(path)
        environment = {**os.environ, MARK: mark, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(self.folder / "ansible"),
                       "ANSIBLE_NOCOLOR": "1", "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote")}
        command = [*prefix, str(self.program), "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", *arguments, str(path)]
        process = subprocess.Popen(command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, start_new_session=True)
        process.mark = mark
        return number, process

    def _seen(self, number: int) -> dict:
        path = self.folder / f"seen-{number}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


class Operator:
    """An operator at work. Its controller is a process that can be stopped and killed, alone: the workers stay, as they do."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self.pid = process.pid

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)


def wait_for(condition, process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended before:\n{process.stdout.read()}")
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def _end(process: subprocess.Popen) -> None:
    """End the controller and what it has begun. Its workers have sessions of their own, so they are known by what they inherited."""
    process.kill()
    for pid in _marked(process.mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(30)
    process.stdout.close()


def _marked(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
