# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx as a load balancer, without an API: the servers of an upstream are in a file, ``down`` takes one out, and a reload makes it so.

A reload leaves the requests in flight to the old workers, which end when they are through: as long as one is there, a member that went out may have requests.
nginx does not report which configuration a worker has read. It is known after a reload by this collection, if ``nginx -T`` showed the file's text, see
`loaded`. So nginx is reloaded at each change, and before the first one where nothing is known. A reload is requested while the master does nothing else, and
counts only when more workers were seen than before, or all old ones leaving: a worker that dies is restarted with what the master has read last. Clients that
reuse a connection at the moment of a reload may see it closed. Source: nginx's documentation on controlling nginx, and of the directive ``server`` of
``ngx_http_upstream_module``.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Collection, Mapping
from typing import Callable, NamedTuple

from ...._host.config_file import ConfigFile
from ...._host.patience import Patience, UnavailableError
from ...._host.private_copy import open_regular
from ...._host.waiting import wait_for
from ...demands import Findings, looked_at
from ...drained_members import OutMembers
from ...interface import READY, UNCHECKED, Backend, LoadBalancerError, Member, View, require_members, settings_of
from . import loaded as nginx_loaded
from .configuration import ConfigurationError, Directive, Server, is_in_dump, servers, upstreams, with_servers
from .demands import DEMANDS, Facts
from .loaded import Key, Loaded, Origin
from .processes import Worker, began_of, is_idle, other_masters, title_of, workers_of

# What nginx is called as, with which options; where its master writes its process id.
SETTINGS: dict[str, object] = {"command": ["nginx"], "pid_file": "/run/nginx.pid"}
TEST_SECONDS, RELOAD_SECONDS, RELOAD_PAUSE_SECONDS = 30, 20.0, 0.02
# A master that waits for signals again for so long, with the same workers, has not taken its configuration.
REFUSED_SECONDS = 2.0
# The workers of a reload that another program began a moment before are replaced by ours when nginx has read its configuration once more: for so long, or
# twice as long as it took to test that, new ones have to be seen alike.
STEADY_SECONDS = 0.2
NOTE = "nginx reports neither a member's requests in flight nor its health. The proof is that no worker of an earlier configuration is left"
HELD = ("workers from before a reload ({pids}) stay until the last of their connections ends, such as a WebSocket, of any upstream: "
        "ss -tnp shows them")
UNPROVEN = ("nginx does not tell the health of its members: they count as live while they are not down, and come back after their smoke test",)
UNREAD = "whether its workers have read the current {path} is unknown: nginx is reloaded before a member is changed"


class Dump(NamedTuple):
    """What nginx says to -T while the file has this text; `problem` is why it says nothing."""

    text: str
    output: str
    problem: str


class Seen(NamedTuple):
    """The file, the master and every worker at one moment; `loaded` is what is known of the workers, None when nothing is known."""

    text: str
    master: int
    workers: list[Worker]
    loaded: Loaded | None

    @property
    def have_read(self) -> bool:
        """Whether all workers of the master that take requests are known to have read the file as it is."""
        return self.loaded is not None and not any(worker.key in self.loaded.unknown for worker in _serving_for(self.master, self.workers))

    def may_serve(self, upstream: str, member: str) -> list[Worker]:
        """The workers that may have requests for a member that is down. What the workers of another master have read is not known."""
        return [worker for worker in self.workers
                if self.loaded is None or worker.master != self.master or worker.key in self.loaded.before(upstream, member)]


