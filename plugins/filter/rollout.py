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


class FilterModule:
    """The filters of a roll."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "play_hosts": _explained(outcomes.play_hosts),
            "failure_text": _explained(outcomes.failure_text),
            "kept_problems": _explained(outcomes.kept_problems),
            "hosts_to_prepare": _explained(outcomes.hosts_to_prepare),
            "preparation_problems": _explained(outcomes.preparation_problems),
            "roll_is_complete": _explained(outcomes.roll_is_complete),
            "service_calls": _explained(picture.service_calls),
            "front_urls": _explained(picture.front_urls),
            "live_source": _explained(picture.live_source),
            "observed_member": _explained(picture.observed_member),
            "observed_fleet": _explained(observed_fleet),
            "database_purposes": _explained(picture.database_purposes),
            "installation_text": _explained(installation.installation_text),
            "pinned_members": _explained(plan_file.pinned_members),
            "servers_to_patch": _explained(database_clusters.servers_to_patch),
            "servers_seen": _explained(database_clusters.servers_seen),
            "migration_steps": _explained(migrations.migration_steps),
            "poolers_beside": _explained(poolers.poolers_beside),
            "poolers_of": _explained(poolers.poolers_of),
            "traffic_calls": _explained(observation.traffic_calls),
            "installation": _explained(installation.installation),
            "member_tests": _explained(observation.member_tests),
            "version_check_tests": _explained(observation.version_check_tests),
            "version_test": _explained(running_release.version_test),
            "host_port": _explained(address.host_port),
            "serving_hosts": _explained(preflight.serving_hosts),
            "front_tests": _explained(preflight.front_tests),
            "with_headers": _explained(observation.with_headers),
            "unverified_connections": _explained(unverified_connections),
            "merge_views": _explained(observation.merge_views),
            "service_names": _explained(service.described_names),
            "service_description": _explained(service_description),
            "hook_paths": _explained(hooks.hook_paths),
            "migration_tool_outcome": _explained(migration_tool.tool_outcome),
            "migration_tool_hosts": _explained(migration_tool.tool_hosts),
            "choose_side": _explained(blue_green.choose_side),
            "rollout_plan": _explained(plan.make_plan),
            "database_clusters": _explained(database_clusters.database_clusters),
            "redundancy_spent": _explained(refusals.redundancy_spent),
            "plan_text": _explained(plan_text.plan_text),
            "status_text": _explained(plan_text.status_text),
            "ready_for_cutover": _explained(outcomes.ready_for_cutover),
            "tenants_affected": _explained(tenants.tenants_affected),
            "serving_members": _explained(serving.serving_members),
            "hosts_to_restore": _explained(outcomes.hosts_to_restore),
            "hosts_to_roll_back": _explained(outcomes.hosts_to_roll_back),
            "roll_problems": _explained(outcomes.roll_problems),
            "sealed_plan": _explained(plan_file.seal),
            "unsealed_plan": _explained(plan_file.unseal),
            "plan_drift": _explained(plan_file.drift),
            "member_outcomes": _explained(outcomes.member_outcomes),
            "probe_options": _explained(probing.probe_options),
            "target_tests": _explained(probing.target_tests),
            "probe_figures": _explained(outcomes.probe_figures),
            "why_to_stop": _explained(error_budget.why_to_stop),
            "held_problems": _explained(outcomes.held_problems),
            "unprepared": _explained(outcomes.unprepared),
            "database_outcomes": _explained(outcomes.database_outcomes),
            "as_built": _explained(outcomes.as_built),
            "run_record": _explained(run_record.make_record),
        }
