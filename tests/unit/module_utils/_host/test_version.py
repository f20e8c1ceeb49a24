# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.version import VersionError, compare, is_valid, parse
from hypothesis import given
from hypothesis import strategies as st

VALID = ["1", "1.0", "2.0.0", "2.0.0.1", "2024.11.22", "1.0.0-rc.1", "1.0.0-rc1+build.5", "1.0.0+5", "0.0.1", "1.0.0-2"]

PRERELEASES = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1"]
ASCENDING = [*PRERELEASES, "1.0.0", "1.0.0.1", "1.0.9", "1.0.10", "1.10", "2", "10.0"]

REFUSED = [
    ("", "empty"),
    ("latest", "moves"),
    ("stable", "moves"),
    ("2.0 .0", "white space"),
    (" 2.0.0", "white space"),
    ("2.0.0\n", "white space"),
    ("v2.0.0", "leave out the leading 'v'"),
    ("2.0.0.0.1", "one to four numbers"),
    ("2..0", "one to four numbers"),
    ("2.0.0-", "one to four numbers"),
    ("2.0.0-..", "one to four numbers"),
    ("2.0.0/../..", "one to four numbers"),
    ("../2.0.0", "moves"),
    ("\u0662.0", "write"),
    ("1" * 65, "longer than 64"),
    (2.0, "quote it"),
    (2, "quote it"),
    (True, "quote it"),
    (None, "NoneType"),
    (["2.0.0"], "list"),
]


@pytest.mark.parametrize("text", VALID)
def test_a_version_is_accepted_as_written(text):
    assert is_valid(text)
    assert parse(text).text == text


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=lambda value: repr(value)[:20])
def test_what_is_no_version_is_refused_with_the_reason(value, reason):
    assert not is_valid(value)
    with pytest.raises(VersionError, match=reason):
        parse(value)


def test_every_pair_compares_as_semantic_versioning_orders_it():
    compared = 0
    for position, left in enumerate(ASCENDING):
        for other, right in enumerate(ASCENDING):
            assert compare(left, right) == (position > other) - (position < other), (left, right)
            compared += 1
    assert compared == len(ASCENDING) ** 2


@pytest.mark.parametrize(("left", "right"), [("1", "1.0.0.0"), ("1.0.0+a", "1.0.0+b"), ("1.01", "1.1")])
def test_trailing_zeros_and_build_metadata_do_not_matter(left, right):
    assert compare(left, right) == 0


def test_comparing_with_no_version_is_an_error():
    with pytest.raises(VersionError, match="latest"):
        compare("1.0.0", "latest")


@given(st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}([-+][0-9A-Za-z]([0-9A-Za-z-]|\.[0-9a-z]){0,6})?", fullmatch=True), st.text(max_size=8))
def test_a_version_never_names_anything_but_a_folder_of_its_own(version, noise):
    assert is_valid(version)
    for text in (noise, version + noise):
        if is_valid(text):
            assert "/" not in text and not text.startswith(".") and text.isascii() and text.isprintable()
