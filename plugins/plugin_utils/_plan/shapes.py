# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mappings that the playbooks hand from one step to the next: service, observed, plan, run record and report. Pure.

They come in and go out as plain data: a filter takes what Ansible gives for one of these. Times are epoch seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from .._schedule.waves import Wave
from .._smoke.running_release import HealthAndRelease


class Side(TypedDict):
    """Of blue-green: the pool that is worked on, the pools that have the traffic, whether all of it goes there, and what the other pool runs."""

    to: str
    serving: list[str]
    is_routed: bool
    release: str | None


class Service(HealthAndRelease):
    """The description of a service, see ``service.describe``: ``DEFAULTS`` with the user's values, which are of these types once ``problems`` is empty."""

    service: str
    release: str | None
    method: str
    direction: str
    members: str
    load_balancers: str
    databases: str | None
    backend: str
    blue_green: dict[str, list[str]]
    route: Mapping[str, Any]
    max_unavailable: int | str
    min_live: int | str | None
    max_per_domain: int | str | None
    domains_at_once: int | str | None
    max_failures: int | str
    max_failed: int | str
    max_unmeasured: int | str
    on_failure: str
    patch: str
    patch_exclude: list[str]
    reboot: str
    reboot_timeout: float
    member_timeout: float | None
    progress_deadline: float | None
    plan: str | None
    take_over: str | None
    reason: str | None
    state_directory: str
    lock_host: str | None
    traffic_via: str | None
    drain_timeout: float
    soak: float
    gate: Mapping[str, Any]
    canary_weight: int | None
    migrations: str | None
    migration_host: str | None
    migration_timeout: int | str
    migration_keeps_previous: bool
    contract: bool
    database_names: list[str]
    database_standbys: int
    database_lag_bytes: int
    database_servers: str | None
    database_switch_back: bool
    database_patch_tasks: Mapping[str, str]
    poolers: str | None
    backup_directory: str
    report_directory: str
    probe: Mapping[str, Any]
    has_artifact: bool
    has_migration_command: bool
    hosts: dict[str, list[str]]
    problems: list[str]
    side: NotRequired[Side]


class Member(TypedDict, total=False):
    """A member as it is: where the load balancers have it, what it runs and ran, and whether it could be reached."""

    name: str
    address: str
    domain: str | None
    pool: str
    release: str | None
    previous: str | None
    available: Mapping[str, Any]
    expected_s: float
    lost: str | None
    patches: Mapping[str, Any]
    preflight: Mapping[str, Any]


class Balancer(TypedDict, total=False):
    """A load balancer as ``traffic_info`` sees it: its pools, each with ``members``; ``routes`` by key of the map of blue-green."""

    endpoint: str
    version: str
    backends: Mapping[str, Mapping[str, Any]]
    routes: Mapping[str, str]


class Observed(TypedDict):
    """The fleet as it is, see ``plan.make_plan``; ``everybody`` are the members of both pools of blue-green."""

    members: dict[str, Member]
    load_balancers: dict[str, Balancer]
    disagreements: list[str]
    databases: Mapping[str, Mapping[str, Mapping[str, Any]]]
    migrations: Sequence[str]
    everybody: NotRequired[dict[str, Member]]
    problems: NotRequired[list[str]]
    interrupted: NotRequired[Mapping[str, Any] | None]
    intent: NotRequired[Mapping[str, Any]]
    migration_tool: NotRequired[Mapping[str, Any]]
    unverified: NotRequired[Sequence[str]]
    tenants: NotRequired[Mapping[str, Any]]
    targets: NotRequired[Sequence[Mapping[str, Any]]]
    fronts: NotRequired[Mapping[str, Sequence[Any]]]
    replicas: NotRequired[Mapping[str, Any]]
    missing_privileges: NotRequired[Mapping[str, Any]]
    lost_databases: NotRequired[Mapping[str, Any]]


# The pools between which all traffic moves; from is None when no pool has it.
Cutover = TypedDict("Cutover", {"from": "str | None", "to": str})


class PlannedLimits(TypedDict):
    """How many members may be out at once, and how many stay live."""

    max_unavailable: int | str
    min_live: int | str | None


