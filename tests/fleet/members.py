# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application servers: each a folder that looks like a host, with a supervisor of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import time
from pathlib import Path

from fleet import artifacts, postgres, processes, service
from fleet.artifacts import Artifact
from fleet.layout import TENANTS, Member
from fleet.ports import Endpoint
from fleet.processes import Process

SUPERVISOR = Path(__file__).resolve().parent / "supervisor.py"
CROWD = SUPERVISOR.with_name("crowd.py")
ANSWER_SECONDS = 15
HEALTHY_SECONDS = 90


class MemberError(Exception):
    """An application server does not answer as it should."""


def set_up(member: Member, artifact: Artifact, database: Endpoint, is_abrupt: bool = False, boot_seconds: float = 0.0) -> None:
    """Make the host's folder, with the release installed and the service configured; one that is abrupt is stopped by SIGKILL."""
    for folder in ("service", "log"):
        (member.directory / folder).mkdir(parents=True)
    if is_abrupt:
        service.Files(member.directory).abrupt.touch()
    artifacts.install(artifact, member.directory)
    environment = {
        "HOST_NAME": member.name,
        "LISTEN": str(member.endpoint),
        "BOOT_SECONDS": str(boot_seconds),
        "TENANTS": json.dumps({tenant: postgres.conninfo(database, name, postgres.APPLICATION, member.name) for tenant, name in TENANTS.items()}),
    }
    (member.directory / "env.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")


def boot(member: Member) -> Process:
    """Start the host's supervisor, which starts the application unless it was told to stop before."""
    return processes.launch(member.name, command(member, "run"), member.directory / "log" / "supervisor.log")


def boot_all(hosts: Path, log: Path) -> Process:
    """Start one process that is all the hosts whose folders are there."""
    return processes.launch(CROWD.stem, [sys.executable, str(CROWD), str(hosts)], log)


def wait_healthy(member: Member, supervisor: Process) -> None:
    """Wait until the member answers that it is healthy."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while True:
        try:
            answer(member, "/healthz")
            return
        except MemberError as error:
            if time.monotonic() > deadline or not supervisor.is_alive:
                log = service.Files(member.directory).log
                raise MemberError(f"{error}; its log {log} ends with:\n{processes.tail(log)}") from error
        time.sleep(0.05)


def command(member: Member, verb: str) -> list[str]:
    """The command that runs, starts, stops or asks the member's service."""
    return [sys.executable, str(SUPERVISOR), verb, str(member.directory)]


def application(member: Member) -> Process | None:
    """The application's process, as its supervisor recorded it."""
    return service.Files(member.directory).application()


def reached(front: Endpoint, count: int) -> set[str]:
    """Who answers when a load balancer is asked as often as it needs to reach each of `count` members twice."""
    served = set()
    for _request in range(2 * count):
        connection = http.client.HTTPConnection(front.address, front.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/version")
            served.add(connection.getresponse().headers["X-Served-By"])
    return served


def answer(member: Member, path: str) -> dict:
    """Ask a member directly, past the load balancers."""
    connection = http.client.HTTPConnection(member.endpoint.address, member.endpoint.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        content = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MemberError(f"{member.name} at {member.endpoint} does not answer {path}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise MemberError(f"{member.name} answers {path} with {response.status}: {content}")
    return content
