# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils import _coordination
from ansible_collections.alwayson.upgrade.plugins.module_utils._controller import Controller, started, this_controller
from ansible_collections.alwayson.upgrade.plugins.module_utils._coordination import CoordinationError, MissingToozError, end, place_of, take

HERE = Controller("here", "b", "n", 1, "1")
# A library under the name of tooz, whose locks are files that belong to whom they name.
TOOZ = """
import os
class Lock:
    def __init__(self, path):
        self.path = path
    def acquire(self, blocking):
        assert blocking is False
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True
    def release(self):
        os.unlink(self.path)
class Coordinator:
    def __init__(self, url):
        self.url = url
    def start(self, start_heart):
        if "broken" in self.url:
            raise OSError(f"cannot\\nreach {self.url} as user with pa%ss")
        if "dies" in self.url:
            os._exit(3)
    def stop(self):
        pass
    def get_lock(self, name):
        return Lock(self.url.partition("://")[2].partition("@")[2] + "/" + name.decode())
def get_coordinator(url, member):
    return Coordinator(url)
"""


@pytest.fixture(name="tooz")
def _tooz(tmp_path, monkeypatch):
    (tmp_path / "lib" / "tooz").mkdir(parents=True)
    (tmp_path / "lib" / "tooz" / "__init__.py").touch()
    (tmp_path / "lib" / "tooz" / "coordination.py").write_text(TOOZ, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setattr(_coordination, "HOLD_SECONDS", 60.0)
    return tmp_path


def place(folder, scheme="fake"):
    return place_of(f"{scheme}://user:pa%25ss@{folder}", "shop", HERE)


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("postgresql://user:secret@db1:5432/locks", "alwayson-shop at postgresql://db1:5432/locks"),
        ("postgresql://db1?dbname=locks&password=secret", "alwayson-shop at postgresql://db1?dbname=locks"),
        ("etcd3+http://etcd1:2379", "alwayson-shop at etcd3+http://etcd1:2379"),
        ("file:///var/locks", "alwayson-shop at file:///var/locks on here"),
        ("postgresql://localhost/locks", "alwayson-shop at postgresql://localhost/locks on here"),
        ("postgresql://127.0.0.7/locks", "alwayson-shop at postgresql://127.0.0.7/locks on here"),
        ("postgresql://user:secret@[::1]:5432/locks", "alwayson-shop at postgresql://::1:5432/locks on here"),
        ("postgresql:///locks?host=/run/postgresql", "alwayson-shop at postgresql:///locks on here"),
    ],
)
def test_a_place_is_told_apart_without_its_password_and_a_local_one_by_its_machine(url, identity):
    found = place_of(url, "shop", HERE)
    assert found.identity == identity and found.url == url
    assert "secret" not in found.shown


def test_a_local_place_on_a_machine_without_a_name_proves_nothing():
    assert place_of("file:///var/locks", "shop", HERE._replace(machine="")).identity == ""


@pytest.mark.parametrize("url", ["db1", "postgresql:", "postgresql://db1:port/x", "://", "postgresql://[::1/x"])
def test_a_url_that_is_none_is_refused_without_being_shown(url):
    with pytest.raises(CoordinationError, match="^coordination_url is no URL"):
        place_of(url, "shop", HERE)


def test_the_lock_is_held_by_a_process_of_its_own_until_it_is_ended(tooz):
    here, lock = this_controller(), tooz / "alwayson-shop"
    assert take(place(tooz), here, str(tooz)) is True and lock.exists()
    assert take(place(tooz), here, str(tooz)) is True, "it is ours already"
    assert take(place(tooz), here, str(tooz / "lib")) is False, "another one asks"
    [name] = [entry for entry in os.listdir(tooz) if entry.endswith(".holder.json")]
    assert "pa%ss" not in (tooz / name).read_text(encoding="utf-8")
    end("alwayson-shop", str(tooz))
    assert not lock.exists() and name not in os.listdir(tooz)
    end("alwayson-shop", str(tooz))


def test_a_lock_that_the_service_has_forgotten_is_taken_again(tooz, monkeypatch):
    here, lock = this_controller(), tooz / "alwayson-shop"
    assert take(place(tooz), here, str(tooz))
    lock.unlink()
    for _poll in range(600):
        if lock.exists():
            break
        _coordination.time.sleep(0.05)
    assert lock.exists()
    end("alwayson-shop", str(tooz))
    assert not lock.exists()


def test_the_holder_ends_with_its_controller_and_after_its_time(tooz, monkeypatch):
    lock = tooz / "alwayson-shop"
    monkeypatch.setattr(_coordination, "HOLD_SECONDS", 0.5)
    for controller in (this_controller(), this_controller()._replace(started="earlier")):
        assert take(place(tooz), controller, str(tooz))
        for _poll in range(600):
            if not lock.exists():
                break
            _coordination.time.sleep(0.05)
        assert not lock.exists()
        end("alwayson-shop", str(tooz))
        monkeypatch.setattr(_coordination, "HOLD_SECONDS", 60.0)


def test_a_process_that_only_has_the_holders_id_is_left_alone(tooz):
    with open(tooz / "alwayson-shop.holder.json", "w", encoding="utf-8") as file:
        file.write(f'{{"pid": {os.getpid()}, "started": "{started(os.getpid())}0"}}')
    end("alwayson-shop", str(tooz))
    assert take(place(tooz), this_controller(), str(tooz)) is True
    end("alwayson-shop", str(tooz))


def test_a_service_that_cannot_be_asked_is_named_without_the_password(tooz):
    with pytest.raises(CoordinationError) as failed:
        take(place(tooz, "broken"), this_controller(), str(tooz))
    assert str(failed.value) == f"the coordination service at broken://{tooz} cannot be asked: OSError: cannot reach *** as user with ***"
    with pytest.raises(CoordinationError, match="its process died"):
        take(place(tooz, "dies"), this_controller(), str(tooz))
    assert not [name for name in os.listdir(tooz) if name.endswith(".holder.json")]


def test_a_python_without_tooz_says_so(tmp_path, monkeypatch):
    (tmp_path / "tooz.py").write_text("raise ImportError", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingToozError, match="tooz"):
        take(place(tmp_path), this_controller(), str(tmp_path))
