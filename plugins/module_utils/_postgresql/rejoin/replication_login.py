# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a standby of this host would receive the log from: asked as the standby will, by the same account, with its password file and connection string."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Mapping
from typing import Any, Callable

from ..session import PostgresqlError, identify_system

ANSWER_SECONDS = 20.0
MOST_BYTES = 65_536


def identify(conninfo: str, account: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[str, int]:
    """System identifier and timeline of the server that answers; PostgresqlError says why none does.

    :param account: the account to ask as, see `StoppedServer.account`.
    """
    found = _in_a_process(lambda: _asked(conninfo, account, environment))
    if "problem" in found:
        raise PostgresqlError(found["problem"])
    return found["system_identifier"], found["timeline"]


def _asked(conninfo: str, account: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    os.environ.clear()
    os.environ.update(environment)
    if account:
        os.setgroups([])
        os.setgid(account["group"])
        os.setuid(account["user"])
    try:
        system_identifier, timeline = identify_system(conninfo)
    except PostgresqlError as error:
        return {"problem": str(error)}
    return {"system_identifier": system_identifier, "timeline": timeline}


def _in_a_process(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run `work` in a child process, which can change its account; returns its answer."""
    source, sink = os.pipe()
    pid = os.fork()
    if not pid:
        answer = {"problem": "the process that asks has failed"}
        try:
            answer = work()
        except Exception as error:  # pylint: disable=broad-except
            answer = {"problem": str(error)}
        finally:
            os.write(sink, json.dumps(answer).encode("utf-8")[:MOST_BYTES])
            os._exit(0)
    os.close(sink)
    try:
        is_there = select.select([source], [], [], ANSWER_SECONDS)[0]
        said = os.read(source, MOST_BYTES) if is_there else b""
        return json.loads(said) if said else {"problem": f"no answer within {ANSWER_SECONDS:g} s"}
    finally:
        os.close(source)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
