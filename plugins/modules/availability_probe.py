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
  - With O(state=started), starts a detached process that sends HTTP requests to O(targets) at a fixed rate. With O(state=stopped), ends it and returns the
    outcome of all requests.
  - The load is open loop. Each request has an intended time that does not depend on earlier answers, and its latency is measured from that time.
    So a stall of one second appears in the latency of every request that was due in that second.
  - Requests are not retried. A request that did not get the complete, expected answer within O(objective_seconds) has failed.
  - The probe also samples the number of servers that take new traffic from the runtime API of every HAProxy in O(capacity), four times per second.
notes:
  - "The classes of failure: V(http_5xx), V(http_4xx) and V(http_other), a complete answer with an unexpected status;
    V(refused), the connection failed (refused, unreachable, or the name not resolved);
    V(reset_new) and V(reset_on_reused), a new connection, or one that had carried an answer before, ended before the first byte of the answer;
    V(truncated), the connection ended within the answer; V(malformed), the answer is not HTTP; V(tls), the TLS handshake failed, for example because of a wrong
    certificate; V(timeout), no complete answer within O(objective_seconds) of the intended time;
    V(wrong_answer), a complete answer with an expected status whose content O(mix) does not expect."
  - "Requests that the prober itself could not measure are no failures of the service. They count as unmeasured: V(unsent), a request that could not be sent
    within
    a second of its time, for lack of files, ports or processor time; V(unseen), one whose answer could not be read in time, because the process was stopped."
  - A logical client always uses the same target and the same entry of O(mix). It has regressed when it gets an answer of an older release to a request that
    it sent after an answer of a newer release. Regressions are not failures. They are counted separately, in clients. Without O(towards), only versions that
    consist of numbers, such as V(1.10.0), have an order.
  - Percentiles are exact. They cover the expected answers, and the timeouts with the time after which they were given up.
  - A second is void when the prober itself was late in it (send lag p99 above 100 ms), or when something in it is unmeasured. Void seconds are listed
    in RV(result.void_windows), and their latencies are excluded from all percentiles. Failures of the service in a void second still count.
  - The process ends by itself after O(max_seconds) or O(max_requests), and on SIGTERM. It then waits for the requests in flight, and writes the result.
  - The process raises its priority and its limit of open files where its user may, so that the load that it measures does not delay it.
  - The module forks, so no option is written to disk. It needs Python 3.9 or newer on a POSIX system.
attributes:
  check_mode:
    support: full
    description: Checks the options and whether a probe runs, but neither starts nor ends one. RV(result) of a running probe is empty.
  diff_mode:
    support: none
    description: The module starts or ends a process, so there is no difference to show.
extends_documentation_fragment:
  - alwayson.upgrade.probe_load
options:
  state:
    description:
      - V(started) starts a probe in O(directory), and fails when one already runs there. The files of an earlier probe are replaced.
      - V(stopped) ends the probe and returns RV(result). When the probe has ended by itself, nothing is changed, and its result is returned.
        A probe that does not end in time is killed. When there is no result, for example after that, the module fails, and RV(result) has the last figures.
      - V(observed) only reads the current figures.
    type: str
    choices:
      - started
      - stopped
      - observed
    required: true
  directory:
    description:
      - The directory of the probe's files, C(probe.pid), C(probe.log), C(live.json) (replaced once per second) and, at the end, C(result.json).
        It is created with mode 0700 when it does not exist.
      - There is at most one probe per directory. A directory is refused when it belongs to another account than this one and root, or when others may write
        in it, because they could make the module end another process, or forge the figures.
    type: path
    required: true
  targets:
    description:
      - The front URLs of the service as users reach it, one per load balancer. A path in a URL is a prefix of the paths of O(mix).
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
    description: The seconds after its intended time within which a request must have its complete answer. Otherwise it has failed.
    type: float
    default: 5
  max_seconds:
    description: The probe ends by itself after this many seconds, at most 86400.
    type: float
    default: 3600
  max_requests:
    description: The probe ends by itself after this many requests, at most 5000000.
    type: int
    default: 5000000
  headers:
    description: Headers to add to every request, for example C(Host) when O(targets) are addresses. Certificates are then checked for the name in C(Host).
    type: dict
  version_header:
    description: The header of an answer that has the release.
    type: str
    default: X-Release
  version_key:
    description: The key of the JSON object in the body of an answer that has the release. It is used when the answer has no O(version_header).
    type: str
  version_pattern:
    description: A regular expression whose first group is the release, in the value of O(version_header) or O(version_key). By default, the whole value is the
      release.
    type: str
    version_added: 0.2.0
  towards:
    description:
      - The target release of the service, of an upgrade or a rollback. A client regresses when another release answers it after this one did.
      - Without it, releases are ordered by their numbers, and a client regresses when an older one answers after a newer one.
    type: str
  validate_certs:
    description: Whether certificates of HTTPS targets are checked.
    type: bool
    default: true
  ends_with:
    description: The id of a process on the same host, such as that of ansible-playbook. The probe ends within a second after this process has ended.
    type: int
    version_added: 0.3.0
  min_requests:
    description: With O(state=stopped), first wait until this many requests were scheduled. If the probe ends by itself before that, a warning is returned.
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
  description: The directory of the probe's files.
  returned: success
  type: str
  sample: /var/tmp/shop-probe
