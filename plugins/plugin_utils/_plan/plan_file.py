# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a file with an id: what was planned and the fleet that it was planned for, and how another fleet differs from it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...module_utils._host.foreign_json import ForeignJsonError, parse
from .shapes import Observed, Plan, Service

FORMAT = 1
ID_LENGTH = 12
# What a roll does to the fleet; a roll that goes on by the same plan finds some of it done.
DECISIONS = ("method", "direction", "release_to", "release_from", "pool_size", "limits", "halves", "steps", "step_of", "return_to", "waves", "expand",
             "backfill", "contract", "optimise", "patches", "cutover")
# Part of the description that changes what is done; a probe's headers and the like stay out of the file.
CHOICES = ("service", "method", "direction", "backend", "max_unavailable", "min_live", "max_per_domain", "domains_at_once", "max_failures", "on_failure",
           "member_timeout", "progress_deadline", "drain_timeout", "patch", "patch_exclude", "reboot", "contract", "database_names", "hosts")


class PlanFileError(ValueError):
    """A file that is no plan, or no longer the one that was written; the message says which command makes a new one."""


def seal(plan: Plan, service: Service, observed: Observed, sha256: str | None) -> dict[str, Any]:
    """The plan file's content: ``{format, id, service, made_for, choices, plan}``; equal plans of equal fleets have equal ids.

    :param sha256: the checksum of the release's archive, None where none is needed.
    """
    choices: Mapping[str, Any] = service
    decisions: Mapping[str, Any] = plan
    content = {
        "format": FORMAT,
        "service": plan["service"],
        "choices": {f"upgrade_{name}": choices[name] for name in CHOICES} | {"upgrade_artifact_sha256": sha256},
        "made_for": _facts(service, observed),
        "plan": {name: decisions[name] for name in DECISIONS},
    }
    return {"id": _id_of(content), **content}


def unseal(text: str, path: str) -> dict[str, Any]:
    """Read a plan file.

    :raises PlanFileError: when it is no plan file, of another format, or changed since it was written.
    """
    again = "make a new one with ansible-playbook alwayson.upgrade.plan"
    try:
        sealed = parse(text)
    except ForeignJsonError as error:
        raise PlanFileError(f"{path} is no plan file ({error}): {again}") from None
    if not isinstance(sealed, dict) or sealed.get("format") != FORMAT or not isinstance(sealed.get("plan"), dict):
        raise PlanFileError(f"{path} is no plan file of format {FORMAT}: {again}")
    content = {name: value for name, value in sealed.items() if name != "id"}
    if sealed.get("id") != _id_of(content):
        raise PlanFileError(f"{path} was changed after it was written (it says {sealed.get('id')}, its content is {_id_of(content)}): {again}")
    return sealed


def _id_of(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:ID_LENGTH]


def _facts(service: Service, observed: Observed) -> dict[str, Any]:
    """What the plan was decided by, and nothing that moves by itself (sessions, sizes)."""
    return {
        "members": {host: {name: facts.get(name) for name in ("name", "address", "domain", "release")} for host, facts in observed["members"].items()},
        "traffic": {name: {member: _traffic_word(view) for member, view in _pool(balancer, service).items()}
                    for name, balancer in observed["load_balancers"].items()},
        "migrations": {f"{host}/{name}": [f"{row['release']} {row['phase']} {row['step']} {row['status']}" for row in facts["migrations"]]
                       for host, databases in observed["databases"].items() for name, facts in databases.items()},
    }


def _pool(balancer: Mapping[str, Any], service: Service) -> Mapping[str, Any]:
    return balancer["backends"].get(service["backend"], {"members": {}})["members"]


def _traffic_word(view: Mapping[str, Any]) -> str:
    return "in traffic" if view["live"] else f"out of traffic ({view['admin']}, {view['health']})"


def pinned_members(halves: Sequence[Sequence[str]]) -> dict[str, int]:
    """Host to its half, 0 or 1, so that a plan that goes on keeps the halves of the file."""
    return {host: number for number, half in enumerate(halves) for host in half}


def drift(sealed: Mapping[str, Any], now: Mapping[str, Any], goes_on: bool = False) -> list[str]:
    """How the fleet and the description differ from what was planned, a sentence for each difference.

    :param now: what ``seal`` says of the present.
    :param goes_on: a run by this very plan was interrupted; what it has done already is no drift.
    """
    sentences = []
    for name, planned, found in _differences(sealed["choices"], now["choices"]):
        sentences.append(f"{name} was {_described(planned)} when the plan was made, and is {_described(found)} now")
    planned, found = sealed["made_for"], now["made_for"]
    for host, before, after in _differences(planned["members"], found["members"]):
        sentences += _member_drift(host, before, after, sealed["plan"], goes_on)
    for balancer, before, after in _differences(planned["traffic"], found["traffic"]):
        sentences += [] if goes_on and before and after and set(before) == set(after) else _traffic_drift(balancer, before, after)
    for database, before, after in _differences(planned["migrations"], found["migrations"]):
        sentences += [] if goes_on and before is not None and after is not None else [
            f"the migrations of {database} were {_described(before)}, and are {_described(after)} now"]
    if not sentences and not goes_on:
        sentences += [f"{name} would be {_described(after)}, and was planned as {_described(before)}"
                      for name, before, after in _differences(sealed["plan"], now["plan"])]
    return sentences


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(set(before) | set(after)):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _member_drift(host: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, plan: Plan, goes_on: bool) -> list[str]:
    if before is None or after is None:
        return [f"{host} {'is new in' if before is None else 'is gone from'} the inventory"]
    sentences = []
    for name, planned, found in _differences(before, after):
        if name == "release":
            if not (goes_on and found == plan["release_to"]):
                sentences.append(f"{host} ran {_described(planned)} and runs {_described(found)} now")
        else:
            sentences.append(f"the {name} of {host} was {_described(planned)} and is {_described(found)} now")
    return sentences


def _traffic_drift(balancer: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    if before is None or after is None:
        return [f"load balancer {balancer} {'is new' if before is None else 'is gone'}"]
    return [f"on {balancer}, {member} was {_described(planned)} and is {_described(found)} now" for member, planned, found in _differences(before, after)]


def _described(value: object) -> str:
    if value is None:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
