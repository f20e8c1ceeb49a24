# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's processes, as the kernel shows them: processes of this test that have their titles."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx import processes as nginx_processes
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx.processes import is_idle, other_masters, workers_of

MASTER = """\
for title in "worker process" "worker process is shutting down" "cache manager process"; do (exec -a "nginx: $title" bash "$1/waiting") <&0 & done
if [ "$2" = old ]; then (exec -a "nginx: master process" bash "$0" "$1" new) <&0 & fi
wait
"""


def test_the_workers_of_a_master_are_those_of_older_and_newer_binaries_too(tmp_path):
    (tmp_path / "master").write_text(MASTER, encoding="utf-8")
    (tmp_path / "waiting").write_text("read x", encoding="utf-8")

    def begun(which):
        argv = ["nginx: master process", str(tmp_path / "master"), str(tmp_path), which]
        return subprocess.Popen(argv, executable="/bin/bash", stdin=subprocess.PIPE, start_new_session=True)
    with begun("old") as old, begun("alone") as other:
        try:
            assert wait_for(lambda: len(workers_of(old.pid)) == 4 and len(workers_of(other.pid)) == 2, 20, 0.05)
            found = workers_of(old.pid)
            new = next(worker.master for worker in found if worker.master != old.pid)
            assert sorted((worker.master, worker.is_leaving) for worker in found) == sorted((pid, leaves) for pid in (old.pid, new) for leaves in (False, True))
            assert workers_of(new) == found == workers_of(old.pid) and len({worker.key for worker in found}) == 4
            assert other_masters(old.pid) == other_masters(new) == [other.pid] and other_masters(other.pid) == sorted([old.pid, new])
            # Its workers live on without it.
            old.kill()
            old.wait()
            assert sorted((worker.master, worker.is_leaving) for worker in workers_of(new)) == [(0, False), (0, True), (new, False), (new, True)]
            assert workers_of(old.pid) == []
            # Those are seen to listen elsewhere: another instance's.
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(nginx_processes, "_listens_at", lambda pid: {"0050"} if pid == new else {"1F90"})
                assert {worker.master for worker in workers_of(new)} == {new}
        finally:
            for process in (old, other):
                process.stdin.close()


def test_where_a_process_listens_is_seen(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local, socket.create_connection(server.getsockname()):
        local.bind(str(tmp_path / "socket"))
        local.listen()
        seen = nginx_processes._listens_at(os.getpid())
        assert {f"{server.getsockname()[1]:04X}", str(os.fstat(local.fileno()).st_ino)} <= seen and str(os.fstat(server.fileno()).st_ino) not in seen
    assert nginx_processes._listens_at(2 ** 30) == set()


def test_a_process_that_blocks_its_signals_is_at_work():
    program = ["python3", "-c", ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP]); print(flush=True); input(); "
                                 "signal.pthread_sigmask(signal.SIG_SETMASK, []); print(flush=True); input()")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            seen = []
            for _step in range(2):
                process.stdout.readline()
                seen.append(is_idle(process.pid))
                process.stdin.write(b"\n")
                process.stdin.flush()
        finally:
            process.stdin.close()
    assert seen == [False, True] and is_idle(2 ** 30) is None
