# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bar for each member over time: in traffic on which release, out of traffic in which stage; grouped by zone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._text.figures import listed, natural, plural, seconds
from ..._text.markup import Markup, element, join
from ..floor import STRANDED, is_waiting
from ..serving_pool import serves, without_traffic
from .frame import AXIS, STRIP, Frame, Picture, View, hatching, legend, moved_mark, phase_bands, shortened, svg, time_axis, timeline
from ..._plan.shapes import Report

STAGES = (
    ("draining", "draining", ("drain", "out of traffic")),
    ("upgrading", "upgrading", ("upgrad", "releas", "stop", "switch", "start", "patch", "return to ")),
    ("testing", "smoke test", ("smoke", "test", "prob")),
    ("returning", "returning", ("return", "back", "into traffic")),
)
ZONE = 20  # the height of a zone's name
MANY = 30  # rows, from which on they are thinner


def members(report: Report, view: View) -> Picture | None:
    """The picture, or None when no member or no moment is known."""
    time = timeline(report)
    if time is None or not report["members"]:
        return None
    zones = _groups(report)
    row_height = 21 if len(report["members"]) <= MANY else 14
    entries, tall = legend(view, _legend(report), y=2)
    height = sum(row_height * len(names) for names in zones.values()) + ZONE * sum(zone is not None for zone in zones)
    frame = Frame(view=view, time=time, top=tall + STRIP, height=height + 4)
    rows, y = [], frame.top
    for zone, names in zones.items():
        if zone is not None:
            rows.append(element("text", shortened(zone, view.left + 60), class_="small", x=0, y=y + 14))
            y += ZONE
        for name in names:
            rows.append(_row(frame, report, name, y + row_height / 2))
            y += row_height
    return svg(
        view,
        frame.bottom + AXIS + 2,
        element("defs", hatching(view, "left-out", "hatch-bad"), hatching(view, "waiting", "hatch")),
        entries,
        phase_bands(frame, report["phases"]),
        join(rows),
        time_axis(frame),
        moved_mark(frame, report),
        title="Members over time",
        description=_description(report),
    )


def _groups(report: Report) -> dict[str | None, list[str]]:
    """The names by zone; of blue-green by pool."""
    if not report["serving"]:
        return _by_zone(report["members"])
    pools: dict[str, list[str]] = {}
    for name, member in report["members"].items():
        pools.setdefault(member["pool"] or "no pool", []).append(name)
    return {pool: pools[pool] for pool in sorted(pools, key=natural)}


def _by_zone(members_: Mapping[str, Any]) -> dict[str | None, list[str]]:
    """The names by zone, both in natural order; one nameless group when no member has a zone."""
    if all(member["zone"] is None for member in members_.values()):
        return {None: list(members_)}
    zones: dict[str, list[str]] = {}
    for name, member in members_.items():
        zones.setdefault(member["zone"] or "no zone", []).append(name)
    return {zone: zones[zone] for zone in sorted(zones, key=natural)}


def stage_class(name: str) -> str:
    """The class of a stage, by the words it begins with."""
    if is_waiting(name):
        return "waiting"
    return next((class_ for class_, _word, starts in STAGES if name.lower().startswith(starts)), "elsewhere")


def _legend(report: Report) -> list[tuple[str, str]]:
    stages = {stage_class(stage["name"]) for member in report["members"].values() for stage in member["stages"]}
    stages |= {"waiting"} if any(_waited(member) for member in report["members"].values()) else set()
    words = {**{class_: word for class_, word, _starts in STAGES}, "waiting": "waiting", "elsewhere": "other"}
    before = {member["release_before"] for member in report["members"].values()}
    after = {member["release_after"] for member in report["members"].values()}
    entries = [("release-old", f"on {report['release_from']}")] if report["release_from"] in before | after else []
    entries += [("release-new", f"on {report['release_to']}")] if report["release_to"] in before | after else []
    return entries + [(class_, word) for class_, word in words.items() if class_ in stages]


def _waited(member: Mapping[str, Any]) -> bool:
    """Whether the member stood out of traffic for a second or more with nothing done to it."""
    work, out = member["seconds_of_work"], member["seconds_out"]
    return bool(member["stages"]) and None not in (work, out) and out - work >= 1


