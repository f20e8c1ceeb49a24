# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds in every row of the fault table, each an assertion that says what it counted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from fleet.runs import Run

from faults.fleets import Fleet

LEAST_REQUESTS = 40
STATE = re.compile(r"journal\..*|plan\.json|(live|result)\.json|\.(fence|lock|last_upgrade\.json)|"
                   r".*\.(dump|dump\.json|dump\.sha256|token|history\.jsonl|fence|fence\.lock)")


def i1_what_is_recorded_is_what_the_hosts_show(fleet: Fleet) -> None:
    """The as-built document names the release that each member answers."""
    written = yaml.safe_load((fleet.report_directory / "as-built.yml").read_text(encoding="utf-8"))
    recorded = {name: member["release"] for name, member in written["members"].items()}
    assert len(recorded) == len(fleet.everybody)
    shown = fleet.releases()
    assert {name: recorded[name] for name in recorded if shown[name]} == {name: release for name, release in shown.items() if release}


def i3_never_under_the_floor(fleet: Fleet, floor: int) -> None:
    """Members in traffic, sampled at the load balancers all the time."""
    live_min = fleet.users_saw().live_min
    assert live_min is not None and live_min >= floor, f"{live_min} members were live, and the floor is {floor}"


def i4_no_request_failed(fleet: Fleet) -> None:
    users = fleet.users_saw()
    assert users.scheduled >= LEAST_REQUESTS, f"only {users.scheduled} requests: nothing is proven"
    assert users.failed == 0, f"{users.failed} of {users.scheduled} requests failed"


def i7_all_of_it_or_nothing(fleet: Fleet, release: str) -> None:
    """Every member answers the release and takes traffic on every load balancer, and nobody holds the lock."""
    assert fleet.releases() == dict.fromkeys(sorted(fleet.everybody), release)
    assert fleet.in_traffic() == {"lb1": fleet.everybody, "lb2": fleet.everybody}


def i8_ends_in_error_and_says_what_next(run: Run, *words: str) -> None:
    """A non-zero exit, and a message with these words and a next step."""
    assert run.code != 0, run.output[-2000:]
    missing = [word for word in words if word not in run.words]
    assert not missing, f"the run did not say {missing}:\n{run.output[-3000:]}"


def i9_nowhere(secret: str, fleet: Fleet) -> None:
    """A planted secret is in no file that a run leaves, and in none of the hosts' files and journals."""
    files = [path for path in _files(fleet) if path.is_file() and not path.is_symlink()]
    assert len(files) > 5, f"only {len(files)} files were searched"
    found = [str(path) for path in files if secret.encode() in _content(path)]
    assert not found, f"the secret stands in {found}"
    assert fleet.hosts_that_know(secret) == []


def _files(fleet: Fleet) -> Iterator[Path]:
    """All that a run left. A folder that a server removes meanwhile is passed over."""
    return (Path(folder, name) for place in fleet.left_behind() for folder, _folders, names in os.walk(place) for name in names)


def _content(path: Path) -> bytes:
    """What is in a file; nothing when a server that runs has removed it meanwhile, as PostgreSQL does with its caches."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def state_is_private(fleet: Fleet) -> None:
    """What a run keeps for itself, locks and fences too, is for its owner alone; documents for people are not meant."""
    kept = [path for path in _files(fleet) if STATE.fullmatch(path.name) and path.is_file()]
    assert len(kept) >= 2, kept
    assert [f"{path} {path.stat().st_mode & 0o777:o}" for path in kept if path.stat().st_mode & 0o077] == []
