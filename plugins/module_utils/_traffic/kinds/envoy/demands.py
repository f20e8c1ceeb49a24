# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy's configuration of a cluster, and what it has to look like for the proof of a drain to hold: see `Demand`. Pure.

Source: the ``Cluster`` of Envoy's admin interface, ``/config_dump``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...demands import Demand
from ...interface import Member

# Policies that choose among healthy endpoints; by what Envoy calls their extensions, too.
POLICIES = ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV")
_EXTENSION = re.compile(r"[./]load_balancing_policies\.(\w+)\.v\d+\.\w+$")


@dataclass(frozen=True)
class Cluster:
    """What matters of a cluster's configuration: the file of its endpoints, None when they come from elsewhere, and what the cluster is called there; whether
    it checks their health, after how many seconds at most a dead one is noticed, and the panic threshold in percent; the policies by which it chooses one,
    the health statuses with which a client that is bound to one still gets there, and whether it chooses among subsets (``lb_subset_config``)."""

    file: str | None
    service: str
    is_checked: bool
    recheck_seconds: float
    panic_percent: float
    policies: tuple[str, ...] = POLICIES[:1]
    bound_statuses: tuple[str, ...] = ()
    has_subsets: bool = False


class Facts(NamedTuple):
    """What demands look at: a cluster's name, its configuration and its members, what is wrong with the file of its endpoints, which clusters that are
    not seen beside it send to the same addresses, and which have the same endpoints."""

    name: str
    cluster: Cluster
    members: Mapping[str, Member]
    fault: str = ""
    others: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()


def parse_cluster(cluster: Mapping[str, Any]) -> Cluster:
    """A cluster as ``/config_dump`` has it."""
    source = cluster.get("eds_cluster_config", {}).get("eds_config", {})
    checks = cluster.get("health_checks", [])
    # A check begins an interval after the one before has ended.
    noticed = [(seconds(check.get("interval", "0s")) + seconds(check.get("timeout", "0s"))) * int(check.get("unhealthy_threshold", 1)) for check in checks]
    common = cluster.get("common_lb_config", {})
    threshold = common.get("healthy_panic_threshold")
    extensions = [policy_name(policy.get("typed_extension_config", {})) for policy in cluster.get("load_balancing_policy", {}).get("policies", [])]
    return Cluster(
        service=cluster.get("eds_cluster_config", {}).get("service_name") or cluster["name"],
        file=source.get("path_config_source", {}).get("path") or source.get("path"),
        is_checked=bool(checks),
        recheck_seconds=max(noticed, default=0.0),
        panic_percent=50.0 if threshold is None else float(threshold.get("value", 0)),
        policies=tuple(extensions) or (cluster.get("lb_policy", POLICIES[0]),),
        bound_statuses=tuple(common.get("override_host_status", {}).get("statuses", ())),
        has_subsets=bool(cluster.get("lb_subset_config")),
    )


def policy_name(extension: Mapping[str, Any]) -> str:
    """The policy of a ``typed_extension_config``. Its type says which, such as ``...load_balancing_policies.round_robin.v3.RoundRobin``; its name says nothing.
    """
    config = extension.get("typed_config", {})
    found = _EXTENSION.search(config.get("type_url") or config.get("@type", ""))
    return found[1].upper() if found else config.get("@type") or extension.get("name", "")


def seconds(duration: str) -> float:
    """A duration of protobuf's JSON, such as ``0.500s``."""
    return float(duration.rstrip("s"))


def _chooses_healthy_ones(facts: Facts) -> str:
    unknown = sorted(set(facts.cluster.policies) - set(POLICIES))
    return (f"its policy is {', '.join(unknown)}, and only {', '.join(POLICIES)} are known to send no requests to UNHEALTHY endpoints: "
            "set lb_policy to one of them" if unknown else "")


def _lets_nobody_in(facts: Facts) -> str:
    return ("clients that are bound to an UNHEALTHY endpoint still reach it: remove UNHEALTHY from common_lb_config.override_host_status"
            if "UNHEALTHY" in facts.cluster.bound_statuses else "")


def _is_in_no_panic(facts: Facts) -> str:
    """Whether the share of the healthy among the members of the first priority is what the threshold asks for."""
    pool, threshold = [member for member in facts.members.values() if not member.backup], facts.cluster.panic_percent
    live = sum(member.live for member in pool)
    if not pool or 100.0 * live >= threshold * len(pool):
        return ""
    return (f"{live} of {len(pool)} members of {facts.name} are healthy, fewer than its panic threshold of {threshold:g} %, so Envoy sends to all of "
            "them, drained ones too. Set common_lb_config.healthy_panic_threshold to 0, or return members to traffic first")


def _has_no_panic_of_subsets(facts: Facts) -> str:
    """Whether a subset of which too few are healthy can send to all of its members."""
    cluster = facts.cluster
    return (f"it chooses among subsets (lb_subset_config), and its panic threshold of {cluster.panic_percent:g} % counts in each of them, so a small subset "
            "sends to its drained members. Set common_lb_config.healthy_panic_threshold to 0" if cluster.has_subsets and cluster.panic_percent else "")


def _may_panic(facts: Facts) -> str:
    threshold = facts.cluster.panic_percent
    return (f"{facts.name} has a panic threshold of {threshold:g} %: with fewer healthy members Envoy sends to all of them, drained ones too. "
            "Set common_lb_config.healthy_panic_threshold to 0" if threshold else "")


def _has_a_file(facts: Facts) -> str:
    return facts.fault


def _is_alone(facts: Facts) -> str:
    return (f"{', '.join(facts.others)} has some of its addresses, too, where members are not drained: requests that reach a member there while it is out fail"
            if facts.others else "")


def _has_no_twin(facts: Facts) -> str:
    return f"{', '.join(facts.twins)} {'have' if facts.twins[1:] else 'has'} the same endpoints, so members are drained there, too" if facts.twins else ""


# The requirements on a cluster, besides a separate file for its endpoints: see `Demand`.
DEMANDS = (Demand(_chooses_healthy_ones), Demand(_lets_nobody_in), Demand(_is_in_no_panic), Demand(_has_no_panic_of_subsets),
           Demand(_has_a_file), Demand(_may_panic, is_needed=False), Demand(_is_alone, is_needed=False), Demand(_has_no_twin, is_needed=False))
