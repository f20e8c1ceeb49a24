# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin shell: the check of a journal as a filter. Its documentation stands in journal_problem.yml beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils._run import journal


def journal_problem(text: str, head: Mapping[str, Any] | None = None) -> str:
    """The first problem of a journal's text in a sentence, empty when there is none."""
    if not isinstance(text, str):
        raise AnsibleFilterError(f"alwayson.upgrade.journal_problem: the input is a {type(text).__name__}: give the text of a journal.jsonl")
    kept = None
    if head is not None:
        kept = journal.head_from(head)
        if kept is None:
            raise AnsibleFilterError("alwayson.upgrade.journal_problem: head is no head of a journal: give what journal.head held, {seq, hash}")
    return journal.journal_problem(text.encode("utf-8", "surrogateescape"), kept)


class FilterModule:
    """The filter of the journal."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"journal_problem": journal_problem}
