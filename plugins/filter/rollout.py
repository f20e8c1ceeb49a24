# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin shell: the pure core's planning functions as filters. Each filter's documentation stands in its own .yml beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import _database_engines
from ..module_utils._host import address
from ..plugin_utils._controller.old_names import warn_of_old_name
from ..plugin_utils._plan import (
    blue_green, connections, database_clusters, hooks, installation, migration_tool, migrations, observation, picture, plan, plan_file, poolers, preflight,
    probing, refusals, service, serving, tenants, text as plan_text,
)
from ..plugin_utils._plan.shapes import Service
from ..plugin_utils._run import outcomes, record as run_record
from ..plugin_utils._schedule import error_budget
from ..plugin_utils._smoke import running_release


def _explained(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a user got wrong into the filter's own error, with its words."""
    def explain(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (ValueError, KeyError, TypeError) as error:
            raise AnsibleFilterError(f"alwayson.upgrade.{function.__name__}: {error}") from error
    return explain


def service_description(variables: Mapping[str, Any], names: Sequence[str], *rest: Any) -> Service:
    """See `service.describe`; warns of each name of version 0.2 that is used."""
    for old, new in service.renamed(variables, names).items():
        warn_of_old_name(old, new)
    return service.describe(variables, names, *rest)


def observed_fleet(service: Service, hostvars: Mapping[str, Mapping[str, Any]], seen: Mapping[str, Any]) -> dict[str, Any]:
    """See `picture.observed_fleet`."""
    return picture.observed_fleet(service, hostvars, seen, _database_engines.has_server)


def unverified_connections(databases: Sequence[str], poolers: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """See `connections.unverified`; which engines have a server, their registry knows."""
    return connections.unverified(databases, poolers, hostvars, _database_engines.has_server)


# What describes the service and what is observed of it.
OF_THE_FLEET: dict[str, Callable[..., Any]] = {
    "play_hosts": outcomes.play_hosts,
    "service_calls": picture.service_calls,
    "front_urls": picture.front_urls,
    "live_source": picture.live_source,
    "observed_member": picture.observed_member,
    "observed_fleet": observed_fleet,
    "database_purposes": picture.database_purposes,
    "traffic_calls": observation.traffic_calls,
    "member_tests": observation.member_tests,
    "version_check_tests": observation.version_check_tests,
    "version_test": running_release.version_test,
    "host_port": address.host_port,
    "serving_hosts": preflight.serving_hosts,
    "front_tests": preflight.front_tests,
    "with_headers": observation.with_headers,
    "unverified_connections": unverified_connections,
    "merge_views": observation.merge_views,
    "service_names": service.described_names,
    "service_description": service_description,
    "hook_paths": hooks.hook_paths,
    "serving_members": serving.serving_members,
    "probe_options": probing.probe_options,
    "target_tests": probing.target_tests,
}
# What decides what a run does, and shows it.
OF_THE_PLAN: dict[str, Callable[..., Any]] = {
    "installation_text": installation.installation_text,
    "pinned_members": plan_file.pinned_members,
    "servers_to_patch": database_clusters.servers_to_patch,
    "servers_seen": database_clusters.servers_seen,
    "migration_steps": migrations.migration_steps,
    "poolers_beside": poolers.poolers_beside,
    "poolers_of": poolers.poolers_of,
    "installation": installation.installation,
    "migration_tool_hosts": migration_tool.tool_hosts,
    "choose_side": blue_green.choose_side,
    "rollout_plan": plan.make_plan,
    "database_clusters": database_clusters.database_clusters,
    "redundancy_spent": refusals.redundancy_spent,
    "plan_text": plan_text.plan_text,
    "status_text": plan_text.status_text,
    "tenants_affected": tenants.tenants_affected,
    "sealed_plan": plan_file.seal,
    "unsealed_plan": plan_file.unseal,
    "plan_drift": plan_file.drift,
}
# What a run has done, and whether it goes on.
OF_THE_RUN: dict[str, Callable[..., Any]] = {
    "failure_text": outcomes.failure_text,
    "kept_problems": outcomes.kept_problems,
    "hosts_to_prepare": outcomes.hosts_to_prepare,
    "preparation_problems": outcomes.preparation_problems,
    "roll_is_complete": outcomes.roll_is_complete,
    "migration_tool_outcome": migration_tool.tool_outcome,
    "ready_for_cutover": outcomes.ready_for_cutover,
    "hosts_to_restore": outcomes.hosts_to_restore,
    "hosts_to_roll_back": outcomes.hosts_to_roll_back,
    "roll_problems": outcomes.roll_problems,
    "member_outcomes": outcomes.member_outcomes,
    "probe_figures": outcomes.probe_figures,
    "why_to_stop": error_budget.why_to_stop,
    "held_problems": outcomes.held_problems,
    "unprepared": outcomes.unprepared,
    "database_outcomes": outcomes.database_outcomes,
    "as_built": outcomes.as_built,
    "run_record": run_record.make_record,
}


class FilterModule:
    """The filters of a roll."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {name: _explained(function) for name, function in {**OF_THE_FLEET, **OF_THE_PLAN, **OF_THE_RUN}.items()}
