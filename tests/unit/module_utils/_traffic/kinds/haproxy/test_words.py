# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and lines of HAProxy's command line, and answers in it."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy import words as haproxy_words
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.stats import parse_info, parse_stat
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.words import LINE_BYTES, first_answer, lines_of, word


@pytest.mark.parametrize(("text", "sent"), [
    ("/etc/active.map", "/etc/active.map"), ("/a b\tc.map", "/a\\ b\\\tc.map"), ("a;shutdown sessions", "a\\;shutdown\\ sessions"), ("a\\", "a\\\\"),
    ("/gr\u00fcn", "/gr\u00fcn"), ("a<<", "a<<"),
])
def test_a_word_is_one(text, sent):
    assert word(text) == sent


@pytest.mark.parametrize("text", ["", "a\nb", "a\r", "a\x00", "<<", "<<end", "gr\udcfcn", "gr\ufffdn"])
def test_what_cannot_be_one_is_refused(text):
    with pytest.raises(ValueError, match="cannot be an argument of a HAProxy command"):
        word(text)


def test_a_line_fits_into_haproxys_buffer():
    commands = [f"set server app/shop-application-server-{number:03d}.east.example.com state ready" for number in range(300)]
    lines = lines_of(commands)
    assert [command for line in lines for command in line] == commands and len(lines) == 3
    assert all(len(";".join(line)) < LINE_BYTES for line in lines)
    assert lines_of([]) == [] and lines_of(["a", "b"]) == [["a", "b"]] and lines_of(["x" * LINE_BYTES, "y"]) == [["x" * LINE_BYTES], ["y"]]
    assert haproxy_words.LINE_BYTES < 16384


@pytest.mark.parametrize(("answer", "parts"), [
    ("a\nb\n\nc\n\n", ("a\nb\n", "c\n\n")), ("\nc\n\n", ("", "c\n\n")), ("a\n\n", ("a\n", "")), ("\n", ("", "")),
])
def test_the_first_answer(answer, parts):
    assert first_answer(answer) == parts


def test_text_of_others_in_an_answer_changes_nothing():
    assert parse_info("Pid: 5\ndescription: in the\n\nPid: 6\n") == {"Pid": "5", "description": "in the"}
    assert parse_stat('# pxname,svname,last_chk,\napp,s1,"no\n\nanswer",\napp,s2,ok,\n\n')[0]["last_chk"] == "no\n\nanswer"
