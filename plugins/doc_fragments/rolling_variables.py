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
        Live members that the pool keeps, a number or a percentage (rounded up). The default is the pool's size minus O(max_unavailable).
    type: raw
    vars:
      - name: rolling_min_live
  pool:
    description:
      - Variable of a host.
      - >-
        The host's pool. Without it, the hosts of the play are one pool.
    type: str
    vars:
      - name: rolling_pool
  domain:
    description:
      - Variable of a host.
      - >-
        The member's failure domain (zone, rack). Domains are taken one after the other. The filter P(alwayson.upgrade.failure_domain#filter) finds it
        from an address.
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
        Cumulative steps, for example V([1, 10%, 100%]), or V(half_pool) or V(canary). A step starts when the one before is done. When nobody of a step
        succeeds, the roll stops, whatever the budget is.
    type: raw
    default: ["100%"]
    vars:
      - name: rolling_steps
  max_failures:
    description:
      - Variable of the run.
      - >-
        Failed and lost (unreachable) hosts of the whole play before the roll stops, a number or a percentage. A failed host is not live, so the floor may
        stop the roll before the budget does.
    type: raw
    default: 0
    vars:
      - name: rolling_max_failures
  on_failure:
    description:
      - Variable of the run.
      - >-
        What happens when the budget is spent. V(skip) means that all hosts may fail. After V(rollback) the hosts that were done run the play once
        more, the last one first, with C(rolling.direction) being V(back): the tasks choose the release by it. A failed host is not live, so the way back
        needs a floor that leaves room for it: O(min_live) at most the pool's size, less the budget, less 2.
    type: str
    choices: [stop, skip, rollback]
    default: stop
    vars:
      - name: rolling_on_failure
  live:
    description:
      - Variable of a pool.
      - >-
        Where live capacity is read before each start: C(load_balancers) (a list of C(name) and C(endpoint), reachable from the controller) and
        C(backend). Without it, members that are not in flight and did not fail count as live.
    type: dict
    vars:
      - name: rolling_live
  pool_hosts:
    description:
      - Variable of the run.
      - >-
        Every host of the pools. The default is every host of the play's pattern, whatever C(--limit) says.
    type: list
    elements: str
    vars:
      - name: rolling_pool_hosts
  in_traffic:
    description:
      - Variable of a host.
      - >-
        Whether the member takes traffic now. Those that take none go first.
    type: bool
    default: true
    vars:
      - name: rolling_in_traffic
  expected_s:
    description:
      - Variable of a host.
      - >-
        The seconds that the member's upgrade took last time. The longest goes first.
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
        Seconds that a member may be in flight. Then its task is ended and it counts as failed; its rescue runs, and has the same time.
    type: float
    vars:
      - name: rolling_member_timeout
  progress_deadline:
    description:
      - Variable of the run.
      - >-
        Seconds without any member starting or finishing, after which the roll stops.
    type: float
    vars:
      - name: rolling_progress_deadline
  capacity_timeout:
    description:
      - Variable of the run.
      - >-
        Seconds that the roll waits for capacity with nobody in flight before it stops.
    type: float
    default: 300
    vars:
      - name: rolling_capacity_timeout
  probe:
    description:
      - Variable of the run.
      - >-
        The prober that is the roll's gate: C(directory), where M(alwayson.upgrade.availability_probe) was started on the controller, and C(max_failed),
        how many of its requests may fail, a number or a percentage (0 when it is not given). Once more have failed, or when it has written no figures for
        15 seconds, nobody new starts, as after a member that failed.
    type: dict
    vars:
      - name: rolling_probe
  control:
    description:
      - Variable of the run.
      - >-
        A file on the controller in which a second terminal writes V(pause), V(go) or V(abort).
    type: path
    vars:
      - name: rolling_control
  break_play:
    description:
      - Variable of the run.
      - >-
        Whether the playbook ends when the roll stopped. V(false) lets later plays repair and report; the hosts of the play then have the fact
        C(rolling_stopped), the reason.
    type: bool
    default: true
    vars:
      - name: rolling_break_play
"""
