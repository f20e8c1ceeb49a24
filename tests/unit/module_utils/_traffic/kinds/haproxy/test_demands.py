# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy's configuration says of clients that reach a member in maintenance, and where that is read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.demands import looked_at
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.demands import (
    DEMANDS, Facts, agent_seconds, files_of, is_local, lines_of_process, persistence_of,
)

PERSIST = "option persist has clients that are bound to a member reach it in maintenance, too: write no option persist into backend app"


def found(text, name="app"):
    return looked_at(DEMANDS, Facts(name, tuple(persistence_of(text.splitlines()).get(name, ()))))


@pytest.mark.parametrize(("text", "is_refused"), [
    ("backend app\n  option persist\n", True),
    ("listen app\n\toption   persist # for carts\n", True),
    ("backend app\n  option \"persist\"\n", True),
    ("backend 'app'\n  option pers\\ist\n", True),
    ("backend app\n  option \"persist # with no end\n", False),
    ("backend app\n  #option persist\n  option redispatch\n  cookie SRV insert\n", False),
    ("backend app\n  no option persist\n", False),
    ("backend app\n  option persist\n  no option persist\n", False),
    ("backend other\n  option persist\nbackend app\n  mode http\n", False),
    ("defaults\n  option persist\nbackend app\n", True),
    ("defaults\n  option persist\nbackend app\n  no option persist\n", False),
    ("defaults\n  option persist\ndefaults\n  mode http\nbackend app\n", False),
    ("defaults carts\n  option persist\ndefaults plain\nbackend app from carts\n", True),
    ("defaults carts\n  option persist\ndefaults plain from carts\nbackend app\n", True),
    ("defaults carts\n  option persist\nbackend app from unknown\n", False),
    ("backend app\nfrontend users\n  option persist\n", False),
    ("backend app\npeers us\n  option persist\n", False),
    ("", False),
])
def test_persistence_in_maintenance_is_refused(text, is_refused):
    assert found(text) == (((PERSIST,) if is_refused else ()), ())


def test_a_condition_that_forces_it_is_noted():
    refusals, notes = found("backend app\n  force-persist if { src 10.0.0.1 } # the testers\n")
    assert refusals == () and notes == ("force-persist if { src 10.0.0.1 }: clients that meet this condition reach a member in maintenance, too",)


@pytest.mark.parametrize(("lines", "seconds"), [
    ((), 3.5), (("  server s1 10.0.0.1:80 agent-check agent-inter 500",), 3.5), (("  default-server agent-inter 10s", "  server s1 agent-inter 4000"), 15.5),
])
def test_the_longest_interval_of_agents_is_waited_for(lines, seconds):
    assert agent_seconds(lines) == seconds


@pytest.mark.parametrize(("endpoint", "local"), [("unix:/run/haproxy.sock", True), ("tcp://127.0.0.9:1", True), ("tcp://10.0.0.1:9999", False),
                                                 ("tcp://lb1:9999", False), ("tcp://[::1]x", False)])
def test_only_what_runs_here_for_certain_is_read(endpoint, local):
    assert is_local(endpoint) == local


def test_the_files_are_those_of_the_command_line(tmp_path):
    folder = tmp_path / "conf.d"
    folder.mkdir()
    for name in ("b.cfg", "a.cfg", "c.txt"):
        (folder / name).write_text("", encoding="utf-8")
    argv = ["haproxy", "-Ws", "-f", "/etc/haproxy.cfg", "-f", str(folder), "-p", "/run/x.pid", "-C", "sub", "-sf", "7", "--", "last.cfg", ""]
    assert files_of(argv, "/srv") == ["/etc/haproxy.cfg", str(folder / "a.cfg"), str(folder / "b.cfg"), "/srv/sub/last.cfg"]


def test_a_process_of_this_host_is_read_and_what_cannot_be_is_reported(tmp_path):
    (tmp_path / "haproxy.cfg").write_text("backend app\n  option persist\n", encoding="utf-8")
    (tmp_path / "haproxy").symlink_to(sys.executable)
    argv = [str(tmp_path / "haproxy"), "-c", "import sys; print(flush=True); sys.stdin.read()", "-f", "haproxy.cfg"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        try:
            process.stdout.readline()
            assert lines_of_process("unix:/run/x.sock", process.pid) == ("backend app", "  option persist")
            assert lines_of_process("tcp://10.0.0.1:1", process.pid) is lines_of_process("unix:/run/x.sock", 0) is None
            assert lines_of_process("unix:/run/x.sock", os.getpid()) is None
            os.remove(tmp_path / "haproxy.cfg")
            assert lines_of_process("unix:/run/x.sock", process.pid) is None
        finally:
            process.stdin.close()
