# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures: well-formed, as many marks as data, and each mark where its figure says."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.pictures.all import PICTURES, View, room_for_names, standalone
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.pictures.capacity import live_steps
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.pictures.frame import shortened
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.pictures.members import stage_class
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.pictures.series import thinned, unbroken
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._text.markup import Markup, element, escape, join
from sample_run import NEW, OLD, sample_run

SVG = "{http://www.w3.org/2000/svg}"
VIEWS = [View(), View(width=400, left=52, right=48, key="narrow")]


def drawn(name: str, run: dict, view: View = VIEWS[0]) -> ElementTree.Element:
    """The picture as a tree; parsing it proves that it is well-formed."""
    return ElementTree.fromstring(PICTURES[name](summarise(run), view).svg)


def marks(tree: ElementTree.Element, class_: str) -> list[ElementTree.Element]:
    return [node for node in tree.iter() if class_ in node.get("class", "").split()]


def box(node: ElementTree.Element) -> tuple[float, float, float, float]:
    return tuple(float(node.get(name)) for name in ("x", "y", "width", "height"))


def spoilt_run() -> dict:
    """A run with failed requests, a void window and capacity under the floor."""
    run = sample_run()
    series = run["probe"]["series"]
    series[20]["failed"], series[25]["failed"] = 40, 3
    run["probe"]["void_windows"] = [{"from": series[5]["t"], "to": series[7]["t"], "send_lag_p99_ms": 180.0}]
    for row in run["probe"]["capacity"][80:88]:
        row["lb2"] = 2
    return run


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_every_picture_is_well_formed_and_described(name, view):
    tree = drawn(name, spoilt_run(), view)
    assert tree.tag == SVG + "svg" and tree.get("role") == "img"
    ids = [node.get("id") for node in tree.iter() if node.get("id")]
    assert len(ids) == len(set(ids)) >= 2 and all(identity.startswith(view.key) for identity in ids)
    assert tree.get("aria-labelledby").split() == ids[:2]
    assert tree.find(SVG + "title").text and tree.find(SVG + "desc").text


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_nothing_stands_outside_its_picture(name, view):
    tree = drawn(name, spoilt_run(), view)
    width, height = (float(value) for value in tree.get("viewBox").split()[2:])
    boxes = [box(node) for node in tree.iter(SVG + "rect")]
    assert len(boxes) > 3
    for x, y, wide, tall in boxes:
        assert x >= 0 and y >= 0 and wide >= 0 and tall >= 0 and x + wide <= width + 0.5 and y + tall <= height + 0.5


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_no_picture_without_data(name):
    assert PICTURES[name](summarise({}), VIEWS[0]) is None


def test_latency_shows_each_second_each_failure_and_each_void_window():
    run = spoilt_run()
    seconds = len(run["probe"]["series"])
    tree = drawn("latency", run)
    assert len(marks(tree, "p100")) == len(marks(tree, "hover")) == seconds
    assert len(marks(tree, "p50")) == len(marks(tree, "p99")) == 1, "one unbroken curve each"
    assert marks(tree, "p50")[0].get("d").count(",") == seconds
    assert len(marks(tree, "void")) == 1 and len(marks(tree, "failed")) == 2
    tall, small = (float(node.get("height")) for node in marks(tree, "failed"))
    assert tall > small, "more failures, taller mark"
    assert marks(tree, "bad")[0].text == "43"


def test_latency_of_a_good_run_has_no_red():
    tree = drawn("latency", sample_run())
    assert not marks(tree, "failed") and not marks(tree, "bad") and marks(tree, "good")[0].text == "0"


def test_latency_leaves_a_gap_where_nothing_was_measured():
    run = sample_run()
    del run["probe"]["series"][10:14]
    assert len(marks(drawn("latency", run), "p50")) == 2


def test_higher_latency_stands_higher():
    run = sample_run()
    for index, row in enumerate(run["probe"]["series"]):
        row["p100"] = 100.0 * (index + 1)
    heights = [float(node.get("cy")) for node in marks(drawn("latency", run), "p100")]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == len(heights)


