# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.foreign_json import DEEPEST, ForeignJsonError, parse

ODD = {
    "nothing": ("", "not JSON"),
    "a page": ("<html>", "not JSON"),
    "more behind it": ("{} {}", "not JSON"),
    "bytes that are no UTF-8": (b'"\xff"', "not JSON"),
    "deep": ("[" * 100_000, "nests deeper|not JSON"),
    "deep and whole": ("[" * 5_000 + "]" * 5_000, "nests deeper"),
    "deeper than anything needs": ("[" * 200 + "]" * 200, "nests deeper"),
    "deep in values": ('{"a":' * 200 + "1" + "}" * 200, "nests deeper"),
    "no number": ('{"a": NaN}', "NaN is no number"),
    "infinity": ("[-Infinity]", "-Infinity is no number"),
    "infinity in digits": ("[1e999]", "too large"),
    "digits without end": ("[" + "1" * 5_000 + "]", "5000 digits"),
    "half a character": (r'["\ud800"]', "half a character"),
    "half a character in a name": (r'{"\uDFFF": 1}', "half a character"),
}


@pytest.mark.parametrize(("text", "said"), ODD.values(), ids=ODD.keys())
def test_what_is_odd_is_an_error_in_words(text, said):
    with pytest.raises(ForeignJsonError, match=said) as error:
        parse(text)
    assert isinstance(error.value, ValueError) and len(str(error.value)) < 300 and str(error.value).isascii()


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "", "größe \U0001f600", [], {}, [{"a": [1, {"b": None}]}], [[]] * 1000, {"n": 10**99},
                                   json.loads("[" * DEEPEST + "]" * DEEPEST)])
def test_all_else_is_what_it_says(value):
    assert parse(json.dumps(value)) == value == parse(json.dumps(value, ensure_ascii=False).encode("utf-8"))
