# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says at its end when it did not do what it was to do: the reasons, and the commands that go on from there. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._plan.migration_tool import NOT_RUN, UNNEEDED
from .._plan.migrations import AFTER_THE_ROLL
from .._text.command_line import AGAIN, COLLECTION, PROGRAM
from .._plan.shapes import RunRecord

STATUS = f"{PROGRAM} {COLLECTION}status"
ROLLBACK = f"{PROGRAM} {COLLECTION}rollback"


def closing_text(record: RunRecord | None, reason: str = "", has_begun: bool = False) -> str:
    """The last message of a run that failed, in lines. Its commands are completed by ``command_line.complete``.

    :param record: the run's record (``run_record.make_record``), None when there is none.
    :param reason: why the run ended before it was done, in lines.
    :param has_begun: whether anything may have been changed.
    """
    reasons = list(dict.fromkeys([*(record["problems"] if record else []), *str(reason).splitlines()]))
    if not has_begun:
        return "\n".join([*_listed(reasons), "Nothing was changed. When this is corrected, run the same command again:", f"  {AGAIN}"])
    headline = [f"{record['service']}: {record['outcome']}"] if record else []
    return "\n".join([*headline, *_listed(reasons, always=bool(headline)), "Next:", *_next(record)])


def _listed(sentences: Sequence[str], always: bool = False) -> list[str]:
    return [f"- {sentence}" for sentence in sentences] if always or len(sentences) > 1 else list(sentences)


def _next(record: RunRecord | None) -> list[str]:
    """Commands with what they do as a comment of the shell, so that a line can be pasted."""
    lines = [f"  {STATUS}  # shows what runs where", f"  {AGAIN}  # continues from there"]
    if record and can_go_back(record):
        lines.append(f"  {ROLLBACK} -e upgrade_release={record['release_from']}  # returns to {record['release_from']}")
    return lines


def can_go_back(record: RunRecord) -> bool:
    """Whether an upgrade has brought a member to the new release, and nothing past the point of no return."""
    if record["direction"] != "upgrade" or record["release_from"] in (None, record["release_to"]):
        return False
    tool = record.get("migration_tool")
    if tool and not tool["keeps_previous"] and tool["status"] not in (UNNEEDED, NOT_RUN):
        return False
    rows = [row for entry in record["databases"].values() for row in entry["migrations"]]
    return (any(member["release_after"] == record["release_to"] for member in record["members"].values())
            and not any(row["phase"] in AFTER_THE_ROLL for row in rows))
