# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small plays over six hosts, and what is read of them: every visit of a host is a line of a log, so that order is seen, not measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
HOSTS = [f"w{number}" for number in range(1, 7)]
PATIENCE_S = 120
# Much less than what is left to hang would hang.
DEATH_S = 20


def say(word: str, **more: Any) -> dict:
    """A task that writes who says it. raw needs no Python on the other side, and therefore takes milliseconds."""
    return {"name": word, "ansible.builtin.raw": f"echo {{{{ inventory_hostname }}}} {word} >> {{{{ log }}}}", **more}


def on(*hosts: str) -> dict:
    """The condition that a task is only for these hosts."""
    return {"when": f"inventory_hostname in {list(hosts)}"}


def break_on(*hosts: str) -> dict:
    """A task that fails on these hosts."""
    return {"name": "break", "ansible.builtin.raw": f"{{{{ 'false' if inventory_hostname in {list(hosts)} else 'true' }}}}"}


def lose_on(*hosts: str) -> dict:
    """A task after which these hosts do not answer any more."""
    return {"name": "lose", "ansible.builtin.raw": "touch {{ lost }}/{{ inventory_hostname }}", **on(*hosts)}


def wait_for(line: str, **more: Any) -> dict:
    """A task that ends when the log has that line; a play in which it never comes fails."""
    return {"name": f"wait for {line}", **more,
            "ansible.builtin.raw": f"for i in $(seq 1200); do grep -q '{line}' {{{{ log }}}} && exit 0; sleep 0.05; done; exit 1"}


def is_alive(pid: int) -> bool:
    """Whether a process runs on (one that nobody has waited for does not). One that was killed may take a moment to die."""
    deadline = time.monotonic() + DEATH_S
    while _runs(pid):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


COME, GO = say("come"), say("go")
NEXT_PLAY = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.raw": "echo next play >> {{ log }}"}]}


@dataclass
class Run:
    """A run that has ended."""

    code: int
    output: str
    log: list[str]

    def who(self, word: str) -> list[str]:
        """Who said the word, in order."""
        return [line.split()[0] for line in self.log if line.partition(" ")[2] == word]

    @property
    def came(self) -> list[str]:
        return self.who("come")

    @property
    def went(self) -> list[str]:
        return self.who("go")

    @property
    def words(self) -> str:
        """What the user saw, without line breaks."""
        return " ".join(self.output.split())

    @property
    def went_on(self) -> bool:
        """Whether the play after the roll ran."""
        return "next play" in self.log

    @property
    def most_at_once(self) -> int:
        return self.most_of(HOSTS)

    def most_of(self, hosts: list[str]) -> int:
        """How many of these hosts were in the play at the same time."""
        inside = most = 0
        for line in self.log:
            name, word = line.split()[:2]
            inside += {"come": 1, "go": -1}.get(word, 0) * (name in hosts)
            most = max(most, inside)
        return most


class Running:
    """A run under way."""

    def __init__(self, process: subprocess.Popen, log: Path, output: IO[str]) -> None:
        self._process = process
        self._log = log
        self._output = output

    def until(self, line: str) -> None:
        """Wait for a line of the log."""
        deadline = time.monotonic() + PATIENCE_S
        while line not in self._log.read_text(encoding="utf-8").splitlines():
            assert self._process.poll() is None and time.monotonic() < deadline, f"{line!r} never came: {self._seen()}"
            time.sleep(0.02)

    def until_said(self, words: str) -> None:
        """Wait for words to the user."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in " ".join(self._seen().split()):
            assert self._process.poll() is None and time.monotonic() < deadline, f"{words!r} was never said: {self._seen()}"
            time.sleep(0.02)

    def log(self, line: str) -> None:
        """Write a line that a host waits for."""
        with open(self._log, "a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def never(self, line: str) -> None:
        """A line that must not be there now."""
        assert line not in self._log.read_text(encoding="utf-8").splitlines()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> Run:
        """Wait for the end."""
        try:
            code = self._process.wait(timeout=PATIENCE_S)
        finally:
            if self._process.poll() is None:
                self._process.terminate()
                self._process.wait()
        return Run(code, self._seen(), self._log.read_text(encoding="utf-8").splitlines())

    def _seen(self) -> str:
        return Path(self._output.name).read_text(encoding="utf-8")


class Stage:
    """Where plays run: one ansible-core, one folder."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.log = folder / "log"
        self.lost = folder / "lost"
        self.control = folder / "control"

    def __call__(self, tasks: list, **options: Any) -> Run:
        """Run a rolling play, and the next play."""
        return self.start(tasks, **options).end()

    def start(self, tasks: list, *, keywords: dict | None = None, variables: dict | None = None, before: list | None = None, after: list | None = None,
              **options: Any) -> Running:
        """Start a rolling play over the six hosts between other plays."""
        rolling = {"name": "the roll", "hosts": "web", "gather_facts": False, "strategy": "alwayson.upgrade.rolling", "tasks": tasks,
                   "vars": variables or {}, **(keywords or {})}
        return self.start_plays([*(before or []), rolling, *(after or []), NEXT_PLAY], **options)

    def start_plays(self, plays: list, *, files: dict | None = None, host_vars: dict | None = None, arguments: tuple = (), environment: dict | None = None,
                    stdin: int | None = subprocess.DEVNULL) -> Running:
        """Start a playbook; *files* are written beside it, as YAML unless they are text."""
        self.log.write_text("", encoding="utf-8")
        self.lost.mkdir(exist_ok=True)
        for name, content in {"play.yml": plays, "inventory.yml": self._inventory(host_vars or {}), **(files or {})}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        with open(self.folder / "output", "w", encoding="utf-8") as output:
            process = subprocess.Popen([str(self.program), "-i", "inventory.yml", "play.yml", *arguments], env={**self._environment(), **(environment or {})},
                                       cwd=self.folder, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, text=True)
        return Running(process, self.log, output)

    def _inventory(self, host_vars: dict) -> dict:
        hosts = {name: {"zone": "east" if name in ("w1", "w3", "w5") else "west", **host_vars.get(name, {})} for name in HOSTS}
        shared = {"log": str(self.log), "lost": str(self.lost), "ansible_connection": "losable", "ansible_python_interpreter": sys.executable}
        return {"all": {"vars": {**shared, **host_vars.get("all", {})}, "children": {"web": {"hosts": hosts}}}}

    def _environment(self) -> dict:
        plugins = REPOSITORY / "tests" / "integration"
        return {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"), "ANSIBLE_HOME": str(self.folder / "ansible"),
                "ANSIBLE_CONNECTION_PLUGINS": str(plugins / "upgrade" / "plugins"), "ANSIBLE_CALLBACK_PLUGINS": str(plugins / "strategy" / "plugins"),
                "LOSABLE_DIRECTORY": str(self.lost), "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"), "ANSIBLE_FORKS": "6", "ANSIBLE_NOCOLOR": "1"}
