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
  - Sends HTTP requests from the target, or runs commands there, waits until each was answered several times in a row, and compares what the answers
    say with JMESPath expectations. Fails when one is not fulfilled.
  - The expectations are evaluated on the controller, so the target needs nothing but Python.
  - Answers are only ever data. Nothing in them is templated, and messages show them as shortened JSON.
requirements:
  - jmespath on the controller, for tests with O(tests[].expect) or O(tests[].expect_answer)
attributes:
  check_mode:
    support: partial
    description: Can run in check mode and return the verdicts of a real run, for tests that change nothing.
    details: Requests with the methods GET, HEAD and OPTIONS are sent and judged. Others, and commands, might change something and are not sent.
  diff_mode:
    support: none
    description: Changes nothing itself, so there is no difference to show.
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
- name: The new release answers on this member
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

- name: The new release runs, by its own word
  alwayson.upgrade.smoke_test:
    tests:
      - name: release
        command: [/srv/shop/current/bin/shop, --version]
        expect_answer:
          body: {captures: ["^shop ([0-9.]+)", "2.0.0"]}

- name: An order can be written
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
  returned: when the tests were done
  type: bool
  sample: true
tests:
  description: The result of each test, in the order given.
  returned: when the tests were done
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
      description: Status of the last answer, or the exit code of the command, V(null) when there was none.
      type: int
      sample: 200
    seconds:
      description: Time of the slowest of the answers that were judged, V(null) when there was none.
      type: float
      sample: 0.004
    requests:
      description: How many requests were sent.
      type: int
      sample: 2
    passed:
      description: Whether the test passed. V(null) when it was not sent, in check mode.
      type: bool
      sample: true
    why:
      description: What was expected and what was seen, a sentence each. Empty when the test passed.
      type: list
      elements: str
      sample: []
started_at:
  description: When the first request was about to be sent, by the clock of the controller. Epoch seconds.
  returned: when the tests were done
  type: float
  sample: 1798761600.0
finished_at:
  description: When the last answer was judged, by the clock of the controller. Epoch seconds.
  returned: when the tests were done
  type: float
  sample: 1798761600.4
"""

from typing import Any, Callable

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._release import smoke_tests

ARGUMENTS = smoke_tests.ARGUMENTS
ERRORS = (smoke_tests.SmokeTestError,)


def evidence(params: dict[str, Any], check_mode: bool, masked: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is judged, as it was seen, and what is returned beside it. Raises one of ERRORS."""
    outcomes = smoke_tests.ask_all(params, smoke_tests.is_safe if check_mode else lambda test: True)
    return {"outcomes": smoke_tests.told_by(outcomes, masked)}, {"changed": False}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        deciding, told = evidence(module.params, module.check_mode, module.masked)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    module.exit_for_judgement(deciding, **told)


if __name__ == "__main__":
    main()
