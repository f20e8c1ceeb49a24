# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A map of HAProxy: what the process answers, and what stands in the file."""

from __future__ import annotations

import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.map import HaproxyMap, kept_route, text_with
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.pattern_files import parse_files, parse_map
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.runtime import HaproxyError

# As HAProxy 2.8 answers.
MAPS = """\
# id (file) description
4 (/etc/haproxy/active.map) pattern loaded from file '/etc/haproxy/active.map' used by map at file '/etc/haproxy/haproxy.cfg' line 10. curr_ver=0 next_ver=0
-1 (/srv/other/tenants.map) pattern loaded from file '/srv/other/tenants.map' used by map at file '/etc/haproxy/haproxy.cfg' line 11. curr_ver=0 next_ver=0

"""
ROUTES = "0xd75680 active blue\n0xe3faf0 other green\n0x7fd6fc0477b0 other blue\n\n"
FILE = "# who serves\nactive blue\n\nother   green\n"


def test_what_the_process_answers():
    assert parse_files(MAPS) == ["/etc/haproxy/active.map", "/srv/other/tenants.map"]
    assert parse_map(ROUTES) == {"active": "blue", "other": "green"}
    assert parse_files("# id (file) description\n\n") == [] and parse_map("\n") == {}


@pytest.mark.parametrize(("key", "value"), [("active", "blue"), ("other", "green"), ("#", None), ("nobody", None)])
def test_what_the_file_says(key, value):
    assert kept_route(FILE, key) == value


@pytest.mark.parametrize(("text", "key", "value", "after"), [
    (FILE, "active", "green", "# who serves\nactive green\n\nother   green\n"),
    (FILE, "new", "red", FILE + "new red\n"),
    (FILE, "active", None, "# who serves\n\nother   green\n"),
    ("active blue", "other", "green", "active blue\nother green\n"),
    ("", "active", "green", "active green\n"),
    ("active blue\nactive red\n", "active", "green", "active green\n"),
])
def test_only_the_line_of_the_key_changes(text, key, value, after):
    assert text_with(text, key, value) == after
    assert kept_route(after, key) == value


class Fake(Haproxy):
    """Answers from a dictionary, and keeps the lines."""

    def __init__(self, answers):
        super().__init__("lb1", "unix:/run/lb1")
        self.answers, self.lines = answers, []

    def tell_once(self, line):
        self.lines.append(line)
        return self.answers.get(line, "\n")


def made(tmp_path=None, is_kept=False, name="active.map"):
    path = str(tmp_path / "active.map") if tmp_path else "/etc/haproxy/active.map"
    fake = Fake({"show map": MAPS.replace("/etc/haproxy/active.map", path), f"show map {path}": ROUTES})
    return HaproxyMap(fake, name, is_kept), fake


@pytest.mark.parametrize("name", ["active.map", "/etc/haproxy/active.map"])
def test_a_map_is_found_by_its_file_or_the_last_part_of_it(name):
    table, fake = made(name=name)
    assert table.path == "/etc/haproxy/active.map" and table.route("active") == "blue" and table.kept("active") == "blue"
    table.set_route("active", "green")
    table.set_route("new", "green")
    table.set_route("active", None)
    changes = [line for line in fake.lines if not line.startswith("show")]
    assert changes == [f"{what} {table.path} {rest}" for what, rest in (("set map", "active green"), ("add map", "new green"), ("del map", "active"))]
    assert table.command("active", "blue") == f"echo 'set map {table.path} active blue' | socat stdio unix-connect:/run/lb1"


def test_the_command_is_said_of_a_load_balancer_that_does_not_answer_any_more():
    table, fake = made()

    def gone(line):
        raise fake.error("does not answer")
    fake.ask = gone
    assert table.command("active", None) == f"echo 'del map {table.path} active' | socat stdio unix-connect:/run/lb1"


def test_a_map_that_is_not_there_or_there_twice_is_refused():
    with pytest.raises(HaproxyError, match=r"has no map 'activ.map': it has /etc/haproxy/active.map, /srv/other/tenants.map. Give the file"):
        made(name="activ.map")
    fake = Fake({"show map": MAPS.replace("tenants.map", "active.map")})
    with pytest.raises(HaproxyError, match=r"has 2 maps 'active.map'"):
        HaproxyMap(fake, "active.map", False)


