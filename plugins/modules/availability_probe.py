#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: availability_probe
short_description: Measure the availability of a service as its users see it, for example during an upgrade
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Starts a detached process that sends HTTP requests to O(targets) at a fixed rate, and later ends it and returns the outcome of every request.
  - The load is open loop. Each request has an intended time that no earlier answer can move, and its latency counts from that time.
    So a service that stalls for a second shows a second, for all who wanted something in that second.
  - Nothing is ever tried again. A request that did not get the expected, whole answer within O(objective_seconds) has failed.
  - Beside the requests the number of servers that take new traffic is sampled from the runtime API of every HAProxy in O(capacity), four times per second.
notes:
  - "The classes of failure: V(http_5xx), V(http_4xx) and V(http_other), a whole answer with another status than expected;
    V(refused), the connection failed (refused, unreachable, or the name not resolved);
    V(reset_new) and V(reset_on_reused), the connection ended before the first byte of the answer, a new one or one that had carried an answer before;
    V(truncated), it ended within the answer; V(malformed), the answer is no HTTP; V(tls), the TLS handshake failed, for example because of a wrong certificate;
    V(timeout), no whole answer within O(objective_seconds) of the intended time;
    V(wrong_answer), a whole answer with an expected status that does not say what O(mix) expects."
  - "What the prober itself could not do is no failure of the service, and counts as unmeasured: V(unsent), a request that could not be sent within a second of
    its time, for want of files, ports or processor time; V(unseen), one whose answer could not be looked at in time, because the process stood still."
  - A logical client keeps to one target and to one entry of O(mix). It has regressed when an older release answered it after it had seen a newer one
    and then asked. Regressions are no failures; they are counted apart, in clients. Without O(towards),
    only versions that are made of numbers, such as V(1.10.0), have an order.
  - Percentiles are exact. They cover the answers as expected, and the timeouts at the moment they were given up.
  - When the prober itself was late in a second (send lag p99 above 100 ms), or something in it is unmeasured, that second is void. It is listed
    in RV(result.void_windows), and its latencies are left out of all percentiles. What failed in it by the service remains failed.
  - The process ends by itself after O(max_seconds) or O(max_requests), and on SIGTERM. What is under way then gets its time, and the result is written.
  - The process raises its priority and its limit of open files where its user may, so that it does not queue behind what it measures.
  - The module forks, so nothing of the options is written to disk. Python must be 3.9 or newer on a POSIX system.
attributes:
  check_mode:
    support: full
    description: Checks the options and whether a probe runs, but neither starts nor ends one. Then RV(result) of a running probe is empty.
  diff_mode:
    support: none
    description: Its effect is a process, which has no difference to show.
extends_documentation_fragment:
  - alwayson.upgrade.probe_load
