# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which migrations an upgrade applies, from the files that there are and the ledgers in the databases. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...module_utils._host.version import compare, is_valid, parse

PHASES = EXPAND, BACKFILL, CONTRACT, OPTIMISE = "expand", "backfill", "contract", "optimise"
# Before the first member is upgraded, and after the last one.
BEFORE_THE_ROLL, AFTER_THE_ROLL = (EXPAND, BACKFILL), (CONTRACT, OPTIMISE)


def migration_steps(paths: Sequence[str], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The steps of one phase, ``[{name, sql}]``: each file's name without its ending, and its text.

    :raises ValueError: when the numbers of paths and texts differ.
    """
    if len(paths) != len(texts):
        raise ValueError(f"{len(paths)} files but {len(texts)} texts: give one for each")
    return [{"name": posixpath.splitext(posixpath.basename(path))[0], "sql": text} for path, text in zip(paths, texts)]


def steps_by_release(files: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Sort files such as ``2.0.0/expand/001_add.sql`` into release, phase and step names; releases oldest first.

    :raises ValueError: when a file lies elsewhere, or its folder is named after no release.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for file in sorted(files):
        parts = file.split("/")
        if len(parts) != 3 or parts[1] not in PHASES:
            raise ValueError(f"{file} in upgrade_migrations is not <release>/<phase>/<step>.sql with one of the phases {', '.join(PHASES)}: move it there")
        if not is_valid(parts[0]):
            raise ValueError(f"{parts[0]!r} in upgrade_migrations is no release: name each folder after its release, such as 2.0.0")
        found.setdefault(parts[0], {}).setdefault(parts[1], []).append(parts[2].removesuffix(".sql"))
    return {release: found[release] for release in sorted(found, key=lambda name: parse(name).precedence)}


def choose_migrations(files: Iterable[str], databases: Mapping[str, Mapping[str, Any]], before: str | None, after: str,
                      finalizes: bool) -> dict[str, list[str]]:
    """For each phase the releases whose steps are applied, oldest first.

    Expand and backfill: those after *before* up to *after*, so an upgrade that skips releases applies all of theirs. Contract and optimise, where *finalizes*:
    those up to *after* that some database still lacks, and whose expand steps have run or are about to; with the backfill that it lacks besides.

    :param databases: host to database_info's ``databases``.
    :raises ValueError: see ``steps_by_release``.
    """
    by_release = {release: phases for release, phases in steps_by_release(files).items() if compare(release, after) <= 0}
    ledgers = [facts["migrations"] for by_name in databases.values() for facts in by_name.values()]
    entered = [release for release in by_release if before is None or compare(release, before) > 0]
    finalized = {phase: [release for release, steps in by_release.items() if finalizes and _is_begun(release, steps, entered, ledgers)
                         and _is_lacking(release, phase, steps, ledgers)] for phase in AFTER_THE_ROLL}
    leaving = {release for found in finalized.values() for release in found}
    return {
        EXPAND: [release for release in entered if EXPAND in by_release[release]],
        BACKFILL: [release for release, steps in by_release.items()
                   if BACKFILL in steps and (release in entered or (release in leaving and _is_lacking(release, BACKFILL, steps, ledgers)))],
        **finalized,
    }


def in_order(chosen: Mapping[str, Any], phases: Iterable[str]) -> list[dict[str, str]]:
    """The runs of some phases, ``[{release, phase}]``: a release is done with before the next one begins.

    :param chosen: see ``choose_migrations``.
    """
    releases = sorted({release for phase in phases for release in chosen[phase]}, key=lambda name: parse(name).precedence)
    return [{"release": release, "phase": phase} for release in releases for phase in phases if release in chosen[phase]]


def _is_begun(release: str, steps: Mapping[str, list[str]], entered: Iterable[str], ledgers: Iterable[Any]) -> bool:
    return EXPAND not in steps or release in entered or any(_applied(ledger, release, EXPAND) for ledger in ledgers)


def _is_lacking(release: str, phase: str, steps: Mapping[str, list[str]], ledgers: Iterable[Any]) -> bool:
    return any(set(steps.get(phase, ())) - _applied(ledger, release, phase) for ledger in ledgers)


def _applied(ledger: Iterable[Mapping[str, Any]], release: str, phase: str) -> set[str]:
    return {row["step"] for row in ledger if (row["release"], row["phase"], row["status"]) == (release, phase, "applied")}
