#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smoke_test
short_description: Send HTTP requests to a service and compare the answers with expectations
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Sends HTTP requests from the target, or runs commands there, until each was answered several times in a row. Compares the
    answers with JMESPath expectations, and fails when an expectation is not fulfilled.
  - The expectations are evaluated on the controller, so the target needs only Python.
  - Answers are never templated, and messages show them as shortened JSON.
requirements:
  - jmespath on the controller, for tests with O(tests[].expect) or O(tests[].expect_answer)
attributes:
  check_mode:
    support: partial
    description: Runs the tests that change nothing.
    details: Requests with the methods GET, HEAD and OPTIONS are sent and checked. Other requests, and commands, might change something, so they are skipped.
  diff_mode:
    support: none
    description: The module changes nothing, so there is no difference to show.
extends_documentation_fragment:
  - alwayson.upgrade.smoke_requests
options:
  retries:
    description: How often failed tests are repeated.
    type: int
    default: 0
  delay:
    description: Seconds to wait before each retry.
    type: float
    default: 1.0
seealso:
  - module: alwayson.upgrade.release
  - name: JMESPath
    description: The language of the expectations.
    link: https://jmespath.org
"""

EXAMPLES = r"""
- name: Test that the new release answers on this member
  alwayson.upgrade.smoke_test:
    tests:
      - name: version
        url: http://127.0.0.21:8080/version
        expect:
          release: "2.0.0"
      - name: products
        url: http://127.0.0.21:8080/products?tenant=a
        expect:
          length(products): {at_least: 3}
          products[0].name: {matches: "^[A-Z]"}
        expect_answer:
          headers."x-release": "2.0.0"
          seconds: {at_most: 0.5}
    timeout: 60

- name: Test which release runs by its own command
  alwayson.upgrade.smoke_test:
    tests:
      - name: release
        command: [/srv/shop/current/bin/shop, --version]
        expect_answer:
          body: {captures: ["^shop ([0-9.]+)", "2.0.0"]}

- name: Test that an order can be written
  alwayson.upgrade.smoke_test:
    tests:
      - name: order
        method: POST
        url: https://shop.example.com/orders?tenant=a
        secret_headers:
          Authorization: Bearer {{ shop_token }}
        body:
          product: 1
          quantity: 2
        status: [201]
        expect:
          order: {at_least: 1}
    in_a_row: 1
    retries: 2
"""

RETURN = r"""
passed:
  description: Whether all tests passed.
  returned: when the tests were run
  type: bool
  sample: true
tests:
  description: The result of each test, in the given order.
  returned: when the tests were run
  type: list
  elements: dict
  contains:
    name:
      description: Name of the test.
      type: str
      sample: version
    url:
      description: Address of the request, V(null) when a command was run.
      type: str
      sample: http://127.0.0.21:8080/version
    command:
      description: The command that was run, V(null) when there was a request.
      type: list
      elements: str
      sample: null
    method:
      description: Method of the request, V(null) when a command was run.
      type: str
      sample: GET
    status:
      description: Status of the last answer, or exit code of the command. V(null) when there was no answer.
      type: int
      sample: 200
    seconds:
      description: Response time of the slowest checked answer, V(null) when there was none.
      type: float
      sample: 0.004
    requests:
      description: The number of requests that were sent.
      type: int
      sample: 2
    passed:
      description: Whether the test passed. V(null) when it was not sent, in check mode.
      type: bool
      sample: true
    why:
      description: One sentence for each expectation that was not fulfilled, with the expected and the actual value. Empty when the test passed.
      type: list
      elements: str
      sample: []
started_at:
  description: The time before the first request, by the clock of the controller. Epoch seconds.
  returned: when the tests were run
  type: float
  sample: 1798761600.0
finished_at:
  description: The time after the last answer was checked, by the clock of the controller. Epoch seconds.
  returned: when the tests were run
  type: float
  sample: 1798761600.4
"""

from typing import Any, Callable

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._release import smoke_tests

ARGUMENTS = smoke_tests.ARGUMENTS
ERRORS = (smoke_tests.SmokeTestError,)


def evidence(params: dict[str, Any], check_mode: bool, masked: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The unmasked values that are checked on the controller, and the other return values. Raises one of ERRORS."""
    outcomes = smoke_tests.ask_all(params, smoke_tests.is_safe if check_mode else lambda test: True)
    return {"outcomes": smoke_tests.masked_outcomes(outcomes, masked)}, {"changed": False}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        deciding, masked = evidence(module.params, module.check_mode, module.masked)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    module.exit_for_verdict(deciding, **masked)


if __name__ == "__main__":
    main()
