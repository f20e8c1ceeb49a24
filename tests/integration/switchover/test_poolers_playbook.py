# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook failover, and its part for other playbooks, with poolers on two hosts, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from fleet.demo import playbook_environment
from fleet.postgres import OWNER
from integration.switchover.pair import Load, Loading, Pair, lost

REPOSITORY = Path(__file__).resolve().parents[3]
SUBPROCESS_SECONDS = 180
PART = """
- name: Redirect
  hosts: localhost
  gather_facts: false
  vars:
    pair: {old_primary: {name: db1, host: %(db1_host)s, port: %(db1_port)s}, new_primary: {name: db2, host: %(db2_host)s, port: %(db2_port)s}}
  tasks:
    - name: Redirect
      ansible.builtin.include_tasks: %(tasks)s
      vars:
        upgrade_switch: "{{ pair | combine({'poolers': groups.poolers, 'state': state, 'login_user': '%(owner)s'}) }}"
"""


@pytest.fixture
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("pair") / "run", poolers=2) as made:
        (made.folder / "inventory.yml").write_text(json.dumps(inventory(made)), encoding="utf-8")
        (made.folder / "part.yml").write_text(PART % {
            "tasks": REPOSITORY / "playbooks/tasks/switch_database.yml", "owner": OWNER,
            **{f"{name}_host": server.endpoint.address for name, server in made.servers.items()},
            **{f"{name}_port": server.endpoint.port for name, server in made.servers.items()}}, encoding="utf-8")
        yield made


def inventory(pair) -> dict:
    """Each pooler is on a host of its own."""
    servers = {name: {"postgresql_login_host": one.endpoint.address, "postgresql_login_port": one.endpoint.port, "postgresql_login_user": OWNER}
               for name, one in pair.servers.items()}
    poolers = {name: {"ansible_host": one.endpoint.address,
                      "pooler": {"name": name, "host": one.endpoint.address, "port": one.endpoint.port, "user": OWNER, "file": str(one.databases)}}
               for name, one in pair.all_poolers.items()}
    return {"all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
                    "children": {"servers": {"hosts": servers}, "poolers": {"hosts": poolers}}}}


def play(pair, playbook: str, *flags: str, **variables: object) -> tuple[int, str]:
    """Its status and what it said. One fork is enough for any number of poolers."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), playbook, "--inventory", str(pair.folder / "inventory.yml"), "--forks", "1", *flags,
               "--extra-vars", json.dumps(variables)]
    done = subprocess.run(command, env={**playbook_environment(pair.folder), "ANSIBLE_ASYNC_DIR": str(pair.folder / "async"), "HOME": os.environ["HOME"]},
                          capture_output=True, text=True, check=False, timeout=SUBPROCESS_SECONDS)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def failover(pair, *flags: str, **variables: object) -> tuple[int, str]:
    return play(pair, "alwayson.upgrade.failover", *flags, upgrade_old_primary="db1", upgrade_new_primary="db2", **variables)


def readers(pair) -> list[bool]:
    """Whether clients of each pooler are sent to a standby."""
    return [pair.value(name, "SELECT pg_is_in_recovery()") for name in pair.all_poolers]


def test_a_standby_takes_over_for_both_and_once_more_changes_nothing(pair):
    code, said = failover(pair, "--check", upgrade_planned=True)
    assert code == 0 and pair.value("db2", "SELECT pg_is_in_recovery()"), said[-3000:]
    both = Load(pair.all_poolers["pooler"].endpoint, rate=100), Load(pair.all_poolers["pooler2"].endpoint, rate=100, first_client=100)
    with Loading(both[0]), Loading(both[1]):
        code, said = failover(pair, upgrade_planned=True)
    assert code == 0 and "db2 takes writes; clients were held for" in said, said[-3000:]
    assert [(load.errors, load.read_errors, lost(pair, load, "db2")) for load in both] == [([], [], set())] * 2
    assert all(len(load.acknowledged) > 100 for load in both)
    port = pair.servers["db2"].endpoint.port
    assert [pair.value(name, "SELECT inet_server_port()") for name in pair.all_poolers] == [port, port]
    code, said = failover(pair, upgrade_planned=True)
    assert code == 0 and "it did before" in said and "changed=0" in said, said[-3000:]


def test_a_pooler_on_a_host_that_died_with_the_primary_keeps_nobody_waiting(pair):
    pair.be_synchronous("db2")
    given = json.loads((pair.folder / "inventory.yml").read_text(encoding="utf-8"))
    # Nothing listens there. It comes first, so it would lead.
    poolers = given["all"]["children"]["poolers"]["hosts"]
    dead = {**poolers["pooler2"], "ansible_connection": "ssh", "ansible_port": 1}
    given["all"]["children"]["poolers"]["hosts"] = {"a_dead_host": dead, "pooler": poolers["pooler"]}
    (pair.folder / "inventory.yml").write_text(json.dumps(given), encoding="utf-8")
    pair.kill("db1")
    pair.kill("pooler2")
    code, said = failover(pair)
    assert code == 0 and "db2 takes writes" in said and "not reached, and not redirected to db2: a_dead_host" in said, said[-3000:]
    assert pair.value("pooler", "SELECT inet_server_port()") == pair.servers["db2"].endpoint.port


@pytest.mark.thorough
def test_what_is_refused_leaves_nobody_waiting(pair):
    code, said = failover(pair)
    assert code != 0 and "runs: replace it by state=switched" in said and "gave up before clients were paused" in said, said[-3000:]
    code, said = failover(pair, upgrade_planned=True)
    assert code == 0 and "db2 takes writes; clients were held for" in said, said[-3000:]


def test_clients_of_both_read_from_the_standby_and_return(pair):
    for state, expected in (("read_only", [True, True]), ("read_write", [False, False])):
        code, said = play(pair, str(pair.folder / "part.yml"), state=state)
        assert code == 0 and readers(pair) == expected, said[-3000:]
    with pair.session("pooler2") as session, pytest.raises(psycopg.errors.UniqueViolation):
        session.execute("INSERT INTO acknowledged VALUES (-1, -1), (-1, -1)")