options:
  state:
    description:
      - V(started) starts a probe in O(directory), and fails when one already runs there. The files that an earlier one left there are replaced.
      - V(stopped) ends it and returns RV(result). A probe that has ended by itself is not changed, and its result is returned just the same.
        A probe that does not end is killed. Without a result to return, such as after that, this fails, and RV(result) has the last figures of the probe.
        All of it takes a bounded time.
      - V(observed) only reads the figures so far, for a screen.
    type: str
    choices:
      - started
      - stopped
      - observed
    required: true
  directory:
    description:
      - Where the probe keeps C(probe.pid), C(probe.log), C(live.json) (replaced once per second) and, in the end, C(result.json).
        It is made when it is missing, with mode 0700.
      - There is at most one probe per directory. One that belongs to another account than this one and root, or in which others may write, is refused,
        because what they put there could name another process to end, or forge the figures.
    type: path
    required: true
  targets:
    description:
      - The front URLs of the service as users reach it, one per load balancer. A path in a URL is put before the paths of O(mix).
      - Required with O(state=started).
    type: list
    elements: str
  rate:
    description: Requests per second in total, at most 2000.
    type: float
    default: 200
  clients_per_target:
    description: Logical clients per target and entry of O(mix).
    type: int
    default: 10
  objective_seconds:
    description: An answer that is not complete this long after the intended time of its request has failed.
    type: float
    default: 5
  max_seconds:
    description: The probe ends by itself after so many seconds, at most 86400.
    type: float
    default: 3600
  max_requests:
    description: The probe ends by itself after so many requests, at most 5000000.
    type: int
    default: 5000000
  headers:
    description: Headers to add to every request, for example C(Host) where O(targets) are addresses. It is also the name that certificates are checked for.
    type: dict
  version_header:
    description: The header of an answer that tells which release gave it.
    type: str
    default: X-Release
  version_key:
    description: The key of a JSON object in the body of an answer that tells the release, where O(version_header) is not there.
    type: str
  version_pattern:
    description: A regular expression whose first group is the release, in the value of O(version_header) or O(version_key). By default all of it.
    type: str
    version_added: 0.2.0
  towards:
    description:
      - The release that the service moves to, forward or back. A client regresses when another release answers it after this one did.
      - Without it, releases are ordered by their numbers, and a client regresses when an older one answers after a newer one.
    type: str
  validate_certs:
    description: Whether certificates of HTTPS targets are checked.
    type: bool
    default: true
  ends_with:
    description: The id of a process on the same host, such as that of ansible-playbook. The probe ends by itself within a second once this process has ended.
    type: int
    version_added: 0.3.0
  min_requests:
    description: With O(state=stopped), first wait until so many requests were scheduled. A probe that ends by itself before that leads to a warning.
    type: int
    default: 0
seealso:
  - module: alwayson.upgrade.smoke_test
  - module: alwayson.upgrade.traffic_info
"""

EXAMPLES = r"""
- name: Start to measure
  alwayson.upgrade.availability_probe:
    state: started
    directory: /var/tmp/shop-probe
    targets:
      - http://192.0.2.11
      - http://192.0.2.12
    headers:
      Host: shop.example.com
    rate: 200
    mix:
      - {kind: keepalive, share: 50, path: "/products?tenant=a"}
      - {kind: new, share: 20, path: "/products?tenant=b"}
      - {kind: sticky, share: 20, path: "/products?tenant=a"}
      - {kind: slow, share: 5, path: "/slow?ms=800"}
      - {kind: write, share: 5, path: "/orders?tenant=b", body: {product: 1, quantity: 2}, status: [201]}
    capacity:
      - {name: lb1, endpoint: "tcp://192.0.2.11:9001", backend: app}
      - {name: lb2, endpoint: "tcp://192.0.2.12:9001", backend: app}
  delegate_to: probe.example.com
  run_once: true

- name: Look at it
  alwayson.upgrade.availability_probe:
    state: observed
    directory: /var/tmp/shop-probe
  register: shop_probe
  delegate_to: probe.example.com
  run_once: true

- name: Measure at least 10000 requests, then end
  alwayson.upgrade.availability_probe:
    state: stopped
    directory: /var/tmp/shop-probe
    min_requests: 10000
  register: shop_availability
  delegate_to: probe.example.com
  run_once: true

- name: Require that nobody noticed
  ansible.builtin.assert:
    that: shop_availability.result.requests_failed == 0
"""

RETURN = r"""
directory:
  description: Where the files of the probe are.
  returned: success
  type: str
  sample: /var/tmp/shop-probe
running:
  description: Whether a probe runs there now.
  returned: success
  type: bool
  sample: true
pid:
  description: The process id of the probe that runs, V(null) when none does.
  returned: success
  type: int
  sample: 4711
clients:
  description: How many logical clients ask.
  returned: O(state=started)
  type: int
  sample: 60
live:
  description:
    - The figures so far, also in C(live.json). Times are epoch seconds, C(series) has the last 60 seconds as in RV(result.series).
    - Empty when no probe has run there.
  returned: O(state=observed)
  type: dict
  sample:
    started: 1798761600.0
    now: 1798761602.0
    rate: 200.0
    objective_seconds: 5.0
    requests_scheduled: 400
    requests_pending: 1
    requests_failed: 0
    requests_unmeasured: 0
    failures_by_class: {http_5xx: 0, http_4xx: 0, http_other: 0, refused: 0, reset_new: 0, reset_on_reused: 0,
                        truncated: 0, malformed: 0, tls: 0, timeout: 0, wrong_answer: 0}
    version_regressions: 0
    clients: 60
    versions: {"1.0.0": 399}
    latency_max_ms: 12.6
    void_seconds: 0
    series: []
    capacity: {t: 1798761601.75, lb1: 6, lb2: 6}
    live_min: 6
    cpu_seconds: 0.21
