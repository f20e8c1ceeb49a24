# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose report cannot be written any more: the report and as-built.yml are elsewhere, the lock is released, and the next command can be pasted."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from fleet.small import MEMBERS, REPOSITORY, SmallFleet

RUN = f'''#!{sys.executable}
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"release": "RELEASE"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


os.chdir(os.path.dirname(os.path.abspath(__file__)))
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def archive(directory: Path, release: str) -> dict[str, str]:
    """The release's archive, as variables."""
    path = directory / f"shop-{release}.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        content = RUN.replace("RELEASE", release).encode()
        member = tarfile.TarInfo("bin/run")
        member.size, member.mode = len(content), 0o755
        packed.addfile(member, io.BytesIO(content))
    return {"upgrade_release": release, "upgrade_artifact": str(path), "upgrade_artifact_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture
def fleet():
    with SmallFleet(REPOSITORY / "build/integration/test_ends") as fleet:
        yield fleet


def pasted(fleet, line: str) -> subprocess.CompletedProcess:
    """What a shell makes of a line of the last message."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(fleet.directory / "ansible"),
                   "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build/collections")}
    return subprocess.run(["bash", "-c", line], cwd="/", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


def test_a_report_that_cannot_be_written_is_elsewhere_and_the_next_command_can_be_pasted(fleet):
    assert fleet.run("install", **archive(fleet.directory, "1.0.0")).code == 0
    report = fleet.directory / "report"
    hook = fleet.directory / "hook.yml"
    task = {"name": "Put a file in the place of the report", "ansible.builtin.shell": f"rm -rf {report}; touch {report}"}
    hook.write_text(json.dumps([task]), encoding="utf-8")
    run = fleet.run("upgrade", upgrade_after_open=[str(hook)], **archive(fleet.directory, "2.0.0"))
    assert run.code != 0 and fleet.current() == dict.fromkeys(MEMBERS, "2.0.0"), run.output[-3000:]
    assert not (fleet.directory / "state/shop.lock").exists()
    [elsewhere] = {Path(found) for found in re.findall(r"it is in (\S*alwayson-report-\w+)", run.output)}
    assert {path.name for path in elsewhere.iterdir()} == {"report.html", "report.json", "as-built.yml"}
    [status] = [line for line in run.output.splitlines() if line.endswith("# shows what runs where")]
    answer = pasted(fleet, status)
    assert answer.returncode == 0 and "2.0.0 on 3 of 3 members" in answer.stdout, answer.stdout + answer.stderr
    shutil.rmtree(elsewhere)
