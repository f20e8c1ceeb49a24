# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a survey finds before anything is changed: each finding names a thing and the cure, and refuses the run or warns of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that a survey found; `text` is a sentence without its full stop."""

    text: str
    refuses: bool = True


def refusals(findings: Iterable[Finding]) -> str:
    """All that refuses the run, as one text; empty when nothing does."""
    return ". ".join(finding.text for finding in findings if finding.refuses)


def warnings(findings: Iterable[Finding]) -> list[str]:
    """The texts that warn."""
    return [finding.text for finding in findings if not finding.refuses]
