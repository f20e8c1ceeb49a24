# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of everything that happened, so that a reader sees what was exercised and nothing can pass by never happening."""

from __future__ import annotations

from collections import Counter

from .scenario import DEATHS

# Words of a reason to the kind of refusal; the first that matches counts.
REFUSALS = {
    "rolling_max_unavailable allows": "refused: window of the pool",
    "rolling_max_per_domain allows": "refused: window of a domain",
    "rolling_domains_at_once allows": "refused: domains at once",
    "the controller serves": "refused: forks",
    "less than the floor": "refused: floor",
    "is not finished": "refused: step before",
    "cannot be read": "refused: load balancers blind",
    "the operator paused": "refused: held",
    "every member has started": "refused: nobody left",
    "the operator wrote abort": "stopped: abort",
    "during the rollback": "stopped: failure during the rollback",
    "rolling_progress_deadline allows": "stopped: no progress",
    "no capacity came back": "stopped: no capacity",
    "rolling_max_failures allows": "stopped: budget",
    "no member of step": "stopped: a whole step failed",
}
KINDS = (
    "fleets", "members", "events", "decisions",
    "admissions", "admissions out of traffic", "admissions during the rollback",
    "runs", "controller deaths", *(f"death {point}" for point in DEATHS), "orphans that went on", "orphans that changed a host later", "waits at a fence",
    "outcome ok", "outcome failed", "outcome lost", "outcome returned", "lost before the start", "hung members cut",
    "turns back", "ways back completed",
    "falls sick", "recovers", "goes blind", "sees again", "pause", "go", "abort", "bad releases",
    "rolls that ended complete", "rolls that ended short", "rolls that had to end complete", "second runs found nothing to do", "fleets made complete",
    *dict.fromkeys(REFUSALS.values()),
)


class Tally(Counter):
    """Kind to how often it happened."""

    def refused(self, reason: str) -> None:
        kind = next((kind for words, kind in REFUSALS.items() if words in reason), None)
        if kind is None:
            raise AssertionError(f"a reason of no known kind: {reason!r}")
        self[kind] += 1

    def missing(self) -> list[str]:
        """The kinds that never happened."""
        return [kind for kind in KINDS if not self[kind]]

    def table(self) -> str:
        return "\n".join(f"{self[kind]:>12,}  {kind}" for kind in KINDS)
