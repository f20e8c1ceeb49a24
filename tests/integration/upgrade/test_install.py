# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python application as docs/python_applications.md has it, from hosts on which nothing runs to its second release: its scripts are those of that page."""

from __future__ import annotations

import hashlib
import io
import re
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
    path = directory / f"shop-{release}.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            packed.addfile(entry, io.BytesIO(content))
    return {"upgrade_release": release, "upgrade_artifact": str(path), "upgrade_artifact_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture(name="fleet", scope="module")
def _fleet():
    with SmallFleet(REPOSITORY / "build/integration/test_install", upgrade_version_pattern="^shop (.+)") as fleet:
        yield fleet


def test_a_first_installation_that_fails_is_taken_back(fleet):
    refused = fleet.run("upgrade", **archive(fleet.directory, "1.0.0"))
    assert refused.code != 0 and "alwayson.upgrade.install" in refused.words and fleet.current() == dict.fromkeys(MEMBERS)
    run = fleet.run("install", **archive(fleet.directory, "1.0.0", "#!/bin/sh\nexit 3\n"), upgrade_smoke_timeout=2)
    assert run.code != 0 and all(f"{name}: Ask the service and judge its answers" in run.words for name in MEMBERS), run.output[-3000:]
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
    run = fleet.run("upgrade", **archive(fleet.directory, "1.1.0"))
    assert run.code == 0, run.output[-3000:]
    assert fleet.current() == dict.fromkeys(MEMBERS, "1.1.0")
    refused = fleet.run("install", **archive(fleet.directory, "2.0.0"))
    assert refused.code != 0 and "1.1.0 is current on app1, app2, app3" in refused.words
    assert "ansible-playbook alwayson.upgrade.upgrade -i" in refused.words and "-e upgrade_release=2.0.0" in refused.words
    assert fleet.current() == dict.fromkeys(MEMBERS, "1.1.0") and not (fleet.directory / "state/shop.lock").exists()