def test_versions_fill_the_height_and_change_at_the_flip():
    run = sample_run()
    tree = drawn("versions", run)
    new, old = marks(tree, "release-new")[-1], marks(tree, "release-old")[-1]
    steps = {node.get("class"): node.get("d").count("M") for node in (new, old)}
    seen = [row["versions"] for row in run["probe"]["series"]]
    assert steps["share release-new"] == sum(NEW in row for row in seen) > 5 and steps["share release-old"] == sum(OLD in row for row in seen) > 5
    assert set(re.findall(r"v(-[\d.]+)", new.get("d") + old.get("d"))) == {"-110.0"}, "half-pool: always one release alone"


def test_versions_show_what_nobody_expected():
    run = sample_run()
    run["probe"]["series"][4]["versions"] = {"1.9.0-rc": 150, OLD: 50}
    assert len(marks(drawn("versions", run), "release-third")) == 2, "its legend and its area"


@pytest.mark.parametrize("method", ["half_pool", "rolling"])
def test_members_have_a_block_for_each_stage(method):
    run = sample_run(method, members=8)
    tree = drawn("members", run)
    for class_ in ("draining", "upgrading", "testing", "returning"):
        assert len([node for node in marks(tree, class_) if "stage" in node.get("class")]) == 8
    texts = [node.text for node in tree.iter(SVG + "text")]
    assert [text for text in texts if text in ("zone-a", "zone-b")] == ["zone-a", "zone-b"]
    names = [node.find(SVG + "title").text for node in tree.iter(SVG + "text") if node.find(SVG + "title") is not None]
    assert names == ["app1", "app3", "app5", "app7", "app2", "app4", "app6", "app8"]


def test_stages_follow_each_other_in_time():
    tree = drawn("members", sample_run())
    first_row = [node for node in marks(tree, "stage") if node.get("class") != "stage"][:4]
    assert [node.get("class") for node in first_row] == ["stage draining", "stage upgrading", "stage testing", "stage returning"]
    edges = [box(node) for node in first_row]
    assert all(left[0] + left[2] <= right[0] + 0.1 for left, right in zip(edges, edges[1:]))


def test_a_lost_member_stays_out_and_a_returned_one_is_marked():
    lost, returned = drawn("members", sample_run(outcome="stopped")), drawn("members", sample_run(outcome="returned"))
    assert len(marks(lost, "left-out")) == 1 and [node.text for node in marks(lost, "bad")] == ["✕ out"]
    assert not marks(returned, "left-out") and marks(returned, "bad")[0].text.endswith("↩")
    assert len(marks(lost, "track")) == 1 + 5


def test_members_without_stages_show_one_block():
    run = sample_run()
    for facts in run["members"].values():
        facts["stages"] = []
    assert len([node for node in marks(drawn("members", run), "draining") if "stage" in node.get("class")]) == 6


def test_stage_names_are_recognised():
    assert [stage_class(name) for name in ("drain", "release", "smoke test", "return", "waiting for the flip", "coffee")] == [
        "draining", "upgrading", "testing", "returning", "waiting", "elsewhere"]


def test_capacity_is_the_least_that_any_load_balancer_saw():
    seen = ({"lb1": 6, "lb2": 6}, {"lb1": 6, "lb2": 5}, {"lb1": 5, "lb2": 6}, {}, {"lb1": 6})
    samples = [{"t": t, "live": live} for t, live in enumerate(seen)]  # at 3 no load balancer could be read
    assert live_steps(samples, until=10) == [(0, 1, 6), (1, 3, 5), (4, 5, 6)]


def test_a_long_run_keeps_its_lowest_moment():
    samples = [{"t": t, "live": {"lb1": 1 if t == 4321 else 5 + t % 2}} for t in range(9000)]
    steps = live_steps(samples, until=9000)
    assert min(live for _from, _to, live in steps) == 1 and len(steps) <= 600