def test_a_refusal_is_an_error():
    table, fake = made()
    fake.answers[f"set map {table.path} active green"] = "entry not found.\n\n"
    with pytest.raises(HaproxyError, match=r"answers 'entry not found.' to 'set map"):
        table.set_route("active", "green")
    fake.answers[f"show map {table.path}"] = "Unknown map identifier. Please use #<id> or <file>.\n\n"
    with pytest.raises(HaproxyError, match="has lost its map"):
        table.route("active")


@pytest.mark.parametrize("word", ["green;shutdown sessions server app/s1", "green blue", "", "green\n"])
def test_nothing_but_a_word_gets_into_a_line_of_commands(word):
    table, fake = made()
    with pytest.raises(HaproxyError, match="cannot have"):
        table.set_route("active", word)
    with pytest.raises(HaproxyError, match="cannot have"):
        table.set_route(word, "green")
    assert all(line.startswith("show") for line in fake.lines)


def test_the_file_is_kept_as_it_was_but_for_the_route(tmp_path):
    (tmp_path / "active.map").write_text(FILE, encoding="utf-8")
    (tmp_path / "active.map").chmod(0o640)
    table, _fake = made(tmp_path, is_kept=True)
    table.keep("active", "green")
    assert (tmp_path / "active.map").read_text(encoding="utf-8") == FILE.replace("blue", "green") and table.kept("active") == "green"
    assert (tmp_path / "active.map").stat().st_mode & 0o777 == 0o640 and sorted(os.listdir(tmp_path)) == [".active.map.lock", "active.map"]


def test_a_file_on_another_host_is_said_before_anything_is_changed(tmp_path):
    with pytest.raises(HaproxyError, match="which is not on this host: run this on the load balancer itself, or set persist=false"):
        made(tmp_path, is_kept=True)


def test_what_is_taken_back_is_what_was_there_byte_for_byte(tmp_path):
    before = b"# who\r\nactive\tblue\r\nactive red\r\ngr\xfcn x"
    (tmp_path / "active.map").write_bytes(before)
    table, _fake = made(tmp_path, is_kept=True)
    table.keep("active", "green")
    assert (tmp_path / "active.map").read_bytes() == b"# who\r\nactive\tgreen\r\ngr\xfcn x"
    table.keep("active", "blue")
    assert (tmp_path / "active.map").read_bytes() == before
    table.keep("active", "green")
    (tmp_path / "active.map").write_bytes(b"active green\nnew y\n")
    table.keep("active", "blue")
    assert (tmp_path / "active.map").read_bytes() == b"active blue\nnew y\n"


def test_a_map_is_found_through_a_link_and_its_link_stays(tmp_path):
    (tmp_path / "active.map").write_text(FILE, encoding="utf-8")
    (tmp_path / "real").mkdir()
    os.rename(tmp_path / "active.map", tmp_path / "real" / "a.map")
    (tmp_path / "active.map").symlink_to(tmp_path / "real" / "a.map")
    table, _fake = made(tmp_path, is_kept=True, name=str(tmp_path / "real" / "a.map"))
    table.keep("active", "green")
    assert table.path == str(tmp_path / "active.map") and os.path.islink(table.path)
    assert (tmp_path / "real" / "a.map").read_text(encoding="utf-8") == FILE.replace("blue", "green")


def test_a_path_is_one_word_of_a_line_of_commands():
    path = "/etc/ha proxy;x/active.map"
    fake = Fake({"show map": MAPS.replace("/etc/haproxy/active.map", path), r"show map /etc/ha\ proxy\;x/active.map": ROUTES})
    table = HaproxyMap(fake, "active.map", False)
    table.set_route("active", "green")
    assert table.path == path and fake.lines[-1] == r"set map /etc/ha\ proxy\;x/active.map active green"


def test_a_key_without_a_value_is_there():
    table, fake = made()
    fake.answers[f"show map {table.path}"] = "0xd75680 active \n\n"
    table.set_route("active", "green")
    assert fake.lines[-1] == f"set map {table.path} active green"


def test_a_relative_path_is_refused_where_the_file_is_to_say_the_same():
    fake = Fake({"show map": MAPS.replace("/etc/haproxy/active.map", "active.map")})
    assert HaproxyMap(fake, "active.map", False).path == "active.map"
    with pytest.raises(HaproxyError, match="which depends on the folder that it was started in: have the configuration name the whole path"):
        HaproxyMap(fake, "active.map", True)
