# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The coordination lock at a real PostgreSQL and with files, by the real tooz. Another machine is a process namespace of its own, which no process
outside can be proven dead in."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._coordination import PATIENCE_SECONDS
from ansible_collections.alwayson.upgrade.plugins.module_utils._fleet_lock_store import FleetLock
from operators import wait_for

pytest.importorskip("tooz", reason="requirements/test.txt is not installed")

APART = ("unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--pid", "--fork", "--mount-proc", "--kill-child")
PASSWORD = "s3cretword"
# What tooz takes in the server, for as long as a session lives.
HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"


@pytest.fixture(name="other_machine", scope="session")
def _other_machine():
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no process namespaces (unshare --pid --mount-proc)")
    return APART


@pytest.fixture(name="url")
def _url(server):
    with server.connect() as session:
        session.execute(f"DO $$ BEGIN CREATE ROLE locker LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    assert holders(server) == []
    yield f"postgresql://locker:{PASSWORD}@127.0.0.1:{server.port}/postgres"
    # Those whose controller was killed have noticed.
    wait_for(lambda: holders(server) == [])


def holders(server) -> list[int]:
    with server.connect() as session:
        return [pid for (pid,) in session.execute(HOLDERS)]


def lock_of(crew):
    return FleetLock(str(crew.directory), "shop").read()


def test_the_coordination_lock_is_held_until_the_release(crew, server, url):
    run = crew.run(crew.lock(coordination_url=url), crew.lock(coordination_url=url, register="more"), crew.lock(state="released", register="released"))
    assert run.code == 0 and run.seen["more"]["changed"] is False and run.seen["more"]["lock"] == run.seen["seen"]["lock"], run.output
    lock = run.seen["seen"]["lock"]
    assert lock["coordination"].startswith(f"alwayson-shop at postgresql://127.0.0.1:{server.port}/postgres on ")
    assert PASSWORD not in run.output and PASSWORD not in (crew.directory / "shop.history.jsonl").read_text(encoding="utf-8")
    assert holders(server) == []
    with crew.at_work(coordination_url=url):
        assert len(holders(server)) == 1


def test_check_mode_does_not_ask_the_coordination_service(crew):
    run = crew.run(coordination_url="postgresql://nobody@127.0.0.1:1/none", arguments=("--check",))
    assert run.code == 0 and run.seen["seen"]["lock"]["coordination"] == "", run.output


def test_the_holder_ends_with_a_controller_that_is_killed(crew, server, url):
    with crew.at_work(coordination_url=url) as anna:
        anna.kill()
        wait_for(lambda: holders(server) == [])
        run = crew.run(owner="bob", coordination_url=url)
    assert run.code == 0 and run.seen["seen"]["taken_over"]["controller"]["pid"] == anna.pid, run.output


@pytest.mark.parametrize("kind", ["postgresql", "file"])
def test_a_dead_machine_is_taken_over_from_any_other_one(crew, request, other_machine, kind):
    url = request.getfixturevalue("url") if kind == "postgresql" else f"file://{crew.folder}/locks"
    with crew.at_work(prefix=other_machine, owner="anna", coordination_url=url) as anna:
        lock = lock_of(crew)
        for more in ({"coordination_url": url}, {}):
            refused = crew.run(owner="bob", **more)
            assert refused.code != 0 and refused.seen["seen"]["held_by"] == lock.as_dict(), refused.output
        anna.kill()
        without = crew.run(owner="bob")
        assert without.code != 0 and without.seen["seen"]["held_by"] == lock.as_dict(), "nothing proves it without the coordination lock"
        run = crew.run(owner="bob", coordination_url=url)
    assert run.code == 0 and run.seen["seen"]["taken_over"] == lock.as_dict(), run.output
    assert "for this reason: its coordination lock alwayson-shop at" in run.words and "was free. Before, anna has held it" in run.words


def test_a_server_that_has_forgotten_the_lock_does_not_make_its_holder_dead(crew, server, url, other_machine):
    with crew.at_work(prefix=other_machine, owner="anna", coordination_url=url):
        lock, sessions = lock_of(crew), holders(server)
        with server.connect() as session:
            for pid in sessions:
                session.execute("SELECT pg_terminate_backend(%s)", (pid,))
        refused = crew.run(owner="bob", coordination_url=url)
        assert refused.code != 0 and lock_of(crew) == lock, refused.output
        assert len(holders(server)) == 1 and holders(server) != sessions
    assert PATIENCE_SECONDS > 4


def test_a_user_takes_over_although_the_other_still_holds_the_coordination_lock(crew, url, other_machine):
    with crew.at_work(prefix=other_machine, owner="anna", coordination_url=url):
        lock = lock_of(crew)
        run = crew.run(owner="bob", coordination_url=url, take_over=lock.id, reason="she is on a plane")
    assert run.code == 0 and run.seen["seen"]["lock"]["coordination"] == "" and "still held by somebody else" in run.words, run.output


def test_a_service_that_refuses_is_named_without_the_password(crew, server, url):
    wrong = url.replace(PASSWORD, "wr0ngword")
    run = crew.run(arguments=("-vvv",), coordination_url=wrong)
    assert run.code != 0 and f"the coordination service at postgresql://127.0.0.1:{server.port}/postgres cannot be asked" in run.words, run.output
    assert "password authentication failed" in run.words and "The lock was not asked for" in run.words
    assert "wr0ngword" not in run.output
    assert not crew.directory.exists()
