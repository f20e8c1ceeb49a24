# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three hosts that are folders, real processes started from their current release, and a load balancer that is an API: a run takes some ten seconds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import yaml
from fleet.ports import Ports
from fleet.runs import Run
from json_server import JsonServer

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = REPOSITORY / "build" / "venv"
MEMBERS = ("app1", "app2", "app3")
# Starts what the current release brings as bin/run, and knows it by its process id. $1: verb, $2: the host's folder.
CONTROL = """#!/bin/sh
runs() { [ -e "$2/pid" ] && kill -0 "$(cat "$2/pid")" 2>/dev/null; }
case $1 in
  start) . "$2/environment"; cd /; setsid "$2/current/bin/run" >>"$2/log" 2>&1 & echo $! > "$2/pid" ;;
  stop) runs "$@" && kill "$(cat "$2/pid")"; while runs "$@"; do sleep 0.05; done; rm -f "$2/pid" ;;
  status) runs "$@" || exit 3 ;;
esac
"""


class SmallFleet:
    """A fleet on which nothing runs yet. `variables` describes the service; `known` are the members that the load balancer has."""

    def __init__(self, directory: Path, **variables: object) -> None:
        self.directory = directory
        self.variables = variables
        self.known = list(MEMBERS)
        self.admin = dict.fromkeys(MEMBERS, "ready")
        self.ports: dict[str, int] = {}
        self._balancer = JsonServer()
        self._runs = 0

    def __enter__(self) -> SmallFleet:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        control = self.directory / "control"
        control.write_text(CONTROL, encoding="utf-8")
        control.chmod(0o755)
        ports = Ports()
        for name in MEMBERS:
            self.ports[name] = ports.endpoint("127.0.0.1").port
            self.root(name).mkdir()
            (self.root(name) / "environment").write_text(f"export PORT={self.ports[name]}\n", encoding="ascii")
        self._balancer.routes["GET /pool/app"] = lambda _asked: {"rows": [self._row(name) for name in self.known]}
        for name in MEMBERS:
            for state in ("ready", "maint"):
                self._balancer.routes[f"POST /set/app/{name}/{state}"] = lambda _asked, name=name, state=state: self.admin.update({name: state}) or {}
        self._balancer.__enter__()
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(self._inventory()), encoding="utf-8")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._balancer.__exit__()
        for pid in self.processes().values():
            os.kill(pid, signal.SIGKILL)

    def root(self, name: str) -> Path:
        """The host's release_root."""
        return self.directory / name

    def processes(self) -> dict[str, int]:
        """Member to the process that serves there, which is at work in one of its releases; an id that is another's by now is none."""
        found = {}
        for name in MEMBERS:
            with contextlib.suppress(FileNotFoundError):
                pid = int((self.root(name) / "pid").read_text(encoding="ascii"))
                if os.readlink(f"/proc/{pid}/cwd").startswith(str(self.root(name))):
                    found[name] = pid
        return found

    def current(self) -> dict[str, str | None]:
        """Member to the release that is current there."""
        links = {name: self.root(name) / "current" for name in MEMBERS}
        return {name: os.path.basename(os.readlink(link)) if link.is_symlink() else None for name, link in links.items()}

    def run(self, playbook: str, **variables: object) -> Run:
        """Run a playbook of the collection as a user would."""
        self._runs += 1
        given = {"upgrade_service": "shop", "upgrade_method": "rolling", "upgrade_max_unavailable": 1, "upgrade_traffic_via": "localhost",
                 "upgrade_state_directory": str(self.directory / "state"), "upgrade_report_directory": str(self.directory / "report"),
                 "upgrade_drain_timeout": 15, **self.variables, **variables}
        command = [VENV / "bin/ansible-playbook", f"alwayson.upgrade.{playbook}", "-i", self.directory / "inventory.yml", "-e", json.dumps(given)]
        environment = {**{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}, "LC_ALL": "C.UTF-8",
                       "ANSIBLE_HOME": str(self.directory / "ansible"), "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build/collections"),
                       "ANSIBLE_LOCALHOST_WARNING": "false"}
        ended = subprocess.run(command, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, timeout=300, check=False)
        (self.directory / f"run-{self._runs:02}-{playbook}.log").write_text(ended.stdout, encoding="utf-8")
        return Run(ended.returncode, ended.stdout, self.directory / "report")

    def _row(self, name: str) -> dict:
        with socket.socket() as asking:
            is_up = asking.connect_ex(("127.0.0.1", self.ports[name])) == 0
        return {"name": name, "address": f"127.0.0.1:{self.ports[name]}", "admin": self.admin[name], "health": "up" if is_up else "down", "sessions": 0}

    def _inventory(self) -> dict:
        changes = {state: {"path": "/set/{backend}/{name}/" + state} for state in ("ready", "maint")}
        balancer = {"traffic_kind": "http", "traffic_endpoint": self._balancer.url, "front_url": f"http://127.0.0.1:{self.ports['app1']}",
                    "traffic_settings": {"path": "/pool/{backend}", "members": "rows", "backends": ["app"], "change": changes}}
        members = {name: {"member_address": "127.0.0.1", "member_port": self.ports[name], "zone": "east", "release_root": str(self.root(name)),
                          **{f"release_{verb}_command": [str(self.directory / "control"), verb, str(self.root(name))] for verb in ("start", "stop", "status")}}
                   for name in MEMBERS}
        return {"all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": str(VENV / "bin/python")},
                        "children": {"load_balancers": {"hosts": {"lb1": balancer}}, "app": {"hosts": members}}}}
