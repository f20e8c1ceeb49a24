# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML page that needs nothing else: no script, no font, no picture from outside."""

from __future__ import annotations

from collections.abc import Iterable

from .._text.figures import NO_VALUE, count, method_name, milliseconds, moment, percent, plural, release_change, seconds
from .._text.markup import Markup, element, join
from .pictures.all import PICTURES, View, room_for_names
from .style import STYLE
from .tables import databases_table, failures_table, kinds_table, members_table, migration_tool_table, phases_table, verdicts_table
from .verdict import compares_with_floor, falls_below_floor, longest_answer
from .._plan.shapes import Report

MARKS = {"good": "✓", "warning": "!", "bad": "✕"}
# The page may load nothing and run nothing, whatever a hostile host name or error message tries.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(report: Report) -> str:
    """The page for a report as ``summarise`` made it; also for one that was read back from report.json."""
    release = release_change(report["direction"], report["release_from"], report["release_to"])
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", f"{report['service'] or 'Service'} {release}: {report['headline']}"),
        element("style", Markup(STYLE)),
    )
    parts = (_header, _problems, _figures, _not_proven, _pictures, _details, _footer)
    page = element("html", head, element("body", element("main", *(part(report) for part in parts))), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


# -- the top of the page

def _header(report: Report) -> Markup:
    """Whose run this was, the answer, and what else one wants to know at once."""
    operator = " ".join(f"{word} {report['operator'][key]}" for word, key in (("by", "user"), ("on", "host")) if report["operator"].get(key))
    facts = [
        element("b", report["service"] or "unnamed service"),
        element("b", release_change(report["direction"], report["release_from"], report["release_to"])),
        method_name(report),
        moment(report["started"]) if report["started"] is not None else None,
        operator or None,
    ]
    mark = element("span", MARKS[report["tone"]], class_="mark", aria_hidden="true")
    return element(
        "header",
        element("p", join([fact for fact in facts if fact], " · "), class_="run"),
        element("h1", mark, element("span", *_clauses(report["headline"]))),
        element("p", report["subline"], class_="subline") if report["subline"] else None,
        class_=report["tone"],
    )


def _clauses(headline: str) -> list[object]:
    """The headline, broken only between its clauses where there is room for each."""
    first, mark, rest = headline.partition(": ")
    return [element("span", first + mark, class_="clause"), " ", element("span", rest, class_="clause")] if rest else [headline]


def _problems(report: Report) -> Markup | None:
    if not report["problems"]:
        return None
    following = element("p", "What to do next", element("code", report["next_command"], class_="command")) if report["next_command"] else None
    return element("section", element("h2", "What went wrong"), _list(report["problems"]), following, class_="notice problem")


def _not_proven(report: Report) -> Markup | None:
    if not report["not_proven"]:
        return None
    return element("section", element("h2", "Not proven by this run"), _list(report["not_proven"]), class_="notice")


def _list(sentences: list[str]) -> Markup:
    return element("ul", *(element("li", sentence) for sentence in sentences))


# -- the figures

def _figures(report: Report) -> Markup:
    figures = [_requests(report), _failed(report), _longest(report), _capacity(report), _time(report), _databases(report)]
    return element("dl", *figures, class_="figures")


def _figure(label: str, value: object, note: str = "", *, of: str = "", bad: bool = False) -> Markup:
    shown = element("div", value, element("small", f" {of}") if of else None, class_="value")
    return element("div", element("dt", label), element("dd", shown, element("div", note, class_="note") if note else None), class_="bad" if bad else None)


def _requests(report: Report) -> Markup:
    if not report["measured"]:
        return _figure("Requests", NO_VALUE, "not measured")
    details = [f"{count(report['rate'])} a second" if report["rate"] else "", f"{plural(report['clients'], 'client')}" if report["clients"] else ""]
    return _figure("Requests", count(report["requests_scheduled"]), ", ".join(word for word in details if word))


def _failed(report: Report) -> Markup:
    failed, asked = report["requests_failed"], report["requests_scheduled"]
    if not report["measured"] or not asked or failed is None:
        return _figure("Failed", NO_VALUE, "not measured")
    if failed:
        return _figure("Failed", count(failed), f"{percent(failed / asked)} of all requests", bad=True)
    bound = report["bound_95"]
    return _figure("Failed", "0", f"with 95 % confidence fewer than 1 in {count(round(1 / bound))}" if bound else "")


def _longest(report: Report) -> Markup:
    longest, slow = longest_answer(report)
    if longest is None:
        return _figure("Longest answer", NO_VALUE, "not measured")
    return _figure("Longest answer", milliseconds(longest), f"{milliseconds(slow)} where the answer is slow on purpose" if slow is not None else "")


def _capacity(report: Report) -> Markup:
    if report["live_min"] is None:
        return _figure("Lowest live capacity", NO_VALUE, "not measured")
    floor = "no floor given" if report["live_floor"] is None else f"the floor is {count(report['live_floor'])}"
    if report["serving"]:
        floor = "of the pool that has the traffic"
    return _figure(
        "Lowest live capacity", count(report["live_min"]), floor,
        of="" if report["pool_size"] is None else f"of {count(report['pool_size'])}", bad=falls_below_floor(report),
    )


def _time(report: Report) -> Markup:
    """The roll's time beside the least that the members' own outages allow; without a roll phase the whole run's."""
    whole, roll, floor = report["duration_s"], report["roll_s"], report["duration_floor_s"]
    if roll is None:
        return _figure("Time", NO_VALUE, "not measured") if whole is None else _figure("Time", seconds(whole), "with all phases")
    parts = [f"the least possible is {seconds(floor)}" if compares_with_floor(report) else "", f"{seconds(whole)} with all phases" if whole is not None else ""]
    return _figure("Time to roll", seconds(roll), "; ".join(word for word in parts if word))


def _databases(report: Report) -> Markup:
    databases = report["databases"].values()
    if not databases:
        return _figure("Backups proven", NO_VALUE, "no database in this run")
    proven = sum(database["backup_proven"] for database in databases)
    applied = sum(database["migrations_applied"] for database in databases)
    note = f"by a restore; {plural(applied, 'migration')} applied"
    return _figure("Backups proven", count(proven), note, of=f"of {len(databases)}", bad=proven < len(databases))


# -- the pictures and the tables

def _pictures(report: Report) -> Markup:
    """Every picture twice, for a wide screen and for a telephone; the style shows one of them."""
    return join(_shown_twice(name, report, report["members"]) for name in PICTURES if name != "restores")


def _shown_twice(name: str, report: Report, names: Iterable[str], *, headed: bool = True) -> Markup | None:
    wide = PICTURES[name](report, View(width=876, left=room_for_names(names), key=f"{name}-wide"))
    narrow = PICTURES[name](report, View(width=400, left=room_for_names(names, least=52, most=84), right=48, key=f"{name}-narrow"))
    if wide is None or narrow is None:
        return None
    return element(
        "figure",
        element("figcaption", element("h2", wide.title) if headed else None, element("p", wide.description, class_="finding")),
        element("div", wide.svg, class_="wide-only"),
        element("div", narrow.svg, class_="narrow-only"),
    )


def _details(report: Report) -> Markup:
    restores = _shown_twice("restores", report, report["databases"], headed=False)
    return join(
        [
            _section("Members", members_table(report), "Out of traffic counts from the first drain to the last load balancer that sends traffic again."),
            _section("Canary verdicts", verdicts_table(report), "What users got from a canary, as the load balancers counted it, beside what they got from "
                     "the others in the same time."),
            _section("Databases", databases_table(report), "A backup is proven when a restore of it had the same rows and contents in every table.", restores),
            _section("Migration tool", migration_tool_table(report)),
            _section("Failed requests", failures_table(report)),
            _section("Requests by kind", kinds_table(report), "Latency counts from the moment a request was due, so a wait before sending is not hidden."),
            _section("Phases", phases_table(report)),
        ]
    )


def _section(title: str, content: Markup | None, words: str | None = None, figure: Markup | None = None) -> Markup | None:
    """A table under its heading, or nothing when there is no table."""
    if content is None:
        return None
    return element("section", element("h2", title), element("p", words, class_="finding") if words else None, figure, content)


def _footer(report: Report) -> Markup:
    notes = []
    if report["version_regressions"] is not None:
        notes.append(f"{plural(report['version_regressions'], 'client')} saw the old release after the new one.")
    if report["send_lag_p99_ms"] is not None:
        notes.append(f"The prober sent 99 of 100 requests within {milliseconds(report['send_lag_p99_ms'])} of the moment they were due.")
    if compares_with_floor(report):
        notes.append("The least possible time follows from the members' own work: no order of the members is faster.")
    core = f", ansible-core {report['core_version']}" if report["core_version"] else ""
    ended = f"Run ended {moment(report['finished'])}. " if report["finished"] is not None else ""
    made = f"{ended}Made by alwayson.upgrade{core}. The figures stand in report.json beside this page."
    return element("footer", element("p", " ".join(notes)) if notes else None, element("p", made))