running:
  description: Whether a probe runs there.
  returned: success
  type: bool
  sample: true
pid:
  description: The process id of the probe that runs, V(null) when none does.
  returned: success
  type: int
  sample: 4711
clients:
  description: The number of logical clients.
  returned: O(state=started)
  type: int
  sample: 60
live:
  description:
    - The current figures, also in C(live.json). Times are epoch seconds, C(series) has the last 60 seconds as in RV(result.series).
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
    - The outcome of all requests, also in C(result.json). Empty in check mode while the probe runs.
    - When the module fails because the probe left no result, this has the last figures of RV(live), if there are any.
  returned: O(state=stopped)
  type: dict
  contains:
    started:
      description: The intended time of the first request, in epoch seconds.
      type: float
      returned: always
      sample: 1798761600.0
    finished:
      description: The time at which the last request ended, in epoch seconds.
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
      description: The value of O(objective_seconds).
      type: float
      returned: always
      sample: 5.0
    requests_scheduled:
      description: The number of requests that were due.
      type: int
      returned: always
      sample: 12000
    requests_failed:
      description: The number of requests that did not get the expected answer in time.
      type: int
      returned: always
      sample: 0
    requests_unmeasured:
      description: The number of requests that the prober itself could not send, or whose answers it could not read in time. They say nothing about the service.
      type: int
      returned: always
      sample: 0
    unmeasured_by_class:
      description: The number of unmeasured requests by reason.
      type: dict
      returned: always
      sample: {unsent: 0, unseen: 0}
    availability:
      description: The share of measured requests that did not fail. V(null) without measured requests.
      type: float
      returned: always
      sample: 1.0
    bound_95:
      description: 3/N when none of N measured requests failed. With 95 % confidence the true share of failures is below it. V(null) otherwise.
      type: float
      returned: always
      sample: 0.00025
    failures_by_class:
      description: The number of failed requests of each class.
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
      description: The number of these answers.
      type: int
      returned: always
      sample: 0
    versions:
      description: The number of answers from each release.
      type: dict
      returned: always
      sample: {"1.0.0": 5012, "2.0.0": 6988}
    latency_ms:
      description: The percentiles over all seconds that are not void, in milliseconds. V(null) without such a second.
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
      description: By how many milliseconds the prober itself was late, over the whole run.
      type: float
      returned: always
      sample: 1.3
    void_windows:
      description: The periods of void seconds. Times are in epoch seconds.
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
      description: The backend whose servers were counted, by name of O(capacity).
      type: dict
      returned: always
      sample: {lb1: app, lb2: app}
    capacity_samples:
      description: The number of samples.
      type: int
      returned: always
      sample: 240
    capacity_unreadable:
      description: The number of samples that could not be read, by load balancer.
      type: dict
      returned: always
      sample: {lb1: 0, lb2: 0}
    capacity_skipped:
      description: The optional load balancers that could not be read when the probe started, with the reason.
      type: dict
      returned: always
      sample: {}
    live_min:
      description: The lowest number of live servers in any sample of any load balancer. V(null) without samples.
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

from ..module_utils._host.ansible_module import AnsibleModule, FailedWithFacts
from ..module_utils._probe import process
from ..module_utils._probe.plan import CAPACITY_SPEC, MAX_REQUESTS, MIX_SPEC, ProbeError, make_plan

ARGUMENTS = {
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
RULES: dict[str, Any] = {"required_if": [("state", "started", ["targets"])]}


class ProbeFailed(FailedWithFacts):
    """Nothing was done, or the probe gave no result."""


ERRORS = (ProbeFailed,)


def start(params: dict[str, Any], directory: str, check_mode: bool) -> dict[str, Any]:
    """Start a probe."""
    plan = make_plan(params)
    process.require_none_running(directory)
    if not check_mode:
        process.start(plan, directory, params["ends_with"])
    return {"changed": True, "clients": plan.clients}


def stop(params: dict[str, Any], directory: str, check_mode: bool) -> dict[str, Any]:
    """End a probe and return what it found."""
    running = process.find_running(directory) is not None
    if running and check_mode:
        return {"changed": True, "result": {}}
    wanted = params["min_requests"]
    result = process.stop(directory, wanted)
    warnings = []
    if result["requests_scheduled"] < wanted:
        warnings.append(f"the probe ended by itself after {result['requests_scheduled']} of {wanted} requests: raise max_seconds or max_requests")
    return {"changed": running, "result": result, "warnings": warnings}


def observe(_params: dict[str, Any], directory: str, _check_mode: bool) -> dict[str, Any]:
    """Read what a probe has found so far."""
    return {"changed": False, "live": process.read_live(directory)}


STATES = {"started": start, "stopped": stop, "observed": observe}


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """What is returned; raises ProbeFailed."""
    directory = os.path.abspath(params["directory"])
    try:
        found = STATES[params["state"]](params, directory, check_mode)
        running = process.find_running(directory)
    except process.ProbeIncomplete as error:
        raise ProbeFailed(str(error), {"directory": directory, "result": error.figures}) from error
    except (ProbeError, OSError) as error:
        raise ProbeFailed(str(error), {"directory": directory}) from error
    return {"directory": directory, "running": running is not None, "pid": running.pid if running else None, **found}


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, **RULES)
    try:
        result = answer(module.params, module.check_mode)
    except ProbeFailed as error:
        module.fail_json(msg=str(error), **error.facts)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
