# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prober as a separate process: it starts detached, writes its identity to a pid file, and ends in an orderly way.

The process is forked with everything imported. So it outlives the folder that Ansible copies a module to, and nothing
about the plan, such as a token in a header, is ever written to disk.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .._host import processes
from .._host.flock import LockError, exclusive
from .._host.small_files import PRIVATE, PRIVATE_FOLDER, SmallFileError, make_folder, replace
from .._host.writers import open_own, other_writers
from .live_figures import LIVE_FILE, RESULT_FILE
from .plan import Plan, ProbeError

if TYPE_CHECKING:
    from .engine import Probe, ProbeLoop

PID_FILE, LOCK_FILE, LOG_FILE = "probe.pid", "probe.lock", "probe.log"
START_SECONDS = 60.0
END_SECONDS = 60.0
# A prober writes its figures every second. One that has not for so long is not waited for.
SILENT_SECONDS = 30.0
POLL_SECONDS = 0.2
FILE_HANDLES_WANTED = 65_536
PRIORITY = -10


class ProbeIncomplete(ProbeError):
    """The prober did not reach its end; `figures` are the last ones that it left, in the form of a result."""

    def __init__(self, message: str, figures: dict[str, Any]) -> None:
        super().__init__(message)
        self.figures = figures


class ProbeProcess(NamedTuple):
    """A process id with the start time of the process, which distinguishes it from a later one with the same id."""

    pid: int
    process_start: str


def find_running(directory: str) -> ProbeProcess | None:
    """The probe that runs in this directory; None when there is none."""
    _require_believable(directory)
    path = os.path.join(directory, PID_FILE)
    noted = _read_json(path)
    if noted is None:
        return None
    if not isinstance(noted, dict) or set(noted) != set(ProbeProcess._fields):
        raise ProbeError(f"{path} does not name a probe: it was not written by one; remove it")
    process = ProbeProcess(noted["pid"], noted["process_start"])
    began = processes.started(process.pid)
    is_running = began == process.process_start and began not in ("", processes.ENDED)
    return process if is_running and _writes_here(process.pid, directory) else None


def require_none_running(directory: str) -> None:
    """Raise ProbeError when a probe runs in this directory."""
    running = find_running(directory)
    if running is not None:
        raise ProbeError(
            f"a probe already runs in {directory} (process {running.pid}): stop it with state=stopped, or give another directory"
        )


def start(plan: Plan, directory: str, ends_with: int | None = None) -> ProbeProcess:
    """Start a detached probe in `directory`, and return when it is about to send its first request.

    It ends when the process `ends_with` does. What an earlier probe left there is replaced. Raise ProbeError when one runs there, or when the new one
    does not come up.
    """
    _require_believable(directory)
    try:
        make_folder(directory, PRIVATE_FOLDER)
    except SmallFileError as error:
        raise ProbeError(str(error)) from error
    try:
        with exclusive(os.path.join(directory, LOCK_FILE), timeout=START_SECONDS):
            require_none_running(directory)
            for name in (RESULT_FILE, LIVE_FILE, PID_FILE):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))
            return _fork(plan, directory, ends_with)
    except LockError as error:
        raise ProbeError(str(error)) from None


