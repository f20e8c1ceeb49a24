# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault table: each row is a file, which says where it runs; the run itself prints the table and keeps it in build/faults.md."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from faults.fleets import Embedded
from faults.in_lab import InLab
from lab.fixtures import lab

__all__ = ["lab"]

ROW = re.compile(r"test_row_(\d+)_")
RESULTS: dict[tuple[int, str], dict[str, str]] = defaultdict(dict)


def pytest_generate_tests(metafunc):
    """A row runs on each fleet that its file names in ON."""
    if "fleet" in metafunc.fixturenames:
        metafunc.parametrize("fleet", [pytest.param(name, marks=pytest.mark.lab) if name == "lab" else name for name in metafunc.module.ON],
                             indirect=True, scope="function")


@pytest.fixture
def fleet(request, tmp_path):
    """A fleet on release 1.0.0, with users; whatever a row did to it is gone afterwards."""
    if request.param == "embedded":
        with Embedded(REPOSITORY / "build" / "faults" / request.module.__name__.rsplit(".", maxsplit=1)[-1]) as embedded:
            embedded.users_come()
            yield embedded
        return
    in_lab = InLab(request.getfixturevalue("lab"))
    in_lab.heal()
    in_lab.users_come()
    try:
        yield in_lab
    finally:
        in_lab.users_leave()
        in_lab.heal()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    row = ROW.search(item.nodeid)
    if row and (report.when == "call" or report.skipped or report.failed):
        where = item.callspec.params.get("fleet", "controller") if hasattr(item, "callspec") else "controller"
        name = (item.module.__doc__ or "").strip().splitlines()[0]
        report.user_properties.append(("row", [int(row[1]), name, where]))


def pytest_runtest_logreport(report):
    for key, value in report.user_properties:
        if key == "row" and (report.when == "call" or report.outcome != "passed"):
            number, name, where = value
            before = RESULTS[number, name].get(where)
            RESULTS[number, name][where] = report.outcome if before in (None, "passed") else before


def pytest_terminal_summary(terminalreporter):
    if not RESULTS:
        return
    columns = ("embedded", "lab", "controller")
    lines = ["| # | fault | embedded fleet | lab | controller |", "| --- | --- | --- | --- | --- |"]
    for number, name in sorted(RESULTS):
        lines.append(f"| {number} | {name.rstrip('.')} | {' | '.join(RESULTS[number, name].get(where, '') for where in columns)} |")
    (REPOSITORY / "build" / "faults.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    terminalreporter.section("the fault table (build/faults.md)")
    for line in lines:
        terminalreporter.line(line)
