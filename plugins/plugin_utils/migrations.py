# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which migrations an upgrade applies, from the files that there are and the ledgers in the databases. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..module_utils._version import compare, is_valid, parse

EXPAND, CONTRACT = "expand", "contract"


def steps_by_release(files: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Sort files such as ``2.0.0/expand/001_add.sql`` into release, phase and step names; releases oldest first.

    :raises ValueError: when a file lies elsewhere, or its folder is named after no release.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for file in sorted(files):
        parts = file.split("/")
        if len(parts) != 3 or parts[1] not in (EXPAND, CONTRACT):
            raise ValueError(f"{file} in upgrade_migrations is not <release>/expand/<step>.sql or <release>/contract/<step>.sql: move it there")
        if not is_valid(parts[0]):
            raise ValueError(f"{parts[0]!r} in upgrade_migrations is no release: name each folder after its release, such as 2.0.0")
        found.setdefault(parts[0], {}).setdefault(parts[1], []).append(parts[2].removesuffix(".sql"))
    return {release: found[release] for release in sorted(found, key=lambda name: parse(name).precedence)}


def to_expand(files: Iterable[str], before: str | None, after: str) -> list[str]:
    """The releases with expand migrations after *before* up to *after*: an upgrade that skips releases applies all of theirs."""
    return [release for release, phases in steps_by_release(files).items()
            if EXPAND in phases and compare(release, after) <= 0 and (before is None or compare(release, before) > 0)]


def to_contract(files: Iterable[str], databases: Mapping[str, Mapping], expanding: Iterable[str], after: str) -> list[str]:
    """The releases up to *after* whose contract migrations some database still lacks, and whose expand migrations have run or are about to.

    :param databases: host to database_info's ``databases``.
    """
    ledgers = [facts["migrations"] for by_name in databases.values() for facts in by_name.values()]
    wanted = []
    for release, phases in steps_by_release(files).items():
        begun = release in expanding or EXPAND not in phases or any(_applied(ledger, release, EXPAND) for ledger in ledgers)
        lacking = any(set(phases.get(CONTRACT, ())) - _applied(ledger, release, CONTRACT) for ledger in ledgers)
        if CONTRACT in phases and compare(release, after) <= 0 and begun and lacking:
            wanted.append(release)
    return wanted


def _applied(ledger: Iterable[Mapping], release: str, phase: str) -> set[str]:
    return {row["step"] for row in ledger if (row["release"], row["phase"], row["status"]) == (release, phase, "applied")}
