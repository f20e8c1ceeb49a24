# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run in a terminal: the answer and a few lines that a person enjoys."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._schedule.error_budget import worst_first
from .._text.figures import count, done_word, listed, method_name, milliseconds, plural, release_change, seconds
from .._text.markup import printable
from .serving_pool import worked_on
from .verdict import compares_with_floor, falls_below_floor, longest_answer, void_seconds
from .._plan.shapes import Report

BLOCKS = "▁▂▃▄▅▆▇█"
MARKS = {"good": "✔", "warning": "!", "bad": "✘"}
COLOURS = {"good": "32", "warning": "33", "bad": "31", "faint": "2"}
LABEL = 16  # columns of the labels
ROOM = 34  # columns of the words before a sparkline
MOST_VERDICTS = 4
OUTCOMES = {"upgraded": "upgraded", "returned": "returned", "left_out": "left out of traffic", "lost": "lost", "untouched": "not touched"}


def terminal_summary(report: Report, width: int = 80, *, colour: bool = False) -> str:
    """The lines, none longer than *width* columns (at least 40); escape sequences only if *colour*.

    Whatever a hostile name brings with it (control characters, line ends) is made harmless.
    """
    width = max(40, int(width))
    ink = _Ink(colour)
    lines = [
        ink(_fit(_title(report), width), "faint"),
        *(ink(line, report["tone"]) for line in textwrap.wrap(f"{MARKS[report['tone']]} {_clean(report['headline'])}", width, subsequent_indent="  ")),
        "",
        *(_line(label, words, spark, width, ink) for label, words, spark in _figures(report, width)),
    ]
    for heading, sentences in (("problem", report["problems"]), ("not proven", report["not_proven"])):
        lines += [line for sentence in sentences for line in _wrapped(heading, sentence, width)]
    if report["next_command"] and not report["ok"]:
        lines += _wrapped("next", report["next_command"], width)
    return "\n".join(lines)


