# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two load balancers that drive themselves, one of which takes no flip: the other one flips back, and the same command does it all once both do."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile

import pytest
from fleet.small import MEMBERS, REPOSITORY, SmallFleet
from json_server import JsonServer, Reply

pytestmark = pytest.mark.thorough
OLD, NEW = "1.0.0", "2.0.0"
SERVER = f"""#!{sys.executable}
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({{"release": "RELEASE"}}).encode())

os.chdir(os.path.dirname(os.path.realpath(__file__)))  # the fleet ends what is at work in one of its releases
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class TwoBalancers(SmallFleet):
    """`refuses` is whether the second one takes no member in while the first one serves the new release."""

    refuses = True

    def __enter__(self) -> TwoBalancers:
        self.admin_2, self._second = dict.fromkeys(MEMBERS, "ready"), JsonServer()
        self._second.routes["GET /pool/app"] = lambda _asked: {"rows": [{**self._row(name), "admin": self.admin_2[name]} for name in self.known]}
        for name in MEMBERS:
            for state in ("ready", "maint"):
                self._second.routes[f"POST /set/app/{name}/{state}"] = lambda _asked, name=name, state=state: self._set(name, state)
        self._second.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        self._second.__exit__()
        super().__exit__(*exception)

    def _set(self, name: str, state: str):
        if self.refuses and state == "ready" and any(self.admin[member] == "ready" and release == NEW for member, release in self.current().items()):
            return Reply(500, "the flip is not taken")
        self.admin_2[name] = state
        return {}

    def _inventory(self) -> dict:
        described = super()._inventory()
        hosts = described["all"]["children"]["load_balancers"]["hosts"]
        hosts["lb2"] = {**hosts["lb1"], "traffic_endpoint": self._second.url}
        return described

    def archive(self, release: str) -> dict:
        """The release's archive, as variables."""
        path = self.directory / f"shop-{release}.tar.gz"
        content = SERVER.replace("RELEASE", release).encode()
        with tarfile.open(path, "w:gz") as packed:
            entry = tarfile.TarInfo("bin/run")
            entry.size, entry.mode = len(content), 0o755
            packed.addfile(entry, io.BytesIO(content))
        return {"upgrade_release": release, "upgrade_artifact": str(path), "upgrade_artifact_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_flip_that_one_load_balancer_does_not_take_is_undone_on_the_other():
    with TwoBalancers(REPOSITORY / "build/integration/test_flip_of_two", upgrade_traffic_via=None, upgrade_method="half_pool") as fleet:
        assert fleet.run("install", **fleet.archive(OLD)).code == 0
        run = fleet.run("upgrade", **fleet.archive(NEW))
        assert run.code != 0 and "the flip failed" in run.words and "all traffic is on app3" in run.words, run.output[-4000:]
        assert fleet.current() == dict.fromkeys(MEMBERS, OLD)
        assert [set(fleet.admin.values()), set(fleet.admin_2.values())] == [{"ready"}, {"ready"}]
        fleet.refuses = False
        again = fleet.run("upgrade", **fleet.archive(NEW))
        assert again.code == 0, again.output[-4000:]
        assert fleet.current() == dict.fromkeys(MEMBERS, NEW)
        assert [set(fleet.admin.values()), set(fleet.admin_2.values())] == [{"ready"}, {"ready"}]
        assert not (fleet.directory / "state" / "shop.lock").exists()
        # A rollback names nothing, and the same one again changes nothing.
        for _turn in range(2):
            back = fleet.run("rollback")
            assert back.code == 0 and fleet.current() == dict.fromkeys(MEMBERS, OLD), back.output[-4000:]
        assert json.loads((fleet.directory / "state" / "shop.history.jsonl").read_text(encoding="utf-8").splitlines()[-1])["intent"]["release_to"] == OLD
