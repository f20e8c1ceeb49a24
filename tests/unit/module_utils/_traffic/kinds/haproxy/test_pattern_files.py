# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of patterns as people keep them, read as HAProxy reads them."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.map import text_with
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.pattern_files import (
    differences, entries_of_acl, entries_of_map, parse_acl, parse_files, parse_map,
)


@pytest.mark.parametrize(("text", "entries"), [
    ("a b\nc d\n", {"a": "b", "c": "d"}),
    ("a b\r\nc d\r\n", {"a": "b", "c": "d"}),
    ("a\t\tb  \n \t c   d e\t", {"a": "b", "c": "d e"}),
    ("a b\na c\n", {"a": "b"}),
    ("# a b\n # c d\n\n \t\n\r\n", {"#": "c d"}),
    ("a\n", {"a": ""}),
    ("a b # c\n", {"a": "b # c"}),
    ("a b\rc d\n", {"a": "b"}),
    ("a\u00a0b c\u2028d\x0be\n", {"a\u00a0b": "c\u2028d\x0be"}),
    ("gr\udcfcn x\n", {"gr\udcfcn": "x"}),
])
def test_a_map(text, entries):
    assert entries_of_map(text) == entries


@pytest.mark.parametrize(("text", "after"), [
    ("other x\r\nactive blue\r\nlast y\r\n", "other x\r\nactive green\r\nlast y\r\n"),
    ("active\t\tblue  ", "active\t\tgreen  "),
    ("# active red\nactive blue\nother x\nactive blue\n", "# active red\nactive green\nother x\n"),
    ("   active blue\n", "   active green\n"),
    ("active\n", "active green\n"),
    ("other x\r\n", "other x\r\nactive green\r\n"),
    ("active blue\rignored\n", "active green\rignored\n"),
    ("\udce9t\udce9 x\nactive blue # note\n", "\udce9t\udce9 x\nactive green\n"),
])
def test_the_look_of_the_line_stays(text, after):
    assert text_with(text, "active", "green") == after and entries_of_map(after)["active"] == "green"


def test_an_acl():
    assert list(entries_of_acl("# no\n 10.0.0.1\r\n\n10.0.0.2 # yes\n")) == ["10.0.0.1", "10.0.0.2 # yes"]
    assert list(parse_acl("0x1 10.0.0.1\n0x2 10.0.0.2 # yes\n\n")) == ["10.0.0.1", "10.0.0.2 # yes"]


def test_the_files_and_what_they_have():
    listed = "# id (file) description\n0 (/a (b) c.map) pattern loaded from file '/a (b) c.map' used by map at file '/h.cfg' line 3. curr_ver=0\n"
    assert parse_files(f"{listed}1 () acl 'src' file '/h.cfg' line 4. curr_ver=0\n2 (virt@x) pattern loaded\n\n") == ["/a (b) c.map", "virt@x"]
    assert parse_map("0x1 a b c\n0x2 d \n0x3 e\n0x4 a x\n\n") == {"a": "b c", "d": "", "e": ""}


def test_what_a_reload_would_change():
    assert differences({"a": "b", "c": "d"}, {"c": "d", "a": "b"}) == []
    assert differences({"a": "green", "c": "", "e": "f"}, {"a": "blue", "g": ""}) == [
        "a is green and would be blue", "c is present and would be absent", "e is f and would be absent", "g is absent and would be present"]
