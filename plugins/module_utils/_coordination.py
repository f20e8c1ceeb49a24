# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock at a coordination service, by the library tooz, held by a process beside the controller: see _coordination_holder."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from ansible_collections.alwayson.upgrade.plugins.module_utils import _small_file
from ansible_collections.alwayson.upgrade.plugins.module_utils._controller import Controller, has_ended, started
from ansible_collections.alwayson.upgrade.plugins.module_utils._coordination_holder import CHECK_SECONDS, END_SECONDS

START_SECONDS = 60.0
# A holder whose service was restarted takes the lock again at its next look. Who finds the lock free must have found it so before and after that.
PATIENCE_SECONDS = 2 * CHECK_SECONDS + 1.0
# The holder ends with its controller. This is for one whose controller cannot be watched.
HOLD_SECONDS = 7 * 24 * 3600.0
POLL_SECONDS = 0.05
_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = __name__.rpartition(".")[0]
# The collection's own folder is found whatever else is installed under that name, and without ansible's loader.
_LAUNCH = """
import sys, types
folder, package = sys.argv[1:]
parts = package.split('.')
for end in range(1, len(parts) + 1):
    module = sys.modules['.'.join(parts[:end])] = types.ModuleType(parts[end - 1])
    module.__path__ = [folder] if end == len(parts) else []
import importlib
importlib.import_module(package + '._coordination_holder').main()
"""


class CoordinationError(Exception):
    """The coordination service cannot be asked; the message says why, and holds no password."""


class MissingToozError(CoordinationError):
    """This Python has no tooz."""


class Place(NamedTuple):
    """Where the lock is: the URL as given, and as it may be shown. `identity` tells whether two controllers mean the same lock; it may be empty.

    `is_local`: the same words mean another lock on another machine, also on a clone of this one, which has the same identity.
    """

    url: str
    name: str
    shown: str
    identity: str
    is_local: bool = False


def name_of(service: str) -> str:
    """The coordination lock of a service."""
    return f"alwayson-{service}"


def place_of(url: str, service: str, controller: Controller) -> Place:
    """The place that `url` and `service` mean. Raise CoordinationError for a URL that is none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise CoordinationError(f"coordination_url is no URL: {error}") from None
    if not parts.scheme or not (host or parts.path):
        raise CoordinationError("coordination_url is no URL: give one such as postgresql://user@db1:5432/locks or etcd3+http://etcd1:2379")
    database = "".join(f"?dbname={name}" for name in parse_qs(parts.query).get("dbname", []))
    shown = f"{parts.scheme}://{host}{port}{parts.path}{database}"
    name = name_of(service)
    if parts.scheme != "file" and host and host != "localhost" and not host.startswith("127.") and host != "::1":
        return Place(url, name, shown, f"{name} at {shown}")
    # The same words on another machine mean another service.
    return Place(url, name, shown, f"{name} at {shown} on {controller.machine}" if controller.machine else "", is_local=True)


def take(place: Place, controller: Controller, folder: str) -> bool:
    """Take the lock for the controller, by a process that holds it. True also when the controller has it already; False when somebody else has it.

    What is needed to end that process again is kept in `folder`. Raise CoordinationError when the service cannot be asked.
    """
    if _running(place.name, folder):
        return True
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _LAUNCH, _HERE, _PACKAGE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
    )
    order = {"url": place.url, "name": place.name, "member": f"{controller.run}-{os.getpid()}", "pid": controller.pid, "started": controller.started}
    try:
        answer = _ask(process, {**order, "seconds": HOLD_SECONDS})
        if answer.get("taken"):
            _small_file.replace_json(_path(place.name, folder), {"pid": process.pid, "started": started(process.pid)})
    except BaseException:
        process.kill()
        raise
    if answer.get("taken"):
        # It goes on without us: nobody here waits for its end.
        process.returncode = 0
        return True
    process.wait()
    if "missing" in answer:
        raise MissingToozError(answer["missing"])
    if "error" in answer:
        raise CoordinationError(f"the coordination service at {place.shown} cannot be asked: {_without_secrets(answer['error'], place.url)}")
    return False


def end(name: str, folder: str) -> None:
    """End the process that holds the lock called `name`, if there is one, and wait until it has given the lock back."""
    found = _running(name, folder)
    if not found:
        return
    pid, began = found["pid"], found["started"]
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + END_SECONDS + 5
    while not has_ended(pid, began):
        if time.monotonic() > give_up:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            break
        time.sleep(POLL_SECONDS)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(name, folder))


def _running(name: str, folder: str) -> dict[str, Any]:
    """The process that holds the lock for this controller; empty when there is none."""
    found = _small_file.read_json(_path(name, folder))
    return found if found and not has_ended(found["pid"], found["started"]) else {}


def _ask(process: subprocess.Popen, order: dict) -> dict:
    """Give the holder its order and hear its one line."""
    with process.stdin as speak, process.stdout as hear:
        with contextlib.suppress(BrokenPipeError):
            speak.write(json.dumps(order).encode("utf-8") + b"\n")
            speak.flush()
        said, give_up = b"", time.monotonic() + START_SECONDS
        while not said.endswith(b"\n"):
            ready = select.select([hear], [], [], max(0.0, give_up - time.monotonic()))[0]
            part = os.read(hear.fileno(), 65_536) if ready else b""
            if not part:
                process.kill()
                return {"error": "its process died" if ready else f"it did not answer within {START_SECONDS:g} s"}
            said += part
    return json.loads(said)


def _without_secrets(text: str, url: str) -> str:
    """The driver's words, in which the URL may be quoted."""
    password = urlsplit(url).password or ""
    for secret in filter(None, (url, password, unquote(password))):
        text = text.replace(secret, "***")
    return text


def _path(name: str, folder: str) -> str:
    return os.path.join(folder, f"{name}.holder.json")