def _row(frame: Frame, report: Report, name: str, middle: float) -> Markup:
    """A member: a thin line while it is in traffic, blocks for the stages while it is out, the seconds out at the end."""
    member, view = report["members"][name], frame.view
    stranded = member["outcome"] in STRANDED
    label = shortened(name, view.left - 12)
    parts = [element("text", element("title", name), label, class_="strong", x=0, y=middle + 4)]
    out = member["out_at"]
    back = member["in_at"] if member["in_at"] is not None else frame.time.end
    if out is None:
        parts.append(_track(frame, report, member, member["release_before"], (frame.time.start, frame.time.end), middle))
        return join(parts)
    parts.append(_track(frame, report, member, member["release_before"], (frame.time.start, out), middle))
    if not stranded:
        parts.append(_block(frame, {"name": "waiting", "started": out, "finished": back}, name, middle))
        parts.append(_track(frame, report, member, member["release_after"], (back, frame.time.end), middle))
    blocks = member["stages"] or [{"name": "out of traffic", "started": out, "finished": back}]
    parts += [_block(frame, block, name, middle) for block in blocks if block["started"] is not None]
    if stranded:
        last = max((stage["finished"] for stage in member["stages"] if stage["finished"] is not None), default=out)
        title = element("title", f"{name}: left out of traffic since {frame.since(last)}")
        area = {"x": frame.x(last), "y": middle - 6, "width": frame.right - frame.x(last), "height": 12}
        parts.append(element("rect", title, class_="left-out", fill=f"url(#{view.key}-left-out)", **area))
    return join([*parts, _outcome(frame, report, member, middle)])


def _track(frame: Frame, report: Report, member: Mapping[str, Any], release: str | None, span: tuple[float, float], middle: float) -> Markup:
    """The member while nothing is done to it: thick while users reach its pool, dotted while its pool has no traffic."""
    return join(_users(frame, report, release, start, end, middle) if users else _no_users(frame, release, start, end, middle)
                for start, end, users in serves(report, member, *span))


def _no_users(frame: Frame, release: str | None, started: float, finished: float, middle: float) -> Markup:
    title = element("title", f"no traffic, on {release or 'an unknown release'}")
    return element("line", title, class_="idle", x1=frame.x(started), x2=frame.x(finished), y1=middle, y2=middle)


def _users(frame: Frame, report: Report, release: str | None, started: float, finished: float, middle: float) -> Markup:
    shade = {report["release_to"]: "release-new", report["release_from"]: "release-old"}.get(release, "release-other")
    left, right = frame.x(started), frame.x(finished)
    title = element("title", f"in traffic on {release or 'an unknown release'}")
    return element("rect", title, class_=f"track {shade}", x=left, y=middle - 1.5, width=max(0.0, right - left), height=3, rx=1.5)


def _block(frame: Frame, stage: Mapping[str, Any], name: str, middle: float) -> Markup:
    ends = frame.time.end if stage["finished"] is None else stage["finished"]
    left, right = frame.x(stage["started"]), frame.x(ends)
    title = element("title", f"{name}: {stage['name']}, {frame.since(stage['started'])} to {frame.since(ends)}, {seconds(ends - stage['started'])}")
    area = {"x": left, "y": middle - 6, "width": max(1.0, right - left - 0.6), "height": 12}
    kind = stage_class(stage["name"])
    if kind != "waiting":
        return element("rect", title, class_=f"stage {kind}", rx=1.5, **area)
    return element("rect", title, class_="stage", fill=f"url(#{frame.view.key}-waiting)", rx=1.5, **area)


def _outcome(frame: Frame, report: Report, member: Mapping[str, Any], middle: float) -> Markup:
    """At the right end: the seconds out of traffic (of work where there was none), or that the member did not come back, or came back as it was."""
    if member["outcome"] in STRANDED:
        return element("text", "✕ out", class_="bad", x=frame.right + 6, y=middle + 4)
    mark = " ↩" if member["outcome"] == "returned" else ""
    took = member["seconds_of_work"] if without_traffic(report, member) else member["seconds_out"]
    if took is None:
        return element("text", mark, x=frame.right + 6, y=middle + 4)
    return element("text", seconds(took) + mark, class_="bad" if mark else "strong", x=frame.right + 6, y=middle + 4)


def _description(report: Report) -> str:
    members_ = report["members"]
    sentences = [f"{plural(len(members_), 'member')}."]
    if report["serving"]:
        sentences.append(f"{' and then '.join(dict.fromkeys(row['pool'] for row in report['serving']))} had the traffic; dotted: no traffic.")
    outs = {name: member["seconds_out"] for name, member in members_.items() if member["seconds_out"] is not None and not without_traffic(report, member)}
    if outs:
        longest = max(outs, key=lambda name: outs[name])
        sentences.append(f"The longest time out of traffic was {seconds(outs[longest])}, of {longest}.")
    for outcome, words in (("returned", "returned to the previous release"), ("left_out", "left out of traffic"), ("lost", "lost during its upgrade"),
                           *([("untouched", "not touched")] if any(out is not None for out in outs.values()) and not report["serving"] else [])):
        names = [name for name, member in members_.items() if member["outcome"] == outcome]
        if names:
            sentences.append(f"{listed(names)}: {words}.")
    return " ".join(sentences)
