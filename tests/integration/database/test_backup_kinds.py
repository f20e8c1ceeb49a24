# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of MariaDB and SQLite are proven when, and only when, what comes back is what was there: the same tests on both."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from pathlib import Path

import pytest
from integration.by_ansible import ansible
from integration.database import kinds


@pytest.fixture(params=["mariadb", "sqlite"])
def kind(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def back_up(kind, tmp_path):
    """Backs databases up: what is said, and the result. Afterwards no scratch database is left, whatever the test did."""
    yield functools.partial(kinds.back_up, kind, tmp_path)
    assert kind.scratch() == []


def test_a_backup_is_proven_kept_and_proven_again(kind, back_up, tmp_path):
    one, other = kind.make(), kind.make()
    message, result = back_up(one, other, parallel=2)
    assert message == ""
    assert {name: (backup["proven"], backup["tables"], backup["rows"]) for name, backup in result["backups"].items()} == {
        one: (True, 2, 550), other: (True, 2, 550)
    }
    path = Path(result["backups"][one]["path"])
    assert path.name.endswith(kind.suffix) and sorted(os.listdir(path.parent)).count(f"{path.name}.sha256") == 1
    kind.run(one, "DELETE FROM orders")
    message, again = back_up(one, state="verified", max_age=3600)
    assert (message, again["changed"], again["backups"][one]["proven"], again["backups"][one]["path"]) == ("", False, True, str(path))
    assert json.loads(Path(f"{path}.json").read_text())["contents"][one]["structure"]


def test_others_write_while_backups_are_taken(kind, back_up):
    database, ended, written = kind.make(), threading.Event(), []

    def write() -> None:
        while not ended.wait(0.002):
            kind.run(database, "UPDATE orders SET quantity = quantity + 1 WHERE id <= 50", "INSERT INTO orders (product, quantity) VALUES (1, 1)")
            written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        results, meanwhile = [], []
        for _each in range(3):
            before = len(written)
            while len(written) < before + 2:
                assert writer.is_alive()
                time.sleep(0.01)
            before = len(written)
            results.append(back_up(database))
            meanwhile.append(len(written) - before)
    finally:
        ended.set()
        writer.join()
    assert [message for message, _result in results] == ["", "", ""]
    rows = [result["backups"][database]["rows"] for _message, result in results]
    assert 550 < rows[0] < rows[1] < rows[2] and len(written) >= rows[2] - 550 and sum(meanwhile) > 0


@pytest.mark.parametrize("injury", ["flipped", "cut", "missing", "swapped"])
def test_an_injured_backup_is_refused(kind, back_up, injury):
    one, other = kind.make(), kind.make()
    kind.run(other, "DELETE FROM orders WHERE id > 400")
    path, foreign = (Path(back_up(database)[1]["backups"][database]["path"]) for database in (one, other))
    whole = path.read_bytes()
    if injury == "flipped":
        path.write_bytes(whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:])
    elif injury == "cut":
        path.write_bytes(whole[:-20])
    elif injury == "missing":
        path.unlink()
    else:
        path.write_bytes(foreign.read_bytes())
    message, result = back_up(one, other, state="verified")
    assert (result["backups"][one]["proven"], result["backups"][other]["proven"]) == (False, True)
    assert f"Proven: {other}" in message and f"no proven backup of {one}: " in message


def test_a_check_query_is_part_of_the_proof(kind, back_up, tmp_path):
    database = kind.make()
    message, _result = back_up(database, check_queries=["SELECT count(*) = 500 FROM orders", "SELECT count(*) > 99 FROM products"])
    assert "the check query 'SELECT count(*) > 99 FROM products' answered 0 in the restored copy" in message
    assert os.listdir(tmp_path / "backups") == [".lock"]
    assert back_up(database, check_queries=["SELECT count(*) = 500 FROM orders"])[0] == ""


def test_wrong_names_and_methods_are_refused_before_anything_is_written(kind, back_up, tmp_path):
    database = kind.make()
    missing = f"{database}_not_there"
    assert missing in back_up(database, missing)[0]
    assert "use method=logical" in back_up(database, method="physical")[0]
    assert not (tmp_path / "backups").exists()


def test_as_a_user_runs_it(kind, tmp_path):
    options = {**kind.login, **kind.programs, "databases": [kind.make()], "directory": str(tmp_path / "backups")}
    status, result, _shown = ansible("database_backup", "--check", **options)
    assert status == 0 and [backup["proven"] for backup in result["backups"].values()] == [False]
    assert not (tmp_path / "backups").exists()
    status, result, _shown = ansible("database_backup", **options)
    assert status == 0 and [backup["proven"] for backup in result["backups"].values()] == [True]
    status, result, _shown = ansible("database_backup", **{**options, "databases": ["/not/there"]})
    assert status and "/not/there" in result["msg"] and result["backups"] == {}


def test_older_backups_make_room(kind, back_up):
    database = kind.make()
    paths = [back_up(database, keep=2)[1]["backups"][database] for _each in range(3)]
    assert paths[2]["removed"] == [paths[0]["path"]] and os.path.exists(paths[1]["path"])
