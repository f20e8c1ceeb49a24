# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx as a load balancer, without an API: the servers of an upstream are in a file, ``down`` takes one out, and a reload makes it so.

A reload leaves the requests in flight to the old workers, which end when they are through: as long as one is there, a member that went out may have
requests. Clients that reuse a connection in the moment of a reload can meet its end. Source: nginx's documentation on controlling nginx, and of the directive
``server`` of ``ngx_http_upstream_module``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from typing import Callable, Iterator, Mapping, NamedTuple

from ansible_collections.alwayson.upgrade.plugins.module_utils._config_file import ConfigFile
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import (
    READY,
    UNCHECKED,
    Backend,
    LoadBalancerError,
    Member,
    View,
    require_members,
    settings_of,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._out_members import OutMembers
from ansible_collections.alwayson.upgrade.plugins.module_utils._patience import Patience, UnavailableError
from ansible_collections.alwayson.upgrade.plugins.module_utils._small_file import READABLE, SmallFileError, read_json, replace
from ansible_collections.alwayson.upgrade.plugins.module_utils._waiting import wait_for

# What nginx is called as, with which options; where its master writes its process id.
SETTINGS: dict[str, object] = {"command": ["nginx"], "pid_file": "/run/nginx.pid"}
TEST_SECONDS, RELOAD_SECONDS, RELOAD_PAUSE_SECONDS = 30, 20.0, 0.05
# With this precision a worker's start can be compared with a file's time.
START_PRECISION_SECONDS = 0.05
NOTE = "nginx does not tell a member's requests in flight, nor its health: that no worker of an earlier configuration is left is the proof"

# Both look at a text whose comments are blanks.
_UPSTREAM = re.compile(r"(?<![^\s;}])upstream\s+(?P<name>[^\s{]+)\s*\{(?P<body>[^}]*)\}")
_SERVER = re.compile(r"(?<![^\s;{])server\s+(?P<address>[^\s;]+)(?P<options>[^;]*);")
_DOWN = re.compile(r"\s+down(?=\s|$)")
_SHUTTING_DOWN = "shutting down"


class Worker(NamedTuple):
    """A child of the master: whether it only ends what it has, and when it began: in epoch seconds, computed anew at each look, and in the kernel's ticks."""

    pid: int
    is_leaving: bool
    began: float
    ticks: int = 0


class Nginx:
    """One nginx on this host; `endpoint` is ``file:`` and the absolute path of the file with the ``upstream`` blocks."""

    can_cut = False

    def __init__(self, name: str, endpoint: str, settings: Mapping[str, object], headers: Mapping[str, str],
                 steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 workers: Callable[[int], list[Worker]] | None = None, patience: Patience | None = None) -> None:
        self.name, self.endpoint = name, endpoint
        if headers:
            raise self._error("has headers, and nginx has no API")
        if not endpoint.startswith("file:/"):
            raise self._error("is no endpoint: write file: and the absolute path of the file with the upstream blocks")
        self._settings = settings_of(name, "nginx", settings, SETTINGS)
        self._file = ConfigFile(endpoint[len("file:"):], self._error)
        self._steady, self._sleep, self._workers = steady, sleep, workers or workers_of
        self._out = OutMembers(steady)
        self._patience = patience or Patience()

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: what the file says, which the workers have read."""
        text, workers = self._patience.call(self._loaded)
        upstreams = parse_upstreams(text)
        if backend is not None and backend not in upstreams:
            raise self._error(f"has no upstream {backend!r} in its file: it has {', '.join(sorted(upstreams)) or 'none'}")
        leaving = sum(worker.is_leaving for worker in workers)
        return View("", {name: Backend({server: self._member(name, server, is_down, leaving) for server, is_down in servers.items()})
                         for name, servers in upstreams.items() if backend in (None, name)})

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: the file, tested, and a reload. Returns when only workers of the new configuration take requests."""
        servers = self.read(backend).backends[backend].members
        require_members(f"{self.name} ({self.endpoint})", backend, servers, changes)
        down = {name: change != READY for name, change in changes.items()}
        old: set[int] = set()
        self._file.rewrite(lambda text: with_servers(text, backend, down), lambda: old.update(self._begin_reload()), lambda: self._finish_reload(old))
        self._out.ask(backend, changes)

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        told = ", ".join(f"{name} {'without' if change == READY else 'with'} down" for name, change in changes.items())
        return f"in {self._file.path} write {told}; then {shlex.join([*self._settings['command'], '-s', 'reload'])}"

    def _member(self, backend: str, name: str, is_out: bool, leaving: int) -> Member:
        return Member(address=name, admin=self._out.admin(backend, name, not is_out), health=UNCHECKED, sessions=leaving if is_out else 0, probed=False,
                      note=NOTE)

    def _loaded(self) -> tuple[str, list[Worker]]:
        """The file, and the workers, of which those that take requests have read it; LoadBalancerError when they have not."""
        text, workers = self._now()
        if self._have_read(text, workers):
            return text, workers
        # A change may be under way.
        with self._file.locked():
            text, workers = self._now()
            if not self._have_read(text, workers):
                raise self._error("was not reloaded since its file was changed, so what the file says is not what happens. Look at the file, then reload: "
                                  + shlex.join([*self._settings["command"], "-s", "reload"]))
        return text, workers

    def _now(self) -> tuple[str, list[Worker]]:
        return self._file.read(), self._workers(self._master())

    def _begin_reload(self) -> set[int]:
        """Test the configuration and tell the master to read it; returns the workers that are to leave, none when they have read the file already."""
        if self._have_read(*self._now()):
            return set()
        argv = [*self._settings["command"], "-t", "-q"]
        try:
            tested = subprocess.run(argv, capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._error(f"cannot test its configuration by {shlex.join(argv)}: {error}") from error
        if tested.returncode:
            raise self._error(f"does not accept its configuration, so it is not reloaded: {' '.join(tested.stderr.split())}")
        master = self._master()
        workers = {worker.pid for worker in self._workers(master)}
        try:
            os.kill(master, signal.SIGHUP)
        except OSError as error:
            raise self._error(f"cannot be reloaded by this account: {error.strerror}") from error
        return workers

    def _finish_reload(self, old: set[int]) -> None:
        """Wait until workers of the new configuration take the requests. The file stays as it is when they do not come: they may come yet."""
        def new_workers() -> list[Worker]:
            serving = _serving(self._workers(self._master()))
            return [] if old & {worker.pid for worker in serving} else serving

        if not old:
            return
        found = wait_for(new_workers, RELOAD_SECONDS, RELOAD_PAUSE_SECONDS, self._steady, self._sleep)
        if not found:
            raise self._error(f"has not begun new workers within {RELOAD_SECONDS:g} s after its reload: see its error log")
        self._remember_loaded(found)

    def _have_read(self, text: str, workers: list[Worker]) -> bool:
        """Whether the workers that take requests have read the file as it is: begun by a reload of ours that left it so, or after its last change."""
        serving = _serving(workers)
        if not serving:
            raise self._unavailable(f"has no worker that takes requests under the process of {self._settings['pid_file']}: "
                                    "is it running, with a master process?")
        ours = self._begun_with(text)
        changed = os.stat(self._file.path).st_mtime
        return all(_key(worker) in ours or worker.began > changed + START_PRECISION_SECONDS for worker in serving)

    def _begun_with(self, text: str) -> set[tuple[int, int]]:
        """The workers (id, start in ticks) that the last reload of ours began, if it left the file so."""
        try:
            found = read_json(self._file.hidden("loaded")) or {}
        except (OSError, SmallFileError):
            return set()
        return {tuple(worker) for worker in found.get("workers", [])} if found.get("sha256") == _digest(text) else set()

    def _remember_loaded(self, serving: list[Worker]) -> None:
        content = {"sha256": _digest(self._file.read()), "workers": [_key(worker) for worker in serving]}
        replace(self._file.hidden("loaded"), json.dumps(content).encode("ascii"), READABLE)

    def _master(self) -> int:
        path = self._settings["pid_file"]
        try:
            with open(path, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError) as error:
            raise self._unavailable(f"has no process id in {path} ({error}): is it running here, and is that the pid_file of its configuration?") from error

    def _unavailable(self, what: str) -> UnavailableError:
        """It is being restarted, perhaps."""
        return UnavailableError(str(self._error(what)))

    def _error(self, what: str) -> LoadBalancerError:
        return LoadBalancerError(f"{self.name} ({self.endpoint}) {what}")


def parse_upstreams(text: str) -> dict[str, dict[str, bool]]:
    """Upstream to its servers' addresses, and whether each is ``down``. Comments do not count."""
    blank = _without_comments(text)
    return {block["name"]: {server["address"]: _is_down(server["options"]) for server in _servers(blank, block)} for block in _UPSTREAM.finditer(blank)}


def with_servers(text: str, upstream: str, down: Mapping[str, bool]) -> str:
    """The text with these servers of an upstream ``down``, or not; all else, comments too, as it is."""
    blank = _without_comments(text)
    edits = []
    for server in (server for block in _UPSTREAM.finditer(blank) if block["name"] == upstream for server in _servers(blank, block)):
        wanted = down.get(server["address"])
        if wanted is None or wanted == _is_down(server["options"]):
            continue
        if wanted:
            # Right behind the address: further on there may be a comment.
            edits.append((server.end("address"), server.end("address"), " down"))
        else:
            edits += [(server.start("options") + word.start(), server.start("options") + word.end(), "") for word in _DOWN.finditer(server["options"])]
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def workers_of(master: int) -> list[Worker]:
    """The worker processes of a master, from ``/proc``."""
    with open("/proc/uptime", encoding="ascii") as file:
        booted = time.time() - float(file.read().split()[0])
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                state = file.read().rpartition(")")[2].split()
            if state[0] == "Z" or int(state[1]) != master:
                continue
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                title = file.read()
        except OSError:
            continue
        if "worker process" in title:
            ticks = int(state[19])
            found.append(Worker(int(pid), _SHUTTING_DOWN in title, booted + ticks / os.sysconf("SC_CLK_TCK"), ticks))
    return found


def _serving(workers: list[Worker]) -> list[Worker]:
    return [worker for worker in workers if not worker.is_leaving]


def _key(worker: Worker) -> tuple[int, int]:
    return worker.pid, worker.ticks


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _is_down(options: str) -> bool:
    return "down" in options.split()


def _servers(blank: str, block: re.Match) -> Iterator[re.Match]:
    return _SERVER.finditer(blank, block.start("body"), block.end("body"))


def _without_comments(text: str) -> str:
    """Blanks in their place, so that everything else stays where it is."""
    return re.sub(r"#[^\n]*", lambda comment: " " * len(comment[0]), text)
