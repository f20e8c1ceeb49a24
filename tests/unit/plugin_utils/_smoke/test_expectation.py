# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._smoke import expectation
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._smoke.expectation import ExpectationError, compiled, document, plain, reasons, shown
from hypothesis import given
from hypothesis import strategies as st

BODY = {
    "release": "2.0.0",
    "count": 3,
    "ratio": 0.5,
    "ok": True,
    "none": None,
    "products": [{"name": "Apple", "id": 1}, {"name": "Pear", "id": 2}],
    "tags": ["a", "b"],
    "1": "digit",
}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def answer(**changes):
    given_answer = {"status": 200, "headers": [("X-Release", "2.0.0")], "body": json.dumps(BODY), "truncated": False, "seconds": 0.25}
    return document(**{**given_answer, **changes})


def why(expect, **changes):
    return reasons(compiled(expect), [], answer(**changes))


FULFILLED = [
    {"release": "2.0.0"},
    {"count": 3, "ratio": 0.5, "ok": True, "none": None},
    {"count": 3.0},
    {"products[*].name": ["Apple", "Pear"]},
    {"products[0]": {"name": "Apple", "id": 1}},
    {"length(products)": 2},
    {"length(products)": {"at_least": 2}},
    {"ratio": {"at_most": 0.5}},
    {"release": {"matches": r"^2\."}},
    {"release": {"matches": "0.0"}},
    {"release": {"captures": [r"(\d\.\d)", "2.0"]}},
    {"release": {"contains": ".0."}},
    {"tags": {"contains": "b"}},
    {"products": {"contains": {"name": "Pear", "id": 2}}},
    {"products[0]": {"contains": "name"}},
    {"products[0]": {"equals": {"name": "Apple", "id": 1}}},
    {"tags": {"equals": ["a", "b"]}},
    {'"1"': "digit"},
    {"missing": None},
    {"@ != `null`": True},
    {},
]

UNFULFILLED = [
    ({"release": "1.0.0"}, 'expected release to be "1.0.0", saw "2.0.0"'),
    ({"release": 2.0}, 'expected release to be 2.0, saw "2.0.0" (text, not a number: quote the expected value)'),
    ({"count": "3"}, 'expected count to be "3", saw 3'),
    ({"ok": 1}, "expected ok to be 1, saw true"),
    ({"count": True}, "expected count to be true, saw 3"),
    ({"missing": "x"}, 'expected missing to be "x", saw null'),
    ({"length(products)": {"at_least": 3}}, "expected length(products) to be at least 3, saw 2"),
    ({"count": {"at_most": 2}}, "expected count to be at most 2, saw 3"),
    ({"ok": {"at_least": 0}}, "expected ok to be at least 0, saw true"),
    ({"none": {"at_least": 0}}, "expected none to be at least 0, saw null"),
    ({"release": {"matches": "^3"}}, 'expected release to match "^3", saw "2.0.0"'),
    ({"release": {"captures": [r"^(\d)", "3"]}}, r'expected release to match "^(\\d)" with "3" as its first group, saw "2.0.0"'),
    ({"count": {"captures": ["(3)", "3"]}}, 'expected count to match "(3)" with "3" as its first group, saw 3'),
    ({"count": {"matches": "3"}}, 'expected count to match "3", saw 3'),
    ({"tags": {"contains": "c"}}, 'expected tags to contain "c", saw ["a", "b"]'),
    ({"tags": {"contains": ["a", "b"]}}, 'expected tags to contain ["a", "b"], saw ["a", "b"]'),
    ({"release": {"contains": 2}}, 'expected release to contain 2, saw "2.0.0" (text, not a number: quote the expected value)'),
    ({"none": {"contains": "x"}}, 'expected none to contain "x", saw null'),
    ({"tags": ["b", "a"]}, 'expected tags to be ["b", "a"], saw ["a", "b"]'),
    ({"tags": ["a"]}, 'expected tags to be ["a"], saw ["a", "b"]'),
    ({"count": {"at_lest": 3}}, 'expected count to be {"at_lest": 3}, saw 3'),
    ({"products[0]": {"name": "Apple", "id": True}}, 'expected products[0] to be {"name": "Apple", "id": true}, saw {"name": "Apple", "id": 1}'),
]


@pytest.mark.parametrize("expect", FULFILLED, ids=str)
def test_what_is_fulfilled_gives_no_reason(expect):
    assert why(expect) == []


@pytest.mark.parametrize(("expect", "reason"), UNFULFILLED, ids=lambda value: str(value)[:50])
def test_what_is_not_fulfilled_is_said_in_words(expect, reason):
    assert why(expect) == [reason]


def test_every_reason_is_given():
    assert len(why({"release": "1", "count": 3, "ok": False})) == 2


def test_the_whole_answer_can_be_looked_into():
    expect = {'headers."x-release"': "2.0.0", "status": 200, "seconds": {"at_most": 0.3}, "json.count": 3, "body": {"contains": "Pear"}}
    assert reasons([], compiled(expect), answer()) == []
    assert reasons([], compiled({"seconds": {"at_most": 0.2}}), answer()) == ["expected seconds to be at most 0.2, saw 0.25"]


