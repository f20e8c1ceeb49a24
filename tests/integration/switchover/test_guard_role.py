# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role puts a guard before the start of a unit: the very line that systemd would run lets the server start, or does not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from fleet.postgres import OWNER
from integration.by_ansible import REPOSITORY
from integration.switchover.pair import Pair

UNIT = "postgresql@18-main.service"


@pytest.fixture
def pair():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with Pair(Path(folder) / "run") as made:
            yield made


def played(pair, *flags: str, **more) -> subprocess.CompletedProcess:
    """Run the role, all of whose folders are the pair's."""
    server, peer, home = pair.servers["db1"], pair.servers["db2"].endpoint, pair.folder / "guard"
    variables = {
        "unit": UNIT, "data_directory": str(server.data), "bin_dir": str(server.binaries), "login_user": OWNER, "ssl_mode": "disable", "wait": 0,
        "peers": [{"name": "db2", "host": peer.address, "port": peer.port}], "python": sys.executable, "reload": False,
        **{f"{name}_directory": str(home / name) for name in ("state", "program", "config", "unit")}, **more,
    }
    play = [{"hosts": "localhost", "gather_facts": False, "roles": ["alwayson.upgrade.database_guard"],
             "vars": {f"database_guard_{name}": value for name, value in variables.items()}}]
    book = pair.folder / "play.yml"
    book.write_text(yaml.safe_dump(play), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"), "ANSIBLE_HOME": str(REPOSITORY / "build" / "ansible"),
                   "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(book), *flags,
               "-e", f"ansible_python_interpreter={sys.executable}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.thorough
def test_the_role_guards_a_unit(pair):
    drop_in = pair.folder / "guard" / "unit" / f"{UNIT}.d" / "alwayson-guard.conf"
    assert played(pair, "--check").returncode == 0 and not drop_in.exists()
    done = played(pair)
    assert done.returncode == 0 and "changed=4" in done.stdout, done.stdout + done.stderr
    again = played(pair)
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout
    heading, line = drop_in.read_text(encoding="utf-8").splitlines()
    assert heading == "[Service]" and line.startswith(f"ExecStartPre={sys.executable} ")
    command = line.partition("=")[2].split()
    pair.kill("db1")
    assert pair.restart_by_itself("db1", *command)
    pair.kill("db2")
    pair.kill("db1")
    assert not pair.restart_by_itself("db1", *command)
    # While a peer does not answer it is not installed, and a server without peers has nobody to ask.
    refused = played(pair)
    assert refused.returncode == 2 and "db2 does not answer" in refused.stdout
    refused = played(pair, peers=[])
    assert refused.returncode == 2 and "database_guard_peers has 0 peers, and 1 have to answer" in refused.stdout
