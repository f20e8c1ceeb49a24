# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows as a table of plain text. Pure."""

from __future__ import annotations

from collections.abc import Callable

UNKNOWN = "unknown"
COLUMNS: dict[str, Callable[[dict], str]] = {
    "regime": lambda row: row["regime"],
    "app ends": lambda row: row["application"],
    "requests": lambda row: f"{row['scheduled']:,}",
    "failed": lambda row: str(row["failed"]),
    "new>old": lambda row: f"{row['regressions']} of {row['clients']}",
    "p99 ms": lambda row: _figure(row["p99_ms"]),
    "p100 ms": lambda row: _figure(row["p100_ms"]),
    "k": lambda row: str(row["at_once"]),
    "roll s": lambda row: _figure(row["roll_s"], 1) + ("*" if row["read_from"] == "the report" else ""),
    "floor s": lambda row: _figure(row["floor_s"], 1),
    "roll/floor": lambda row: _figure(row["roll_s"] / row["floor_s"], 2) if row["floor_s"] else "-",
    "work s": lambda row: _figure(row["work_floor_s"], 1),
    "play s": lambda row: _figure(row["play_s"], 1),
    "live": lambda row: UNKNOWN if row["live_min"] is None else f"{row['live_min']} of {row['pool_size']}",
    "and up": lambda row: UNKNOWN if row["live_and_up_min"] is None else str(row["live_and_up_min"]),
    "failed by class": lambda row: ", ".join(f"{name} {count}" for name, count in row["classes"].items()) or "-",
}
LEFT = ("regime", "app ends", "failed by class")


def rendered(rows: list[dict]) -> str:
    """The table, and below it what it has no column for; a regime that was not run is in the latter only."""
    table = [list(COLUMNS), *([cell(row) for cell in COLUMNS.values()] for row in rows if "scheduled" in row)]
    widths = [max(len(line[column]) for line in table) for column in range(len(COLUMNS))]
    lines = ["  ".join(text.ljust(width) if name in LEFT else text.rjust(width) for name, text, width in zip(COLUMNS, line, widths)).rstrip() for line in table]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], *_remarks(rows)])


def _remarks(rows: list[dict]) -> list[str]:
    """A line for each thing that a reader of a row has to know."""
    said = [f"{_name(row)}: {row['problem']}" for row in rows if row.get("problem")]
    said += [f"{_name(row)}: the prober itself was late in {row['void_seconds']} s, whose latencies are left out" for row in rows if row.get("void_seconds")]
    if loads := [row["load_average"] for row in rows if "load_average" in row]:
        said.append(f"load average (1 min) when the regimes ended: {min(loads)} to {max(loads)}; seconds of a busy machine are longer for every regime")
    said += [f"community.general {version}" for version in sorted({row["community_general"] for row in rows if row.get("community_general")})]
    return ["", *said] if said else []


def _name(row: dict) -> str:
    return f"{row['regime']}, {row['application']}"


def _figure(value: float | None, places: int = 0) -> str:
    return "-" if value is None else f"{value:.{places}f}"