result:
  description:
    - What became of all requests, also in C(result.json). Empty in check mode while the probe runs.
    - When this fails because the probe left no result, it has the last figures of RV(live), as far as there are any.
  returned: O(state=stopped)
  type: dict
  contains:
    started:
      description: When the first request was meant to be sent, in epoch seconds.
      type: float
      returned: always
      sample: 1798761600.0
    finished:
      description: When the last request had ended, in epoch seconds.
      type: float
      returned: always
      sample: 1798761660.1
    rate:
      description: Requests per second.
      type: float
      returned: always
      sample: 200.0
    targets:
      description: The front URLs.
      type: list
      elements: str
      returned: always
      sample: ["http://192.0.2.11", "http://192.0.2.12"]
    objective_seconds:
      description: The objective.
      type: float
      returned: always
      sample: 5.0
    requests_scheduled:
      description: Requests whose time had come.
      type: int
      returned: always
      sample: 12000
    requests_failed:
      description: Those that did not get the expected answer within the objective.
      type: int
      returned: always
      sample: 0
    requests_unmeasured:
      description: Those that say nothing about the service, because the prober itself could not send them or look at their answers in time.
      type: int
      returned: always
      sample: 0
    unmeasured_by_class:
      description: How many were not measured for which reason.
      type: dict
      returned: always
      sample: {unsent: 0, unseen: 0}
    availability:
      description: The share of measured requests that did not fail, V(null) without any.
      type: float
      returned: always
      sample: 1.0
    bound_95:
      description: 3/N when none of N measured requests failed. With 95 % confidence the true share of failures is below it. V(null) otherwise.
      type: float
      returned: always
      sample: 0.00025
    failures_by_class:
      description: How many failed in which way, all classes included.
      type: dict
      returned: always
      sample: {http_5xx: 0, http_4xx: 0, http_other: 0, refused: 0, reset_new: 0, reset_on_reused: 0,
               truncated: 0, malformed: 0, tls: 0, timeout: 0, wrong_answer: 0}
    clients:
      description: Logical clients.
      type: int
      returned: always
      sample: 60
    version_regressions:
      description: Logical clients that were answered by an older release after a newer one.
      type: int
      returned: always
      sample: 0
    version_regression_answers:
      description: How many such answers there were.
      type: int
      returned: always
      sample: 0
    versions:
      description: How many answers came from which release.
      type: dict
      returned: always
      sample: {"1.0.0": 5012, "2.0.0": 6988}
    latency_ms:
      description: The percentiles over all windows that are not void, in milliseconds. V(null) without any.
      type: dict
      returned: always
      sample: {p50: 2.1, p99: 9.8, p100: 21.4}
    by_kind:
      description: The figures of each kind of request.
      type: dict
      returned: always
      sample:
        keepalive: {scheduled: 6000, failed: 0, p50: 1.9, p99: 7.7, p100: 17.0}
        new: {scheduled: 6000, failed: 0, p50: 2.4, p99: 9.9, p100: 21.4}
    send_lag_p99_ms:
      description: How late the prober itself was, over the whole run.
      type: float
      returned: always
      sample: 1.3
    void_windows:
      description: The seconds in which it was too late or could not send, those in a row as one; times in epoch seconds.
      type: list
      elements: dict
      returned: always
      sample: [{from: 1798761610.0, to: 1798761611.0, send_lag_p99_ms: 131.2}]
    series:
      description:
        - The run second by second, by the intended times of the requests. C(t) is in epoch seconds, percentiles are in milliseconds.
        - The percentiles of a void second are V(null).
      type: list
      elements: dict
      returned: always
      sample:
        - t: 1798761600.0
          scheduled: 200
          failed: 0
          unmeasured: 0
          p50: 2.1
          p99: 8.0
          p100: 9.2
          versions: {"1.0.0": 200}
          send_lag_p99_ms: 0.8
          void: false
    capacity:
      description: The number of live servers at each load balancer, one entry per change and per second. V(null) where it could not be read.
      type: list
      elements: dict
      returned: always
      sample: [{t: 1798761600.0, lb1: 6, lb2: 6}]
    capacity_pools:
      description: The backend that was counted, by name of O(capacity).
      type: dict
      returned: always
      sample: {lb1: app, lb2: app}
    capacity_samples:
      description: How many samples were taken.
      type: int
      returned: always
      sample: 240
    capacity_unreadable:
      description: How many of them could not be read, by load balancer.
      type: dict
      returned: always
      sample: {lb1: 0, lb2: 0}
    capacity_skipped:
      description: The optional load balancers that could not be read when the probe started, and why.
      type: dict
      returned: always
      sample: {}
    live_min:
      description: The least number of live servers in any sample of any load balancer, V(null) without samples.
      type: int
      returned: always
      sample: 5
    cpu_seconds:
      description: Processor time that the prober used.
      type: float
      returned: always
      sample: 6.1
