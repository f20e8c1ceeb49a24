# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs small plays with the rollout callback: its output as text, or on a terminal of a few lines of Python."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))

from tiny_terminal import TinyTerminal

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.journal import journal_problem, read

HOSTS = ["w1", "w2", "w3"]
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)\s+skipped=(\d+)\s+rescued=(\d+)\s+ignored=(\d+)\s*$", re.MULTILINE)
COLUMNS, ROWS = 120, 40
PATIENCE_S = 120


@dataclass
class Run:
    code: int
    output: str
    directory: Path
    errors: str = ""
    terminal: TinyTerminal = field(default_factory=TinyTerminal)
    raw: str = ""

    @property
    def recap(self) -> dict[str, list[int]]:
        return {found[0]: [int(number) for number in found[1:]] for found in RECAP.findall(self.output)}

    @property
    def lines(self) -> list[str]:
        return [re.sub(r"^ *\d+:\d\d  ", "", line) for line in self.output.splitlines()]

    @property
    def journal(self) -> list[dict]:
        content = (self.directory / "alwayson-report" / "journal.jsonl").read_bytes()
        assert journal_problem(content) == ""
        return list(read(content).entries)


class Bench:
    """Plays over the local connection on one core."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program, self.directory = program, directory

    def prepare(self, plays: list, files: dict, environment: dict, arguments: tuple) -> tuple[list[str], dict[str, str]]:
        (self.directory / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
        for name, content in files.items():
            (self.directory / name).write_text(yaml.safe_dump(content), encoding="utf-8")
        inventory = {"all": {"vars": {"ansible_connection": "losable", "ansible_python_interpreter": sys.executable},
                             "children": {"web": {"hosts": {name: {} for name in HOSTS}}}}}
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "ALWAYSON_", "NO_COLOR"))}
        return ([str(self.program), "-i", "inventory.yml", "play.yml", *arguments], {
            **kept, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"), "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_CONNECTION_PLUGINS": str(REPOSITORY / "tests/integration/upgrade/plugins"), "LOSABLE_DIRECTORY": str(self.directory / "lost"),
            "ANSIBLE_REMOTE_TEMP": str(self.directory / "remote"), "ANSIBLE_STDOUT_CALLBACK": "alwayson.upgrade.rollout", "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8", **environment})

    def run(self, plays: list, *arguments: str, files: dict | None = None, **environment: str) -> Run:
        command, variables = self.prepare(plays, files or {}, environment, arguments)
        done = subprocess.run(command, env=variables, cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S,
                              check=False)
        return Run(done.returncode, done.stdout, self.directory, done.stderr)

    def on_terminal(self, plays: list, *arguments: str, script: tuple[tuple[str, Callable[[int], None]], ...] = (), files: dict | None = None,
                    **environment: str) -> Run:
        """The same on a terminal; *script*: words, one after the other, and what is done to the process once the terminal has shown them."""
        command, variables = self.prepare(plays, files or {}, environment, arguments)
        pid, handle = pty.fork()
        if pid == 0:
            os.chdir(self.directory)
            os.execve(command[0], command, variables)
        fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        try:
            data, seen, left, give_up = b"", 0, list(script), time.monotonic() + PATIENCE_S
            while time.monotonic() < give_up:
                if not select.select([handle], [], [], 0.2)[0]:
                    continue
                try:
                    part = os.read(handle, 65536)
                except OSError:
                    break
                if not part:
                    break
                data += part
                while left and left[0][0].encode() in data[seen:]:
                    words, act = left.pop(0)
                    seen = data.index(words.encode(), seen) + len(words.encode())
                    act(pid)
            else:
                os.kill(pid, signal.SIGKILL)
            _pid, status = os.waitpid(pid, 0)
        finally:
            os.close(handle)
        assert not left, data.decode("utf-8", "replace")
        terminal = TinyTerminal(COLUMNS, ROWS).feed(data.decode("utf-8"))
        return Run(os.waitstatus_to_exitcode(status), terminal.everything, self.directory, terminal=terminal, raw=data.decode("utf-8"))


def play(tasks: list, **keywords) -> dict:
    return {"name": "a play", "hosts": "web", "gather_facts": False, "tasks": tasks, **keywords}


def task(name: str, module: str, arguments, **keywords) -> dict:
    return {"name": name, f"ansible.builtin.{module}": arguments, **keywords}
