# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each database took to be saved and to be brought back, and whether what came back was equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._text.figures import count, plural, seconds
from ..._text.markup import Markup, element, join
from .frame import LEGEND, Picture, View, legend, shortened, svg
from ..._plan.shapes import Report

MOST = 40  # rows; of more databases the slowest are shown


def restores(report: Report, view: View) -> Picture | None:
    """The picture, or None when no backup was measured."""
    backups = {name: database["backup"] for name, database in report["databases"].items() if database["backup"]}
    timed = {name: backup for name, backup in backups.items() if backup["seconds_restore"] is not None}
    if not timed:
        return None
    shown = sorted(timed, key=lambda name: -_total(timed[name]))[:MOST] if len(timed) > MOST else list(timed)
    longest = max(_total(timed[name]) for name in shown) or 1.0
    entries, tall = legend(view, [("dump", "saved"), ("restore", "restored into a scratch database and compared")], y=2)
    row_height = 34 if view.narrow else 24
    rows = [_row(view, name, timed[name], tall + 4 + index * row_height, longest) for index, name in enumerate(shown)]
    return svg(
        view,
        max(tall, LEGEND) + 6 + row_height * len(rows),
        entries,
        join(rows),
        title="Backups proven by a restore",
        description=_description(backups, shown, timed),
    )


def _total(backup: Mapping[str, Any]) -> float:
    return (backup["seconds_dump"] or 0.0) + (backup["seconds_restore"] or 0.0)


def _row(view: View, name: str, backup: Mapping[str, Any], y: float, longest: float) -> Markup:
    room = view.width - view.left - 8 if view.narrow else (view.width - view.left) * 0.44
    scale = room / longest
    dump, restore = (backup["seconds_dump"] or 0.0) * scale, (backup["seconds_restore"] or 0.0) * scale
    parts = [element("text", element("title", name), shortened(name, view.left - 12), class_="strong", x=0, y=y + 11)]
    for class_, word, left, width, took in (
        ("dump", "saved", 0.0, dump, backup["seconds_dump"]),
        ("restore", "restored and compared", dump, restore, backup["seconds_restore"]),
    ):
        title = element("title", f"{name}: {word} in {seconds(took)}")
        parts.append(element("rect", title, class_=class_, x=view.left + left, y=y + 1, width=max(1.0, width - 0.6), height=12, rx=1.5))
    x, below = (view.left, y + 26) if view.narrow else (view.left + dump + restore + 10, y + 11)
    return join([*parts, element("text", _finding(backup), class_="good" if backup["proven"] else "bad", x=x, y=below)])


def _finding(backup: Mapping[str, Any]) -> str:
    if not backup["proven"]:
        return "✕ not proven"
    return f"✓ {plural(backup['rows'], 'row')} in {plural(backup['tables'], 'table')} equal, {seconds(_total(backup))}"


def _description(backups: Mapping[str, Any], shown: list[str], timed: Mapping[str, Any]) -> str:
    proven = sum(backup["proven"] for backup in backups.values())
    slowest = max(timed, key=lambda name: timed[name]["seconds_restore"])
    text = f"{count(proven)} of {plural(len(backups), 'backup')} proven. The slowest restore, of {slowest}, took {seconds(timed[slowest]['seconds_restore'])}."
    return text if len(shown) == len(timed) else f"{text} The {len(shown)} slowest are shown."
