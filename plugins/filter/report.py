# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin shell: the report's pure functions as filters. Each filter's documentation stands in its own .yml beside this file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from ansible.errors import AnsibleFilterError

from ..plugin_utils._plan.shapes import Report
from ..plugin_utils._report import summary as core
from ..plugin_utils._report.facts import mapping, plain


def run_report(run: Mapping[str, Any]) -> Report:
    """The report of a run record: figures and a verdict."""
    try:
        return core.summarise(run, now=time.time())
    except core.ReportError as error:
        raise AnsibleFilterError(f"alwayson.upgrade.run_report: {error}") from error


def report_html(report: Mapping[str, Any]) -> str:
    """One HTML page for a report."""
    # Imported where it is made: a worker that needs any filter loads all files of filters, and the pictures are the largest of what they import.
    from ..plugin_utils._report.page import render

    return render(_made_by_run_report(report, "report_html"))


def report_text(report: Mapping[str, Any], width: int = 80, colour: bool = False) -> str:
    """A few lines for a terminal."""
    if isinstance(width, bool) or not str(width).isdecimal():
        raise AnsibleFilterError(f"alwayson.upgrade.report_text: width is {width!r}: give a number of columns such as 80")
    return core.terminal_summary(_made_by_run_report(report, "report_text"), int(width), colour=colour)


def _made_by_run_report(report: object, filter_name: str) -> Report:
    """The report as plain data; anything else than a report of this format is refused."""
    facts = mapping(plain(report), "all") if isinstance(report, Mapping) else {}
    if facts.get("format") != core.FORMAT:
        raise AnsibleFilterError(
            f"alwayson.upgrade.{filter_name}: the input is not a report of format {core.FORMAT}: pass what the filter alwayson.upgrade.run_report made"
        )
    return cast("Report", facts)


class FilterModule:
    """The filters of the report."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"run_report": run_report, "report_html": report_html, "report_text": report_text}