"""

import os
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._probe import process
from ..module_utils._probe.plan import CAPACITY_SPEC, MAX_REQUESTS, MIX_SPEC, ProbeError, make_plan

ARGUMENT_SPEC = {
    "state": {"type": "str", "required": True, "choices": ["started", "stopped", "observed"]},
    "directory": {"type": "path", "required": True},
    "targets": {"type": "list", "elements": "str"},
    "rate": {"type": "float", "default": 200},
    "mix": {"type": "list", "elements": "dict", "options": MIX_SPEC},
    "clients_per_target": {"type": "int", "default": 10},
    "objective_seconds": {"type": "float", "default": 5},
    "max_seconds": {"type": "float", "default": 3600},
    "max_requests": {"type": "int", "default": MAX_REQUESTS},
    "headers": {"type": "dict", "no_log": True},
    "version_header": {"type": "str", "default": "X-Release"},
    "version_key": {"type": "str", "no_log": False},
    "version_pattern": {"type": "str"},
    "towards": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "capacity": {"type": "list", "elements": "dict", "options": CAPACITY_SPEC},
    "min_requests": {"type": "int", "default": 0},
    "ends_with": {"type": "int"},
}


def start(module: AnsibleModule, directory: str) -> dict[str, Any]:
    """Start a probe."""
    plan = make_plan(module.params)
    process.require_none_running(directory)
    if not module.check_mode:
        process.start(plan, directory, module.params["ends_with"])
    return {"changed": True, "clients": plan.clients}


def stop(module: AnsibleModule, directory: str) -> dict[str, Any]:
    """End a probe and return what it found."""
    running = process.find_running(directory) is not None
    if running and module.check_mode:
        return {"changed": True, "result": {}}
    wanted = module.params["min_requests"]
    result = process.stop(directory, wanted)
    if result["requests_scheduled"] < wanted:
        module.warn(f"the probe ended by itself after {result['requests_scheduled']} of {wanted} requests: raise max_seconds or max_requests")
    return {"changed": running, "result": result}


def observe(_module: AnsibleModule, directory: str) -> dict[str, Any]:
    """Read what a probe has found so far."""
    return {"changed": False, "live": process.read_live(directory)}


STATES = {"started": start, "stopped": stop, "observed": observe}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True, required_if=[("state", "started", ["targets"])])
    directory = os.path.abspath(module.params["directory"])
    try:
        answer = STATES[module.params["state"]](module, directory)
        running = process.find_running(directory)
    except process.ProbeIncomplete as error:
        module.fail_json(msg=str(error), directory=directory, result=error.figures)
    except (ProbeError, OSError) as error:
        module.fail_json(msg=str(error), directory=directory)
    module.exit_json(directory=directory, running=running is not None, pid=running.pid if running else None, **answer)


if __name__ == "__main__":
    main()
