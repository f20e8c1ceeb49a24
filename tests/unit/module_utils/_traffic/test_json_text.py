# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON document in which one value is changed, however its author has written the rest."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.json_text import with_values_of
from hypothesis import given
from hypothesis import strategies as st

TABS = '\r\n{"http" :\r\n\t{ "pools": [ {"url":"a\\u00e9", "weight" : 3 },\r\n\t\t{"url":"b"} ],  "n": 1.50, "m": 1E2,"url":"\\/"}\r\n}\r\n\r\n'


def changed(text, change):
    document = json.loads(text)
    change(document)
    return with_values_of(text, document)


@pytest.mark.parametrize(("before", "change", "after"), [
    ('{ "a" : 1 ,"b":2 }', lambda found: found.update(a=0), '{ "a" : 0 ,"b":2 }'),
    ('{ "a" : 1 }', lambda found: found.update(b="x"), '{ "a" : 1, "b" : "x" }'),
    ('{"a": 1}\n', lambda found: found.update(b=2), '{"a": 1, "b": 2}\n'),
    ('{"a":1}', lambda found: found.update(b=2), '{"a":1,"b":2}'),
    ('{\n\t"a": 1\n}\n', lambda found: found.update(b=2), '{\n\t"a": 1,\n\t"b": 2\n}\n'),
    ('{\n\t"a": 1,\n\t"b": 2\n}\n', lambda found: found.pop("a"), '{\n\t"b": 2\n}\n'),
    ("{ }", lambda found: found.update(a=1), '{"a": 1 }'),
    ('{"a": 1, "b": 2}', dict.clear, "{}"),
    ('[{"a": 1}, [1,2]]', lambda found: found[1].append(3), '[{"a": 1}, [1, 2, 3]]'),
    ('{"a": {"b": 1}}', lambda found: found.update(a=[1]), '{"a": [1]}'),
    ('{"a":1, "a":2, "a":3}', lambda found: found.update(a=4), '{"a":1, "a":2, "a":4}'),
    ('{"a":1, "a":2, "b":3}', lambda found: found.pop("a"), '{"b":3}'),
    ("7\n", lambda found: None, "7\n"),
])
def test_only_what_is_otherwise_is_written_anew(before, change, after):
    assert changed(before, change) == after


def test_the_text_of_before_is_back_byte_for_byte():
    out = changed(TABS, lambda found: [server.update(weight=0) for server in found["http"]["pools"]])
    assert out == TABS.replace('" : 3', '" : 0').replace('{"url":"b"}', '{"url":"b","weight":0}')
    assert changed(out, lambda found: (found["http"]["pools"][0].update(weight=3), found["http"]["pools"][1].pop("weight"))) == TABS


@pytest.mark.parametrize("text", ["", "http:\n  services: {}\n", '{"a": 1,}', '{"a": 1'])
def test_what_is_no_json_is_an_error(text):
    with pytest.raises(ValueError):
        with_values_of(text, {"a": 2})


blanks = st.text(" \t\r\n", max_size=3)
documents = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
                         lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8)


def written(draw, value):
    """A text of a document with blanks wherever they may be, and with letters as they are or escaped."""
    def entry(item):
        return draw(blanks) + written(draw, item) + draw(blanks)
    if isinstance(value, dict):
        return "{" + (",".join(entry(key) + ":" + entry(item) for key, item in value.items()) or draw(blanks)) + "}"
    if isinstance(value, list):
        return "[" + (",".join(map(entry, value)) or draw(blanks)) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


def objects_in(value):
    found = [value] if isinstance(value, dict) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*found, *(place for item in inner for place in objects_in(item))]


@st.composite
def texts(draw):
    document = draw(documents)
    return document, draw(blanks) + written(draw, document) + draw(blanks)


@given(texts(), documents)
def test_any_text_gets_any_values(text, wanted):
    assert json.loads(with_values_of(text[1], wanted)) == wanted and with_values_of(text[1], text[0]) == text[1]


@given(texts(), st.data())
def test_one_value_goes_and_comes_back(text, data):
    document, before = text
    places = objects_in(document)
    if not places:
        return
    number = data.draw(st.integers(0, len(places) - 1))
    key = data.draw(st.sampled_from([*places[number], "weight"]))
    other = copy.deepcopy(document)
    objects_in(other)[number][key] = {"health": 0}
    out = with_values_of(before, other)
    assert json.loads(out) == other
    again = with_values_of(out, document)
    # The value itself may have been written in another way.
    assert json.loads(again) == document and (key in places[number] or again == before)