def stop(directory: str, min_requests: int, sleep: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Let the probe go on until `min_requests` were scheduled, end it, and return its result. All of it takes a bounded time.

    A probe that has ended by itself gave its result already. Raises ProbeIncomplete when no result can be read.
    """
    running = find_running(directory)
    if running is not None:
        _wait_for_requests(directory, running, min_requests, sleep)
        _terminate(directory, running, sleep)
    return read_result(directory)


def read_live(directory: str) -> dict[str, Any]:
    """The newest live figures, empty when there are none."""
    _require_believable(directory)
    return _read_json(os.path.join(directory, LIVE_FILE)) or {}


def read_result(directory: str) -> dict[str, Any]:
    """The result of the probe that ended in this directory; raise ProbeIncomplete when there is none."""
    _require_believable(directory)
    result = _read_json(os.path.join(directory, RESULT_FILE))
    if result is not None:
        return result
    log = os.path.join(directory, LOG_FILE)
    if os.path.exists(log):
        raise ProbeIncomplete(f"the probe in {directory} ended without a result: read {log}; its last figures are in {LIVE_FILE} beside it",
                              _last_figures(directory))
    raise ProbeIncomplete(f"no probe runs in {directory}, and none has left a result there: start one with state=started", {})


def _require_believable(directory: str) -> None:
    """Raise ProbeError when other accounts may write there: their files could name a process to end, or figures that were not measured."""
    try:
        others = other_writers(directory)
    except FileNotFoundError:
        return
    if others:
        raise ProbeError(f"{directory} {others}, so nothing in it is trusted: name a folder that is made for this account (mode 0700), or remove this one. "
                         "Where every folder has such a mode, give one on another disk, of a whole run by upgrade_report_directory")


def _writes_here(pid: int, directory: str) -> bool:
    """Whether a process has the directory's log for its output, as a probe has; True where the system does not show it."""
    log = os.path.join(directory, LOG_FILE)
    try:
        place = os.readlink(f"/proc/{pid}/fd/1")
        return place.removesuffix(" (deleted)") == os.path.realpath(log) or os.path.samefile(f"/proc/{pid}/fd/1", log)
    except PermissionError:
        # Another user's, which cannot be ended from here anyhow: that is said then.
        return True
    except OSError:
        return not os.path.exists("/proc/self/stat")


def _last_figures(directory: str) -> dict[str, Any]:
    """What a probe that never came to its result had found a moment before."""
    try:
        live = read_live(directory)
    except ProbeError:
        return {}
    if not live:
        return {}
    capacity = live.pop("capacity", None)
    return {**live, "finished": live.pop("now", None), "capacity": [capacity] if capacity else []}


def _wait_for_requests(directory: str, running: ProbeProcess, min_requests: int, sleep: Callable[[float], None]) -> None:
    """Wait while the probe goes on writing figures: one that is stopped or stuck never gets any further."""
    seen, silent = None, 0.0
    while silent < SILENT_SECONDS:
        live = read_live(directory)
        if live.get("requests_scheduled", 0) >= min_requests or find_running(directory) != running:
            return
        silent = silent + POLL_SECONDS if live.get("now") == seen else 0.0
        seen = live.get("now")
        sleep(POLL_SECONDS)


def _terminate(directory: str, running: ProbeProcess, sleep: Callable[[float], None]) -> None:
    """Ask the process to end, also one that is stopped. What is under way has its objective; then the figures are computed. At last, kill it."""
    patience = read_live(directory).get("objective_seconds", 5.0) + END_SECONDS
    for numbers, seconds in (((signal.SIGTERM, signal.SIGCONT), patience), ((signal.SIGKILL,), END_SECONDS)):
        for number in numbers:
            _signal(directory, running, number)
        for _poll in range(int(seconds / POLL_SECONDS)):
            if find_running(directory) != running:
                return
            sleep(POLL_SECONDS)
    raise ProbeIncomplete(f"the probe in {directory} (process {running.pid}) does not end, not even by SIGKILL: read {LOG_FILE} there",
                          _last_figures(directory))


def _signal(directory: str, running: ProbeProcess, number: int) -> None:
    """Send a signal to the process, as long as it is still the probe."""
    if find_running(directory) != running:
        return
    try:
        os.kill(running.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise ProbeError(f"the probe in {directory} (process {running.pid}) belongs to another user: become the one who started it") from None


def _fork(plan: Plan, directory: str, ends_with: int | None) -> ProbeProcess:
    """Start the probe as a daemon, by forking twice, and wait for its first line."""
    # Before the fork, see above. What only reads or ends a probe does without.
    from .engine import Probe, ProbeLoop

    def made() -> tuple[ProbeLoop, Probe]:
        loop = ProbeLoop()
        return loop, Probe(plan, loop)

    hear, speak = os.pipe()
    child = os.fork()
    if child == 0:
        _become_probe(made, directory, speak, ends_with)
    os.close(speak)
    os.waitpid(child, 0)
    try:
        word = _hear(hear)
    finally:
        os.close(hear)
    if "error" in word:
        raise ProbeError(word["error"])
    return ProbeProcess(word["pid"], word["process_start"])


def _hear(pipe: int) -> dict[str, Any]:
    """Read the probe's one line; it closes the pipe when it dies without a word."""
    said = b""
    while not said.endswith(b"\n"):
        if not select.select([pipe], [], [], START_SECONDS)[0]:
            return {"error": f"the probe did not report within {START_SECONDS:g} s: read {LOG_FILE} in its directory"}
        part = os.read(pipe, 65_536)
        if not part:
            return {"error": f"the probe died while starting: read {LOG_FILE} in its directory"}
        said += part
    return json.loads(said)


def _become_probe(made: Callable[[], tuple[ProbeLoop, Probe]], directory: str, speak: int, ends_with: int | None) -> None:
    """Leave everything of the module behind: session, files, working directory, signals. Never returns."""
    status = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _detach(directory, speak)
        _run(made, directory, speak, ends_with)
        status = 0
    except ProbeError as error:
        sys.stderr.write(f"{error}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # Not sys.exit(): what the module has registered to run at its exit is not ours to run.
        os._exit(status)


def _detach(directory: str, speak: int) -> None:
    os.chdir("/")
    os.umask(0o022)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(os.path.join(directory, LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    # Unreferenced objects close their files now, not later, when the descriptors belong to other files.
    gc.collect()
    for source, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, standard)
    for handle in _open_handles():
        if handle > 2 and handle != speak:
            with contextlib.suppress(OSError):
                os.close(handle)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _open_handles() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return list(range(min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0])))


def _raise_handle_limit() -> None:
    """A stalled service holds rate x objective connections: that must not be what the probe fails of."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILE_HANDLES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILE_HANDLES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _raise_priority() -> None:
    """The prober must not queue behind what it measures: raise its priority where this user may. It needs little CPU time."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def _run(made: Callable[[], tuple[ProbeLoop, Probe]], directory: str, speak: int, ends_with: int | None) -> None:
    """Check, report to the module, probe, and leave the result."""
    _raise_handle_limit()
    _raise_priority()
    gc.freeze()
    loop, probe = made()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, probe.stop)
    try:
        me = _myself()
        loop.run_until_complete(probe.check())
    except ProbeError as error:
        _say(speak, {"error": str(error)})
        raise
    write_json(os.path.join(directory, PID_FILE), me._asdict())
    publish = _publisher(os.path.join(directory, LIVE_FILE), probe, ends_with)
    publish(probe.live())
    _say(speak, me._asdict())
    write_json(os.path.join(directory, RESULT_FILE), loop.run_until_complete(probe.run(publish)), durable=True)


def _myself() -> ProbeProcess:
    began = processes.started(os.getpid())
    if not began:
        raise ProbeError("this system does not tell when a process started, neither by /proc nor by ps, so the probe could not be found again: mount /proc")
    return ProbeProcess(os.getpid(), began)


def _publisher(path: str, probe: Probe, ends_with: int | None) -> Callable[[dict[str, Any]], None]:
    """Write the live figures, and end the probe when the process that it is to end with has gone.

    A full disk does not end the measurement: the log says so, and the probe goes on.
    """

    began = None if ends_with is None else processes.started(ends_with)

    def publish(figures: dict[str, Any]) -> None:
        if ends_with is not None and processes.started(ends_with) != began:
            probe.stop()
        try:
            write_json(path, figures)
        except OSError as error:
            sys.stderr.write(f"{path} could not be written: {error}\n")

    return publish


def _say(speak: int, word: dict[str, Any]) -> None:
    """Send the one line to the module. Raises BrokenPipeError, which ends the probe, when the module has exited, because no caller knows of it then."""
    os.write(speak, json.dumps(word).encode("utf-8") + b"\n")
    os.close(speak)


def write_json(path: str, content: dict[str, Any], durable: bool = False) -> None:
    """Replace a file at once: readers see the old content or the new one, never a part."""
    replace(path, json.dumps(content).encode("ascii"), PRIVATE, durable=durable)


def _read_json(path: str) -> dict[str, Any] | None:
    try:
        with open_own(path) as handle:
            return json.load(handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProbeError(f"{path} is not trusted: {error.strerror}. Remove it") from None
    except (ValueError, RecursionError) as error:
        raise ProbeError(f"{path} cannot be understood ({error}): it was not written by a probe; remove it") from None