class Nginx:
    """One nginx on this host; `endpoint` is ``file:`` and the absolute path of the file with the ``upstream`` blocks."""

    options: tuple[str, ...] = ("settings", "headers")
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
        self._dump: Dump | None = None
        # What was found of each upstream, and of which facts; other masters, looked for once.
        self._found: dict[str, tuple[Facts, Findings]] = {}
        self._strangers: tuple[int, ...] | None = None
        # Of a reload under way: what was known before it, which members were down, the workers that were there, and those that it is to end.
        self._former: Loaded | None = None
        self._was_down: dict[str, set[str]] = {}
        self._there: set[Key] = set()
        self._old: list[Worker] = []
        # The file to be read; whether the master was signalled, and its answer is not known; whether the new workers have read it.
        self._asked: Origin | None = None
        self._is_signalled = self._is_taken = False
        self._steady_seconds = STEADY_SECONDS

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: what the file says. Workers that are not known to have read it count as requests in flight of members that are out."""
        seen = self._patience.call(self._seen)
        pools = self._upstreams(seen.text)
        if backend is not None and backend not in pools:
            raise self._error(f"has no upstream {backend!r} in its file: it has {', '.join(sorted(pools)) or 'none'}")
        return View("", {name: self._pool(name, block, seen) for name, block in pools.items() if backend in (None, name)})

    def synchronize(self, backend: str, out: Collection[str]) -> list[str]:
        """See `Synchronizing`: reload nginx unless its workers are known to have read the file. A reload takes nothing back and leaves nothing behind."""
        if not self._patience.call(self._seen).have_read:
            self._reload(lambda now: now)
        return []

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: the file, tested, and a reload. Returns when only workers of the new configuration take requests."""
        require_members(f"{self.name} ({self.endpoint})", backend, self.read(backend).backends[backend].members, changes)
        down = {name: change != READY for name, change in changes.items()}
        self._reload(lambda text: with_servers(text, backend, down))
        self._out.ask(backend, changes)

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        entries = ", ".join(f"{name} {'without' if change == READY else 'with'} down" for name, change in changes.items())
        return f"in {self._file.path} write {entries}; then {shlex.join([*self._settings['command'], '-s', 'reload'])}"

    def _pool(self, name: str, block: tuple[Directive, ...], seen: Seen) -> Backend:
        facts = self._facts(name, block, seen)
        if name not in self._found or self._found[name][0] != facts:
            self._found[name] = facts, looked_at(DEMANDS, facts)
        found = self._found[name][1]
        unread = () if seen.have_read else (UNREAD.format(path=self._file.path),)
        members = {address: self._member(name, address, server, seen.may_serve(name, address)) for address, server in servers(block).items()}
        return Backend(members, None, (*unread, *found.notes), found.refusals, UNPROVEN)

    def _member(self, backend: str, name: str, server: Server, left: list[Worker]) -> Member:
        leaving = ", ".join(str(worker.pid) for worker in left if worker.is_leaving)
        return Member(address=name, admin=self._out.admin(backend, name, not server.is_down), health=UNCHECKED, sessions=len(left) if server.is_down else 0,
                      weight=server.weight, backup=server.is_backup or server.is_drained, probed=False, note=NOTE,
                      sessions_note=HELD.format(pids=leaving) if leaving else "")

    def _facts(self, name: str, block: tuple[Directive, ...], seen: Seen) -> Facts:
        dump, serving = self._dumped(seen.text), _serving(seen.workers)
        if self._strangers is None:
            self._strangers = tuple(other_masters(seen.master))
        return Facts(
            name, block, self._file.path, seen.text, shlex.join(self._settings["command"]), dump.output, dump.problem, title_of(seen.master),
            elders=tuple(sorted({worker.master for worker in serving} - {seen.master, 0})),
            orphans=tuple(worker.pid for worker in serving if not worker.master),
            strangers=self._strangers,
        )

    def _upstreams(self, text: str) -> dict[str, tuple[Directive, ...]]:
        try:
            return upstreams(text)
        except ConfigurationError as error:
            raise self._error(f"is configured in {self._file.path}, which cannot be understood: {error}") from error

    def _seen(self) -> Seen:
        """What is there now. Where the workers have not read the file, a change may be under way: it is waited for."""
        seen = self._now()
        if not seen.have_read and os.path.exists(self._file.hidden("lock")):
            with contextlib.ExitStack() as held:
                # An account that may not take the lock only looks.
                with contextlib.suppress(LoadBalancerError):
                    held.enter_context(self._file.locked())
                return self._now()
        return seen

    def _now(self) -> Seen:
        text, master = self._file.read(), self._master()
        workers = self._workers(master)
        if not _serving_for(master, workers):
            raise self._unavailable(f"has no worker that takes requests under the process of {self._settings['pid_file']}: "
                                    "is it running, with a master process?")
        return Seen(text, master, workers, self._known(text, master))

    def _known(self, text: str, master: int) -> Loaded | None:
        """What is known of the workers while the master and the file are those of our last reload."""
        loaded = nginx_loaded.read(self._file.hidden("loaded"))
        return loaded if loaded and loaded.origin == self._origin(text, master) else None

    def _origin(self, text: str, master: int) -> Origin:
        status = os.stat(self._file.path)
        return Origin((master, began_of(master)), (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size), nginx_loaded.digest(text))

    def _dumped(self, text: str) -> Dump:
        """What nginx says of its configuration, asked once while the file stays as it is."""
        if self._dump is None or self._dump.text != text:
            self._dump = self._ask_for_dump(text)
        return self._dump

    def _ask_for_dump(self, text: str) -> Dump:
        argv, began = [*self._settings["command"], "-T", "-q"], self._steady()
        try:
            done = subprocess.run(argv, capture_output=True, timeout=TEST_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return Dump(text, "", f"{shlex.join(argv)} cannot be run: {error}")
        self._steady_seconds = max(STEADY_SECONDS, 2 * (self._steady() - began))
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        return Dump(text, done.stdout.decode("utf-8", "surrogateescape"), f"{shlex.join(argv)} says {said}" if done.returncode else "")

    def _reload(self, change: Callable[[str], str]) -> None:
        """Change the file, and have nginx read it."""
        def remembered(text: str) -> str:
            seen = self._now()
            self._former, self._was_down, self._old = self._known(text, seen.master), _down(self._upstreams(text)), []
            self._asked, self._is_signalled, self._is_taken = None, False, False
            self._there = {worker.key for worker in seen.workers}
            return change(text)
        self._file.rewrite(remembered, self._begin_reload, self._finish_reload, self._keep_known)

    def _keep_known(self) -> None:
        """The file says again what it said before, and is another one: what was known holds on, unless workers have begun since."""
        if self._is_signalled:
            return
        with contextlib.suppress(LoadBalancerError, OSError):
            seen = self._now()
            origin = self._origin(seen.text, seen.master)
            if self._former and self._former.origin._replace(file=origin.file) == origin and {worker.key for worker in seen.workers} <= self._there:
                nginx_loaded.write(self._file.hidden("loaded"), self._former._replace(origin=origin))

    def _begin_reload(self) -> None:
        """Test the configuration and reload nginx, unless its workers have read it already."""
        seen = self._now()
        if seen.have_read:
            return
        self._asked = self._origin(seen.text, seen.master)
        self._dump = self._ask_for_dump(seen.text)
        if self._dump.problem:
            raise self._error(f"does not accept its configuration, so it is not reloaded: {self._dump.problem}")
        if not is_in_dump(self._dump.output, seen.text):
            command = shlex.join(self._settings["command"])
            raise self._error(f"does not read {self._file.path}, so it is not reloaded: {command} -T shows no file with that text")
        if not self._hang_up():
            raise self._error(f"has not finished a reload by another program within {RELOAD_SECONDS:g} s, so it is not reloaded: see its error log")
        self._is_taken = self._has_taken()

    def _hang_up(self) -> bool:
        """Send the master a reload while it is not in an earlier one; False when it is never idle."""
        if not wait_for(lambda: is_idle(self._master()) is not False and self._begun(), RELOAD_SECONDS, RELOAD_PAUSE_SECONDS, self._steady, self._sleep):
            return False
        seen = self._now()
        self._old = seen.workers
        try:
            os.kill(seen.master, signal.SIGHUP)
        except OSError as error:
            raise self._error(f"cannot be reloaded by this account: {error.strerror}") from error
        self._is_signalled = True
        return True

    def _has_taken(self) -> bool:
        """Whether workers of the new configuration take the requests in time. Where no reload was seen to begin them, they may replace dead ones: once more."""
        give_up = self._steady() + RELOAD_SECONDS
        while True:
            are_new, is_reloaded = self._generation(give_up - self._steady())
            if are_new and is_reloaded:
                return True
            if not are_new or self._steady() >= give_up or not self._hang_up():
                return False

    def _generation(self, seconds: float) -> tuple[bool, bool]:
        """Whether others than the old workers take requests, the same for a while, and whether a reload was seen to begin them."""
        seen: list[tuple[float, set[Key]]] = []
        master, at_work, is_reloaded = self._master(), self._steady(), False
        old = {worker.key for worker in self._old}
        served = {worker.key for worker in _serving_for(master, self._old)}

        def are_new() -> bool:
            nonlocal at_work, is_reloaded
            workers, now = self._workers(master), self._steady()
            begun = {worker.key for worker in _serving_for(master, workers)}
            is_reloaded = is_reloaded or len(begun) > len(served) or served <= {worker.key for worker in workers if worker.is_leaving}
            if begun != served or is_idle(master) is not True:
                at_work = now
            elif now - at_work >= REFUSED_SECONDS:
                self._is_signalled = False
                raise self._error("has not taken its configuration at a reload, and still runs with the previous one: see its error log")
            if not begun or begun & old:
                seen.clear()
                return False
            if not seen or seen[0][1] != begun:
                seen[:] = [(now, begun)]
            return now - seen[0][0] >= self._steady_seconds
        return bool(wait_for(are_new, seconds, RELOAD_PAUSE_SECONDS, self._steady, self._sleep)), is_reloaded

    def _finish_reload(self) -> None:
        """Remember what workers have read. The file stays as it is when they do not come: they may come yet."""
        if not self._asked:
            return
        if not self._is_taken:
            raise self._error(f"has not begun new workers within {RELOAD_SECONDS:g} s after its reload: see its error log")
        text = self._file.read()
        # Where another program has written it meanwhile, it is not known which of the two was read.
        if self._origin(text, self._master()) == self._asked:
            alive = [worker.key for worker in self._old]
            known = nginx_loaded.after_reload(self._asked, alive, self._former, _down(self._upstreams(text)), self._was_down)
            nginx_loaded.write(self._file.hidden("loaded"), known)

    def _begun(self) -> set[Key]:
        """The workers of the master that take requests."""
        master = self._master()
        return {worker.key for worker in _serving_for(master, self._workers(master))}

    def _master(self) -> int:
        path = self._settings["pid_file"]
        try:
            with open_regular(path) as file:
                return int(file.read(100).decode("ascii"))
        except (OSError, ValueError) as error:
            raise self._unavailable(f"has no process id in {path} ({error}): is it running here, and is that the pid_file of its configuration?") from error

    def _unavailable(self, what: str) -> UnavailableError:
        """It is being restarted, perhaps."""
        return UnavailableError(str(self._error(what)))

    def _error(self, what: str) -> LoadBalancerError:
        return LoadBalancerError(f"{self.name} ({self.endpoint}) {what}")


def _serving(workers: list[Worker]) -> list[Worker]:
    return [worker for worker in workers if not worker.is_leaving]


def _serving_for(master: int, workers: list[Worker]) -> list[Worker]:
    return [worker for worker in _serving(workers) if worker.master == master]


def _down(pools: Mapping[str, tuple[Directive, ...]]) -> dict[str, set[str]]:
    return {name: {address for address, server in servers(block).items() if server.is_down} for name, block in pools.items()}