def test_a_header_that_occurs_twice_is_joined():
    assert answer(headers=[("Via", "a"), ("via", "b")])["headers"] == {"via": "a, b"}


@pytest.mark.parametrize("body", ["<html>", "", "NaN", "[Infinity]", "9" * 10_000 + "x", "[" * 200_000])
def test_a_body_that_is_not_json_is_said_to_be_that(body):
    [reason] = why({"release": "2.0.0", "count": 1}, body=body)
    assert reason.startswith("expected JSON to read release, count from, but the body is not JSON: ")
    assert len(reason) < 400


def test_a_body_that_is_not_json_matters_only_to_who_looks_into_it():
    assert why({}, body="<html>") == []
    assert reasons([], compiled({"json": None}), answer(body="<html>")) == []


def test_a_body_that_is_cut_off_is_no_json():
    assert "is longer than what is read of it" in why({"release": "2.0.0"}, truncated=True)[0]


def test_an_expression_that_the_answer_does_not_suit_is_a_reason_and_no_error():
    [reason] = why({"length(count)": 1})
    assert reason.startswith("expected length(count) to be 1, but the answer does not allow to evaluate it: ")


@pytest.mark.parametrize(
    ("expect", "reason"),
    [
        ({"a[": 1}, r"'a\[' is no JMESPath expression"),
        ({"": 1}, "is no JMESPath expression"),
        ({"unknown(": 1}, "is no JMESPath expression"),
        ({1: 1}, "1 is no JMESPath expression: quote it"),
        ({"a": {"matches": "("}}, "is no regular expression"),
        ({"a": {"matches": 1}}, "1 is no regular expression"),
        ({"a": {"captures": ["(", "x"]}}, "is no regular expression"),
        ({"a": {"captures": ["x", "x"]}}, "has no group, so it captures nothing"),
        ({"a": {"captures": "(x)"}}, "captures takes a regular expression and the text"),
        ({"a": {"at_least": "3"}}, 'at_least takes a number, not "3"'),
        ({"a": {"at_most": True}}, "at_most takes a number, not true"),
        ({"a": datetime.date(2026, 1, 1)}, "type date, which JSON does not have: quote it"),
    ],
)
def test_what_is_wrong_in_itself_is_an_error(expect, reason):
    with pytest.raises(ExpectationError, match=reason):
        compiled(expect)


def test_a_missing_jmespath_is_named_only_when_it_is_needed(monkeypatch):
    monkeypatch.setattr(expectation, "jmespath", None)
    assert compiled({}) == []
    with pytest.raises(ExpectationError, match=r"Python package jmespath is missing on the controller.*-m pip install jmespath"):
        compiled({"a": 1})


class Text(str):
    """Stands in for Ansible's subclasses of built-in types."""


class Number(int):
    pass


class Mapping(dict):
    pass


class Sequence(list):
    pass


def test_plain_strips_subclasses_all_the_way_down():
    value = plain(Mapping({Text("a"): Sequence([Number(1), Text("x"), True, None, 0.5])}))
    assert value == {"a": [1, "x", True, None, 0.5]}
    [(key, items)] = value.items()
    assert list(map(type, [value, key, items, *items])) == [dict, str, list, int, str, bool, type(None), float]


def test_jmespath_functions_see_subclasses_as_what_they_are():
    # JMESPath itself takes a subclass of int for a string.
    assert reasons(compiled({Text("abs(seconds)"): Number(1)}), [], document(200, [], Text('{"seconds": -1}'), False, 1)) == []


@pytest.mark.parametrize("hostile", ["{{ 7 * 7 }}", "{% for x in y %}", "\x1b[2J\x1b[31mred", "line\nbreak", "\u202egnp.exe", "x" * 10_000, "\u0000"])
def test_a_hostile_answer_is_shown_as_short_ascii_json(hostile):
    [reason] = why({"release": "2.0.0"}, body=json.dumps({"release": hostile}))
    assert reason.isascii() and reason.isprintable() and len(reason) < 300


@given(ANY_JSON)
def test_every_json_value_equals_itself_and_is_shown_short(value):
    assert why({"value": {"equals": value}}, body=json.dumps({"value": value})) == []
    assert len(shown(value)) < 300


@given(ANY_JSON, ANY_JSON)
def test_equal_is_what_json_says(left, right):
    def canonical(value):
        return json.dumps(value, sort_keys=True)

    found = why({"value": {"equals": left}}, body=json.dumps({"value": right}))
    if canonical(left) == canonical(right):
        assert found == []
    elif type(left) is not type(right) and {type(left), type(right)} != {int, float}:
        assert len(found) == 1


def test_an_answer_that_is_nested_deeply_never_raises():
    for depth in (10, 100, 500, 900, 990, 1500, 3000):
        body = "[" * depth + "]" * depth
        for expect in ({"@": body}, {"@": {"contains": []}}, {"[]": []}):
            assert isinstance(why(expect, body=body), list)
