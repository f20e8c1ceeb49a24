# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of ansible-playbook that would leave a part of a run out. Pure.

A run is one whole: what it skips it cannot prove. An option that would skip a part is refused, with what does the same and is safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

EVERYTHING = "all"
# Values of --skip-tags that skip untagged tasks, which are all tasks of the playbooks.
UNTAGGED = ("all", "untagged")
PART = ("to upgrade a part of the pool first, use upgrade_method=canary; to exclude a host permanently, remove it from the inventory and the load "
        "balancers")


def refused_options(start_at_task: str | None, tags: Sequence[str], skip_tags: Sequence[str], limit: str | None, within: Iterable[str]) -> list[str]:
    """Sentences on the options that cannot be honoured.

    :param within: the hosts that *limit* leaves.
    """
    found = []
    if start_at_task:
        found.append(f"--start-at-task={start_at_task!r} would skip tasks that later tasks need. Leave it out: the same command continues "
                     "an interrupted run, and does nothing twice")
    if list(tags) != [EVERYTHING]:
        found.append(f"--tags={','.join(tags)} would skip the rest of the run. Leave it out: alwayson.upgrade.plan, .status, .patch and .probe each do a part")
    if set(skip_tags) & set(UNTAGGED):
        found.append(f"--skip-tags={','.join(skip_tags)} would skip all of the run. Leave it out")
    if limit and "localhost" not in set(within):
        found.append(f"--limit={limit} leaves out localhost, which controls the run. Leave it out: {PART}")
    return found


def cut_off(limit: str | None, within: Iterable[str], needed: Iterable[str]) -> list[str]:
    """A sentence when *limit* leaves out hosts of the service.

    :param within: the hosts that *limit* leaves.
    :param needed: the hosts of the service.
    """
    missing = sorted(set(needed) - set(within)) if limit else []
    if not missing:
        return []
    return [(f"--limit={limit} leaves out {', '.join(missing[:5])}{f' and {len(missing) - 5} more' if len(missing) > 5 else ''}, which are hosts of "
             f"the service. Leave it out: {PART}")]