class _Ink:
    """Colours a line when colours are enabled."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

    def __call__(self, line: str, name: str) -> str:
        return f"\x1b[{COLOURS[name]}m{line}\x1b[0m" if self.wanted else line


def _title(report: Report) -> str:
    took = "" if report["duration_s"] is None else f", {seconds(report['duration_s'])}"
    method = f", {name}" if (name := method_name(report)) else ""
    release = release_change(report["direction"], report["release_from"], report["release_to"])
    return f"{report['service'] or 'service'} {release}{method}{took}"


def _figures(report: Report, width: int) -> list[tuple[str, str, str]]:
    """Label, words and sparkline of each figure."""
    cells = min(28, width - LABEL - ROOM - 2)
    return [
        ("requests", _requests(report), ""),
        ("longest answer", _longest(report), sparkline(_worst_per_second(report), cells)),
        ("live capacity", _capacity(report), sparkline([min(row["live"].values()) for row in report["capacity"] if row["live"]], cells, worst=min, least=0)),
        ("time", _time(report), _bar(report["duration_floor_s"], report["roll_s"], cells) if compares_with_floor(report) else ""),
        ("databases", _databases(report), ""),
        *[("members", words, "") for words in [_members(report)] if words],
        *[("verdict" if index == 0 else "", words, "") for index, words in enumerate(_verdicts(report))],
    ]


def _requests(report: Report) -> str:
    if not report["measured"]:
        return "not measured"
    parts = f"{count(report['requests_scheduled'])}, {count(report['requests_failed'])} failed"
    classes = ", ".join(f"{number} {name}" for name, number in worst_first(report["failures_by_class"]))
    parts += f" ({classes})" if classes else ""
    return parts if not report["void_windows"] else f"{parts}; {seconds(void_seconds(report))} void"


def _longest(report: Report) -> str:
    longest, slow = longest_answer(report)
    if longest is None:
        return "not measured"
    return milliseconds(longest) + (f", slow on purpose {milliseconds(slow)}" if slow is not None else "")


def _worst_per_second(report: Report) -> list[float]:
    """p99 rather than the longest: answers that are slow on purpose would hide everything else."""
    return [row["p99"] for row in report["series"] if row["p99"] is not None]


def _capacity(report: Report) -> str:
    if report["live_min"] is None:
        return "not measured"
    size = "" if report["pool_size"] is None else f" of {count(report['pool_size'])}"
    floor = "" if report["live_floor"] is None else f", floor {count(report['live_floor'])}"
    return f"lowest {count(report['live_min'])}{size}{floor}" + (" (UNDER IT)" if falls_below_floor(report) else "")


def _time(report: Report) -> str:
    taken = report["roll_s"] if report["roll_s"] is not None else report["duration_s"]
    if taken is None:
        return "not measured"
    parts = f"roll {seconds(taken)}" if report["roll_s"] is not None else seconds(taken)
    return parts + (f", least possible {seconds(report['duration_floor_s'])}" if compares_with_floor(report) else "")


def _databases(report: Report) -> str:
    databases = report["databases"].values()
    if not databases:
        return "none in this run"
    proven, applied = sum(database["backup_proven"] for database in databases), sum(database["migrations_applied"] for database in databases)
    return f"{proven} of {plural(len(databases), 'backup')} proven by a restore, {plural(applied, 'migration')} applied"


def _members(report: Report) -> str:
    """What became of the members, those that failed by name; empty when there are none."""
    by_outcome: dict[str, list[str]] = {}
    for name, member in worked_on(report).items():
        by_outcome.setdefault(member["outcome"] or "unknown", []).append(name)
    parts = []
    for outcome, names in sorted(by_outcome.items(), key=lambda entry: (*OUTCOMES, entry[0]).index(entry[0])):
        word = done_word(report["direction"]) if outcome == "upgraded" else OUTCOMES.get(outcome, outcome)
        parts.append(f"{len(names)} {word}" + ("" if outcome == "upgraded" or len(names) == len(report["members"]) else f" ({listed(names)})"))
    others = len(report["members"]) - sum(map(len, by_outcome.values()))
    return ", ".join([*parts, *([f"{others} of the other pool stand by"] if others else [])])


def _verdicts(report: Report) -> list[str]:
    return [f"{name} {verdict_words(row)}" for name, member in report["members"].items() for row in member["verdicts"]][:MOST_VERDICTS]


def verdict_words(row: Mapping[str, Any]) -> str:
    """What decided about a canary: its errors and its answers beside those of the others."""
    parts = []
    for who, label in (("canary", ""), ("others", "others ")):
        seen = row[who]
        took = f", {milliseconds(seen['response_ms'])}" if seen["response_ms"] is not None else ""
        if seen["requests"] is not None:
            parts.append(f"{label}{count(seen['errors'])} of {plural(seen['requests'], 'request')} failed{took}")
    return f"{row['verdict'] or 'unclear'}: {'; '.join(parts) or 'nothing was counted'}"


def sparkline(values: Sequence[float], cells: int, *, worst: Callable[[Sequence[float]], float] = max, least: float | None = None) -> str:
    """The values as small blocks, each cell the worst of those it covers; the scale starts at *least*, or at the smallest value."""
    if not values or cells < 4:
        return ""
    cells = min(cells, len(values))
    shown = [worst(values[index * len(values) // cells:(index + 1) * len(values) // cells]) for index in range(cells)]
    bottom = min(shown) if least is None else least
    span = max(shown) - bottom
    return "".join(BLOCKS[0 if span <= 0 else min(len(BLOCKS) - 1, int((value - bottom) / span * (len(BLOCKS) - 1) + 0.5))] for value in shown)


def _bar(least: float | None, taken: float | None, cells: int) -> str:
    """The least possible time as a full bar, what was taken beyond it as a faint one."""
    if not least or not taken or cells < 4:
        return ""
    full = round(cells * min(1.0, least / taken))
    return "█" * full + "░" * (cells - full)


def _line(label: str, words: str, spark: str, width: int, ink: _Ink) -> str:
    words = _clean(words)
    if not spark or len(words) >= ROOM:
        return _fit(f"  {label:<{LABEL}}{words}", width)
    return ink(f"  {label:<{LABEL}}", "faint") + f"{words:<{ROOM}}" + spark


def _wrapped(label: str, words: str, width: int) -> list[str]:
    """A sentence beside its label, broken between words; the label stands on the first line only."""
    lines = [line for part in words.splitlines() for line in textwrap.wrap(_clean(part), width - LABEL - 2, break_on_hyphens=False)]
    return [f"  {label if index == 0 else '':<{LABEL}}{line}" for index, line in enumerate(lines)]


def _clean(words: str) -> str:
    return " ".join(printable(words).split())


def _fit(line: str, width: int) -> str:
    line = printable(line).replace("\n", " ").replace("\t", " ")
    return line if len(line) <= width else line[: width - 1] + "…"
