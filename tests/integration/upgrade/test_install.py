# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python application as docs/python_applications.md has it, from hosts on which nothing runs to its second release: its scripts are those of that page.

And the end of a run whose report cannot be written any more: the report and as-built.yml are elsewhere, the lock is released, and the next command can be
pasted. The tests build on each other.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from fleet.small import MEMBERS, REPOSITORY, SmallFleet

PAGE = (REPOSITORY / "docs/python_applications.md").read_text(encoding="utf-8")
# A service that tells its release as text: /version answers "shop 2.0.0".
SERVER = '''
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answer = {"/healthz": b"fine", "/version": b"shop " + version("shop").encode()}.get(self.path)
        self.send_response(200 if answer else 404)
        self.end_headers()
        self.wfile.write(answer or b"")


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


# A release without a build, which answers everything with its name.
PLAIN = f'''#!{sys.executable}
import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"shop RELEASE"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


os.chdir(os.path.dirname(os.path.abspath(__file__)))
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def script(name: str) -> str:
    """The script of the page with this name."""
    [found] = re.findall(rf"`{name}`:\n\n```sh\n(.*?)```", PAGE, re.DOTALL)
    return found


def wheel(release: str) -> bytes:
    """shop as a wheel."""
    info = f"shop-{release}.dist-info"
    files = {"shop/__init__.py": "", "shop/__main__.py": SERVER, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: shop\nVersion: {release}\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def archive(directory: Path, release: str, build: str | None = None) -> dict[str, str]:
    """The release's archive, as variables."""
    files = {f"wheels/shop-{release}-py3-none-any.whl": (wheel(release), 0o644), "bin/build": ((build or script("bin/build")).encode(), 0o755),
             "bin/run": (script("bin/run").encode(), 0o755)}
    return packed(directory, release, files)


def packed(directory: Path, release: str, files: dict[str, tuple[bytes, int]]) -> dict[str, str]:
    """An archive of these files, each with its content and its mode."""
    path = directory / f"shop-{release}.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            made.addfile(entry, io.BytesIO(content))
    return {"upgrade_release": release, "upgrade_artifact": str(path), "upgrade_artifact_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def pasted(fleet, line: str) -> subprocess.CompletedProcess:
    """What a shell makes of a line of the last message."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(fleet.directory / "ansible"),
                   "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build/collections")}
    return subprocess.run(["bash", "-c", line], cwd="/", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(name="fleet", scope="module")
def _fleet():
    with SmallFleet(REPOSITORY / "build/integration/test_install", upgrade_version_pattern="^shop (.+)") as fleet:
        yield fleet


def test_a_first_installation_that_fails_is_taken_back(fleet):
    refused = fleet.run("upgrade", **archive(fleet.directory, "1.0.0"))
    assert refused.code != 0 and "alwayson.upgrade.install" in refused.words and fleet.current() == dict.fromkeys(MEMBERS)
    run = fleet.run("install", **archive(fleet.directory, "1.0.0", "#!/bin/sh\nexit 3\n"), upgrade_smoke_timeout=2)
    assert run.code != 0 and all(f"{name}: Ask the service and check its answers" in run.words for name in MEMBERS), run.output[-3000:]
    assert fleet.current() == dict.fromkeys(MEMBERS) and fleet.processes() == {}


def test_a_corrected_one_of_the_same_name_runs_and_the_same_command_again_changes_nothing(fleet):
    fleet.known = ["app1"]
    given = archive(fleet.directory, "1.0.0")
    run = fleet.run("install", **given)
    assert run.code == 0, run.output[-3000:]
    assert fleet.current() == dict.fromkeys(MEMBERS, "1.0.0")
    assert "Next: add app2, app3 to app on lb1" in run.words and "alwayson.upgrade.status" in run.words
    assert set(fleet.admin.values()) == {"ready"} and set(fleet.processes()) == set(MEMBERS)
    again = fleet.run("install", **given)
    assert again.code == 0 and set(again.changed.values()) == {0} and len(again.changed) == 4
    fleet.known = list(MEMBERS)


def test_it_is_upgraded_from_there_and_a_service_that_runs_is_not_installed(fleet):
    run = fleet.run("upgrade", upgrade_method="canary", upgrade_soak=0, **archive(fleet.directory, "1.1.0"))
    assert run.code == 0 and "Record when the canary came back" in run.output, run.output[-3000:]
    assert fleet.current() == dict.fromkeys(MEMBERS, "1.1.0")
    refused = fleet.run("install", **archive(fleet.directory, "2.0.0"))
    assert refused.code != 0 and "1.1.0 is current on app1, app2, app3" in refused.words
    assert "ansible-playbook alwayson.upgrade.upgrade -i" in refused.words and "-e upgrade_release=2.0.0" in refused.words
    assert fleet.current() == dict.fromkeys(MEMBERS, "1.1.0") and not (fleet.directory / "state/shop.lock").exists()


def test_a_report_that_cannot_be_written_is_elsewhere_and_the_next_command_can_be_pasted(fleet):
    report = fleet.directory / "report"
    hook = fleet.directory / "hook.yml"
    task = {"name": "Put a file in the place of the report", "ansible.builtin.shell": f"rm -rf {report}; touch {report}"}
    hook.write_text(json.dumps([task]), encoding="utf-8")
    given = packed(fleet.directory, "2.0.0", {"bin/run": (PLAIN.replace("RELEASE", "2.0.0").encode(), 0o755)})
    run = fleet.run("upgrade", upgrade_after_open=[str(hook)], **given)
    assert run.code != 0 and fleet.current() == dict.fromkeys(MEMBERS, "2.0.0"), run.output[-3000:]
    assert not (fleet.directory / "state/shop.lock").exists()
    [elsewhere] = {Path(found) for found in re.findall(r"it is in (\S*alwayson-report-\w+)", run.output)}
    assert {path.name for path in elsewhere.iterdir()} == {"report.html", "report.json", "as-built.yml"}
    [status] = [line for line in run.output.splitlines() if line.endswith("# shows what runs where")]
    answer = pasted(fleet, status)
    assert answer.returncode == 0 and "2.0.0 on 3 of 3 members" in answer.stdout, answer.stdout + answer.stderr
    shutil.rmtree(elsewhere)
