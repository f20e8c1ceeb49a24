# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The ``rolling_*`` variables, which the strategy and the filter of waves read."""

    DOCUMENTATION = r"""
options:
  max_unavailable:
    description:
      - Variable of a pool.
      - >-
        Members in flight at the same time, a number or a percentage of the pool (rounded down, at least one).
    type: raw
    default: 1
    vars:
      - name: rolling_max_unavailable
  min_live:
    description:
      - Variable of a pool.
      - >-
        The live members that must remain in the pool, a number or a percentage (rounded up). The default is the pool's size minus O(max_unavailable).
    type: raw
    vars:
      - name: rolling_min_live
  pool:
    description:
      - Variable of a host.
      - >-
        The host's pool. By default, the hosts of the play are one pool.
    type: str
    vars:
      - name: rolling_pool
  domain:
    description:
      - Variable of a host.
      - >-
        The member's failure domain (zone, rack). Domains are upgraded one after the other. The filter P(alwayson.upgrade.failure_domain#filter) finds the
        domain of an address.
    type: str
    vars:
      - name: rolling_domain
  max_per_domain:
    description:
      - Variable of a pool.
      - >-
        Members of one domain in flight, a number or a percentage of the pool's members in that domain (rounded down, at least one).
    type: raw
    vars:
      - name: rolling_max_per_domain
  domains_at_once:
    description:
      - Variable of the run.
      - >-
        Domains with members in flight, over all pools, a number or a percentage of the domains (rounded down, at least one).
    type: raw
    vars:
      - name: rolling_domains_at_once
  steps:
    description:
      - Variable of a pool.
      - >-
        Cumulative steps, for example V([1, 10%, 100%]), or V(half_pool) or V(canary). A step starts when the previous one is done. When no member of a step
        succeeds, the roll stops, regardless of the budget.
    type: raw
    default: ["100%"]
    vars:
      - name: rolling_steps
  max_failures:
    description:
      - Variable of the run.
      - >-
        The budget of failed and lost (unreachable) hosts of the whole play, a number or a percentage. With more, the roll stops. A failed host is not live, so
        the floor may stop the roll earlier.
    type: raw
    default: 0
    vars:
      - name: rolling_max_failures
  on_failure:
    description:
      - Variable of the run.
      - >-
        The action when the budget is spent. With V(skip), all hosts may fail. With V(rollback), the hosts that were done run the play once
        more, the last one first, with V(back) in C(rolling.direction), by which the tasks choose the release. A failed host is not live, so the rollback
        needs a lower floor: O(min_live) must be at most the pool's size minus the budget minus 2.
    type: str
    choices: [stop, skip, rollback]
    default: stop
    vars:
      - name: rolling_on_failure
  live:
    description:
      - Variable of a pool.
      - >-
        The source of live capacity, which is read before each start: C(load_balancers) (a list of C(name) and C(endpoint), reachable from the controller) and
        C(backend). By default, members that are not in flight and did not fail count as live.
    type: dict
    vars:
      - name: rolling_live
  pool_hosts:
    description:
      - Variable of the run.
      - >-
        All hosts of the pools. The default is all hosts of the play's pattern, regardless of C(--limit).
    type: list
    elements: str
    vars:
      - name: rolling_pool_hosts
  in_traffic:
    description:
      - Variable of a host.
      - >-
        Whether the member takes traffic. Members without traffic are upgraded first.
    type: bool
    default: true
    vars:
      - name: rolling_in_traffic
  expected_s:
    description:
      - Variable of a host.
      - >-
        The duration of the member's last upgrade, in seconds. The member with the longest one is upgraded first.
    type: float
    default: 0
    vars:
      - name: rolling_expected_s
  step:
    description:
      - Variable of a host.
      - >-
        The step that the member is pinned to, from 0.
    type: int
    vars:
      - name: rolling_step
  member:
    description:
      - Variable of a host.
      - >-
        The member's name on the load balancers. The default is the inventory name.
    type: str
    vars:
      - name: rolling_member
  member_timeout:
    description:
      - Variable of the run.
      - >-
        The seconds for which a member may be in flight. After them, its task is ended, and it counts as failed. Its rescue runs, with the same time limit.
    type: float
    vars:
      - name: rolling_member_timeout
  progress_deadline:
    description:
      - Variable of the run.
      - >-
        When no member starts or finishes for this many seconds, the roll stops.
    type: float
    vars:
      - name: rolling_progress_deadline
  capacity_timeout:
    description:
      - Variable of the run.
      - >-
        The seconds for which the roll waits for live capacity when no member is in flight, before it stops.
    type: float
    default: 300
    vars:
      - name: rolling_capacity_timeout
  probe:
    description:
      - Variable of the run.
      - >-
        The prober whose figures are a gate of the roll: C(directory), the directory of M(alwayson.upgrade.availability_probe) on the controller, and
        C(max_failed), the number or percentage of its requests that may fail (0 by default). When more requests have failed, or when the figures are older
        than 15 seconds, no further member starts, as after a failed member.
    type: dict
    vars:
      - name: rolling_probe
  control:
    description:
      - Variable of the run.
      - >-
        A file on the controller to which an operator writes V(pause), V(go) or V(abort).
    type: path
    vars:
      - name: rolling_control
  break_play:
    description:
      - Variable of the run.
      - >-
        Whether the playbook ends when the roll has stopped. With V(false), later plays can repair and report. The hosts of the play then have the reason in the
        fact C(rolling_stopped).
    type: bool
    default: true
    vars:
      - name: rolling_break_play
"""