def test_capacity_under_the_floor_is_red_and_only_then():
    assert marks(drawn("capacity", sample_run()), "under-floor") == []
    tree = drawn("capacity", spoilt_run())
    assert len(marks(tree, "under-floor")) == 1 and len(marks(tree, "floor")) == 1
    assert "lowest: 2" in [node.text for node in tree.iter(SVG + "text")]


def test_capacity_of_a_large_pool_is_not_drawn_as_a_cut_area():
    run = sample_run("rolling", members=24)
    tree = drawn("capacity", run)
    assert not marks(tree, "capacity-area") and "0" not in [node.text for node in tree.iter(SVG + "text")]
    assert marks(drawn("capacity", sample_run()), "capacity-area")


def test_restores_have_two_bars_for_each_database_on_one_scale():
    run = sample_run(databases=3)
    run["databases"]["tenant_b"]["backup"].update(proven=False)
    tree = drawn("restores", run)
    dumps, restores = (marks(tree, name)[1:] for name in ("dump", "restore"))
    assert len(dumps) == len(restores) == 3
    took = [database["backup"]["seconds_restore"] for database in run["databases"].values()]
    per_second = {round((box(restore)[2] + 0.6) / seconds, 1) for restore, seconds in zip(restores, took)}
    assert len(per_second) == 1
    assert [node.text for node in marks(tree, "bad")] == ["✕ not proven"] and len(marks(tree, "good")) == 2


def test_of_very_many_databases_the_slowest_are_shown():
    run = sample_run(databases=50)
    run["databases"]["tenant_49"]["backup"]["seconds_restore"] = 99.0
    tree = drawn("restores", run)
    assert len(marks(tree, "restore")) == 1 + 40 and "The 40 slowest are shown" in tree.find(SVG + "desc").text
    assert "tenant_49" in [node.find(SVG + "title").text for node in tree.iter(SVG + "text") if node.find(SVG + "title") is not None]


def test_thinning_keeps_sums_and_the_worst():
    quiet = {"scheduled": 10, "failed": 0, "p50": 1.0, "p99": 2.0, "p100": 3.0, "versions": {"a": 10}}
    series = [{**quiet, "t": t} for t in range(1000)]
    series[77].update(failed=1, p100=900.0)
    rows, width = thinned(series, 120)
    assert width == 10 and len(rows) == 100
    assert sum(row["scheduled"] for row in rows) == 10_000 and sum(row["failed"] for row in rows) == 1
    assert max(row["p100"] for row in rows) == 900 and rows[7]["versions"] == {"a": 100}
    assert thinned([], 120) == ([], 1.0)


def test_stretches_break_at_gaps_and_unknown_values():
    rows = [{"t": t, "p50": None if t == 3 else 1.0} for t in (0, 1, 2, 3, 4, 8)]
    assert [[row["t"] for row in stretch] for stretch in unbroken(rows, 1.0, "p50")] == [[0, 1, 2], [4], [8]]


def test_a_picture_can_be_a_file_of_its_own():
    picture = PICTURES["members"](summarise(sample_run()), VIEWS[0])
    tree = ElementTree.fromstring(standalone(picture))
    assert tree.tag == SVG + "svg" and "prefers-color-scheme: dark" in tree.find(SVG + "style").text


def test_long_names_are_shortened_and_short_ones_kept():
    assert shortened("app1", 50) == "app1"
    assert shortened("a-very-long-host-name.example", 60) == "a-ve…mple"
    assert room_for_names(["app1"]) < room_for_names(["app1.example.org"]) < room_for_names(["x" * 99]) == 132


def test_markup_escapes_unless_it_is_markup():
    assert element("p", "<b>", element("i", 1), None, class_="a\"b", data_x=1.50, title=None) == '<p class="a&#34;b" data-x="1.5">&lt;b&gt;<i>1</i></p>'
    assert escape(Markup("<b>")) == "<b>" and join(["a", "<"], " & ") == "a &amp; &lt;"
    assert element("rect", x=1) == '<rect x="1"/>' and element("td") == "<td></td>"
    assert escape("a\x00\x1b\ud800\u202e") == "a" + "\ufffd" * 4