class Plan(TypedDict):
    """What a run will do, see ``plan.make_plan``: hosts by what is done with them, and sentences."""

    service: str
    method: str
    direction: str
    release_to: str | None
    release_from: str | None
    release_is_unknown: bool
    return_to: dict[str, str | None]
    pool_size: int
    live: list[str]
    there: list[str]
    pending: list[str]
    patches: dict[str, dict[str, Any]]
    expand: list[str]
    backfill: list[str]
    contract: list[str]
    optimise: list[str]
    limits: PlannedLimits
    halves: list[list[str]]
    steps: list[list[str]]
    step_of: dict[str, int]
    waves: list[Wave]
    probe: Mapping[str, Any] | None
    interrupted: Mapping[str, Any] | None
    intent_before: Mapping[str, Any]
    finish_flip: bool
    cutover: Cutover | None
    own_tests: Mapping[str, Mapping[str, bool]]
    refusals: list[str]
    notes: NotRequired[list[str]]
    needs_archive: NotRequired[bool]
    migrations_before: NotRequired[list[dict[str, str]]]
    migrations_after: NotRequired[list[dict[str, str]]]
    nothing_to_do: NotRequired[bool]
    intent: NotRequired[dict[str, str]]
    migration_tool: NotRequired[Mapping[str, Any] | None]
    updates_held: NotRequired[dict[str, list[str]]]


class Moved(TypedDict):
    """When all traffic moved, and between which pools; ``serving`` are the pools that had it, and since when; ``pool`` is the one that was worked on."""

    cutover_from: str | None
    cutover_to: str | None
    moved_at: float | None
    pool: str | None
    serving: list[dict[str, Any]]


class RunRecord(Moved):
    """What a run did, see ``record.make_record`` and docs/report.md: what the report is made of."""

    service: str
    release_from: str | None
    release_to: str | None
    method: str
    direction: str
    started: float
    finished: float
    ok: bool
    outcome: str
    problems: list[str]
    next_command: str
    live_floor: int | str | None
    pool_size: int
    limits: Mapping[str, Any]
    phases: list[dict[str, Any]]
    members: dict[str, dict[str, Any]]
    databases: dict[str, dict[str, Any]]
    migration_tool: Mapping[str, Any] | None
    probe: Mapping[str, Any] | None
    probe_until: float | None
    operator: Mapping[str, Any]
    version_check: Sequence[Mapping[str, Any]] | None


class ServedCapacity(TypedDict):
    """The live members that load balancers counted in the pool that had the traffic, the least of them, and what had to stay live."""

    capacity: list[dict[str, Any]]
    live_min: float | None
    live_floor: float | None


class Figures(Moved, ServedCapacity):
    """The report's figures, see ``summary.summarise``: None where nothing was measured. Durations are seconds, latencies milliseconds."""

    format: int
    service: str | None
    release_from: str | None
    release_to: str | None
    method: str | None
    direction: str | None
    outcome: str | None
    next_command: str | None
    core_version: str | None
    started: float | None
    finished: float | None
    pool_size: float | None
    duration_s: float | None
    duration_floor_s: float | None
    roll_s: float | None
    phases: list[dict[str, Any]]
    limits: dict[str, Any]
    operator: dict[str, Any]
    members: dict[str, dict[str, Any]]
    databases: dict[str, dict[str, Any]]
    read_by_command: int
    migration_tool: dict[str, Any] | None
    probed: bool
    probe_problem: str | None
    measured: bool
    requests_expected: int
    requests_unmeasured: int
    requests_scheduled: float | None
    requests_failed: float | None
    version_regressions: float | None
    clients: float | None
    rate: float | None
    bound_95: float | None
    send_lag_p99_ms: float | None
    probe_started: float | None
    probe_finished: float | None
    failures_by_class: dict[str, float]
    latency_ms: dict[str, float | None]
    by_kind: dict[str, dict[str, float | None]]
    versions: dict[str, float]
    void_windows: list[dict[str, float | None]]
    capacity_samples: float | None
    capacity_pools: dict[str, str]
    capacity_unreadable: dict[str, float]
    capacity_skipped: dict[str, str]
    series: list[dict[str, Any]]


class Report(Figures):
    """The figures with their verdict, see ``verdict.verdict_of``; ``tone`` is good, warning or bad."""

    ok: bool
    problems: list[str]
    not_proven: list[str]
    headline: str
    subline: str
    tone: str
