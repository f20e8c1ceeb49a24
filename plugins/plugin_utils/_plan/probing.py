# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the prober when only the front URLs are configured, and how the plan announces it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...module_utils._probe.plan import DEFAULT_MIX, MIX_SPEC, ProbeError, has_runtime_api, parse_mix_entry, parse_target
from .shapes import Service

# What the module has by default; the plan says it.
DEFAULT_RATE = 200.0
# A run may take long; the prober ends with it.
LONGEST_SECONDS = 86_400
VARIABLE = "upgrade_probe"
# What a user may give; playbooks/tasks/start_probe.yml passes all but the last on.
OPTIONS = ("targets", "rate", "mix", "clients_per_target", "objective_seconds", "max_seconds", "max_requests", "headers", "version_header", "version_key",
           "version_pattern", "validate_certs", "capacity", "min_requests")
# Any answer shows that a target is there.
ANY_STATUS = range(100, 600)
SECONDS_TO_ANSWER = 3.0


def probe_problems(probe: object) -> list[str]:
    """What is wrong with ``upgrade_probe``, as sentences. An empty one is none."""
    if not probe:
        return []
    if not isinstance(probe, Mapping):
        return [f"{VARIABLE} is {probe!r}: give a dictionary, for example {{targets: [http://shop.example.com]}}"]
    targets, mix = probe.get("targets"), probe.get("mix") or []
    problems = _unknown(f"{VARIABLE} has", probe, OPTIONS)
    if not targets or not isinstance(targets, (list, tuple)):
        problems.append(f"{VARIABLE}.targets is {'missing' if targets is None else repr(targets)}: give the URLs at which users reach the service, "
                        "as a list, for example [http://shop.example.com]")
    else:
        problems += [f"{VARIABLE}.targets: {wrong}" for wrong in map(_wrong_target, targets) if wrong]
    if not isinstance(mix, (list, tuple)) or not all(isinstance(entry, Mapping) for entry in mix):
        return [*problems, f"{VARIABLE}.mix is no list of dictionaries: give one, for example [{{kind: keepalive, share: 1, path: /healthz}}]"]
    for entry in mix:
        problems += _unknown(f"{VARIABLE}.mix has an entry with", entry, tuple(MIX_SPEC)) or _wrong_entry(entry)
    return problems


def _unknown(where: str, given: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    sentences = []
    for key in sorted(set(map(str, given)) - set(known)):
        close = difflib.get_close_matches(key, known, n=1)
        sentences.append(f"{where} {key!r}, which is no option of the prober: " + (f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"))
    return sentences


def _wrong_target(url: object) -> str:
    if not isinstance(url, str):
        return f"{url!r} is no URL: write it like http://shop.example.com:8080"
    try:
        parse_target(url)
    except ProbeError as error:
        return str(error)
    return ""


def _wrong_entry(entry: Mapping[str, Any]) -> list[str]:
    missing = [name for name in ("kind", "share") if name not in entry]
    if missing:
        return [f"{VARIABLE}.mix has an entry without {' and '.join(missing)}"]
    try:
        parse_mix_entry({**entry, "share": int(entry["share"])})
    except (ProbeError, ValueError, TypeError, AttributeError) as error:
        return [f"{VARIABLE}.mix: {error}"]
    return []


def target_tests(probe: Mapping[str, Any], service: Service) -> list[dict[str, Any]]:
    """A test for the module ``smoke_test`` for each target of the prober, which any answer passes: that something answers there at all.

    :param probe: ``upgrade_probe``.
    """
    entries = probe_options(probe, service)["mix"]
    path = next((entry["path"] for entry in entries if (entry.get("method") or "GET").upper() == "GET" and entry["kind"] != "write"), service["health_path"])
    asked = {"status": list(ANY_STATUS), "max_seconds": SECONDS_TO_ANSWER, "secret_headers": probe.get("headers") or {}}
    return [{"name": url, "url": url.rstrip("/") + path, **asked} for url in dict.fromkeys(probe.get("targets") or [])]


def probe_options(probe: Mapping[str, Any], service: Service, calls: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The options of ``availability_probe`` for this service.

    The health path is requested where the mix names no path. Live servers are counted at the load balancers with a runtime API unless ``capacity`` is given.

    :param probe: ``upgrade_probe``.
    :param calls: the load balancers as ``traffic_calls`` has them.
    :raises ValueError: for an option that the prober does not have.
    """
    for sentence in _unknown(f"{VARIABLE} has", probe, OPTIONS):
        raise ValueError(sentence)
    asked = {"max_seconds": LONGEST_SECONDS, **probe, "mix": [_entry(entry, service["health_path"]) for entry in probe.get("mix") or DEFAULT_MIX]}
    if "capacity" not in probe:
        balancers = [balancer for call in calls for balancer in call["load_balancers"]]
        asked["capacity"] = [source for balancer in balancers if has_runtime_api(balancer["endpoint"]) for source in _sources(balancer, service)]
    return asked


def _sources(balancer: Mapping[str, Any], service: Service) -> list[dict[str, Any]]:
    """The pools to count on a load balancer: of blue-green both, because all traffic moves from one to the other; the report shows the one that has it."""
    pools = service.get("blue_green") or {}
    names = {f"{balancer['name']} {pool}": pool for pool in pools} or {balancer["name"]: service["backend"]}
    return [{"name": name, "endpoint": balancer["endpoint"], "backend": pool, "optional": True} for name, pool in names.items()]


def _entry(entry: Mapping[str, Any], health_path: str) -> dict[str, Any]:
    return dict(entry) if entry.get("path") else {**entry, "path": health_path}


def announcement(service: Service) -> dict[str, Any] | None:
    """What the plan says of the prober: ``rate``, ``targets`` and ``paths``; None without one."""
    probe = service["probe"]
    if not probe:
        return None
    paths = dict.fromkeys(entry["path"] for entry in probe_options(probe, service)["mix"])
    return {"rate": float(probe.get("rate") or DEFAULT_RATE), "targets": list(probe.get("targets") or []), "paths": list(paths)}
