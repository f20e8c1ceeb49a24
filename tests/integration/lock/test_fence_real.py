# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence by Ansible: a run that was taken over is refused by every module and role that changes a host, and its orphans are waited for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socketserver
import subprocess
import sys
import tarfile
import threading

import pytest
from operators import COLLECTIONS, wait_for

# Somebody who has begun, and goes on until its input ends.
ORPHAN = {
    "of release": "with fenced(path, 5, 'anna', 0, lock=sys.argv[2]):",
    "of another module": "with fenced_with_peers(path, 5, 'anna', 0):",
}
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[3])
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.fence import fenced, fenced_with_peers
path = sys.argv[1]
{enter}
    print("at work", flush=True)
    sys.stdin.read()
"""


class Stranger(socketserver.StreamRequestHandler):
    """Listens where a load balancer is looked for, and is none: a load balancer that is not there would be asked for again for a while."""

    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"Unknown command.\n\n")


@pytest.fixture(name="stranger")
def _stranger():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Shop:
    """A host with a release to go to, and a fence for everything else."""

    def __init__(self, operators, balancer=""):
        self.folder = operators.folder
        self.balancer = balancer
        self.root = self.folder / "shop"
        self.path = self.folder / "shop.fence"
        self.artifact = self.folder / "shop-2.0.0.tar.gz"
        with tarfile.open(self.artifact, "w:gz") as tar:
            info = tarfile.TarInfo("VERSION")
            info.size = 5
            tar.addfile(info, io.BytesIO(b"2.0.0"))
        self.sha256 = hashlib.sha256(self.artifact.read_bytes()).hexdigest()
        (self.folder / "migrations").mkdir()

    def release(self, token, role=False):
        fence = {"token": token, "owner": "bob" if token > 5 else "anna"}
        if role:
            variables = {"release_root": str(self.root), "release_version": "2.0.0", "release_artifact": str(self.artifact), "release_sha256": self.sha256,
                         "release_fence": fence}
            return {"ansible.builtin.include_role": {"name": "alwayson.upgrade.release"}, "vars": variables}
        return {"alwayson.upgrade.release": {"root": str(self.root), "version": "2.0.0", "state": "staged", "artifact": str(self.artifact),
                                             "sha256": self.sha256, "fence": fence}}

    def others(self, token):
        """Every other module and role with a fence. None of what they would reach is there, so only the fence can be what is complained of."""
        fence = {"token": token, "owner": "bob" if token > 5 else "anna", "path": str(self.path)}
        nowhere = {"login_host": "127.0.0.1", "login_port": 1}
        balancers = [{"name": "lb1", "endpoint": self.balancer}]
        calls = [{"host": "localhost", "load_balancers": balancers}]
        modules = {
            "traffic_member": {"load_balancers": balancers, "backend": "app", "members": ["app1"], "state": "drained", "timeout": 60},
            "database_migration": {**nowhere, "release": "2.0.0", "phase": "expand", "steps": []},
            "database_backup": {**nowhere, "directory": str(self.folder / "backups")},
        }
        roles = {
            "pool_member": {"calls": calls, "timeout": 60},
            "cutover": {"calls": calls, "in": ["app1"], "timeout": 60},
            "migration": {"directory": str(self.folder / "migrations"), "release": "2.0.0", "phase": "expand", "login_host": "127.0.0.1", "login_port": 1},
            "database_backup": {"directory": str(self.folder / "backups"), "login_host": "127.0.0.1", "login_port": 1},
        }
        tasks = [({f"alwayson.upgrade.{name}": {**options, "fence": fence}}, {}) for name, options in modules.items()]
        for name, options in roles.items():
            for entry in ("out", "in") if name == "pool_member" else ("main",):
                role = {"ansible.builtin.include_role": {"name": f"alwayson.upgrade.{name}", "tasks_from": entry}}
                tasks.append((role, {f"{name}_{option}": value for option, value in {**options, "fence": fence}.items()}))
        return [{"block": [{**task, "vars": variables}], "rescue": [{"ansible.builtin.debug": {"msg": "refused {{ ansible_failed_result | to_json }}"}}]}
                for task, variables in tasks]


@contextlib.contextmanager
def orphan(kind, path, lock=""):
    command = [sys.executable, "-c", PROGRAM.format(enter=ORPHAN[kind]), str(path), str(lock), str(COLLECTIONS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "at work\n"
            yield process
        finally:
            process.kill()


def test_the_release_of_a_run_that_was_taken_over_is_refused(operators):
    shop = Shop(operators)
    first = operators.run(shop.release(5, role=True))
    assert first.code == 0 and (shop.root / "current" / "VERSION").read_text(encoding="utf-8") == "2.0.0", first.output
    assert operators.run(shop.release(6)).code == 0
    before = sorted(str(path) for path in shop.root.rglob("*"))
    for role in (True, False):
        refused = operators.run(shop.release(5, role), arguments=("--check",) if role else ())
        assert refused.code != 0 and "this run holds token 5, but bob has taken over with token 6" in refused.words, refused.output
    assert sorted(str(path) for path in shop.root.rglob("*")) == before
    assert json.loads((shop.root / ".fence").read_text(encoding="utf-8"))["token"] == 6


def test_everything_else_that_changes_a_host_is_refused_before_it_reaches_for_anything(operators, stranger):
    shop = Shop(operators, stranger)
    shop.path.write_text(json.dumps({"token": 6, "owner": "bob", "at": 1798761600.0}), encoding="utf-8")
    tasks = shop.others(5)
    run = operators.run(*tasks)
    assert run.code == 0, run.output
    assert run.output.count("refused {") == len(tasks) == 8
    assert run.words.count("this run holds token 5, but bob has taken over with token 6 (here since 2027-01-01 00:00:00 UTC") >= len(tasks)
    passed = operators.run(*shop.others(7))
    assert passed.code == 0 and passed.output.count("refused {") == 8 and "holds token" not in passed.words, passed.output
    assert json.loads(shop.path.read_text(encoding="utf-8"))["token"] == 7 and not (shop.folder / "backups").exists()


@pytest.mark.parametrize("kind", ORPHAN)
def test_what_a_dead_controller_left_at_work_is_waited_for(operators, kind, stranger):
    shop = Shop(operators, stranger)
    if kind == "of release":
        shop.root.mkdir()
        fence, tasks = shop.root / ".fence", [shop.release(6)]
    else:
        fence, tasks = shop.path, [shop.others(6)[0]]
    with orphan(kind, fence, shop.root / ".lock") as first, operators.begun(*tasks) as process:
        wait_for(lambda: json.loads(fence.read_text(encoding="utf-8"))["token"] == 6, process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        assert first.poll() is None
        first.stdin.close()
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert (shop.root / "releases" / "2.0.0").is_dir() if kind == "of release" else stranger in output
