#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smoke_test
short_description: Ask a service over HTTP and compare what it answers with what it should
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
    description: Can run in check mode and return the verdicts of a real run, as far as asking changes nothing.
    details: Requests with the methods GET, HEAD and OPTIONS are sent and judged. Others, and commands, might change something and are not sent.
  diff_mode:
    support: none
    description: Changes nothing itself, so there is no difference to show.
options:
  tests:
    description: The tests. Each is one request, repeated until it was answered O(in_a_row) times in a row.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the test in results and messages. No two tests may have the same.
        type: str
        required: true
      url:
        description: An http or https address. Redirects are not followed, and no proxy is used. A test has this or O(tests[].command).
        type: str
      command:
        description:
          - A program and its arguments, run on the target without a shell, as the user that Ansible becomes there.
          - Its answer has the exit code as C(status), and as C(body) the end of what it printed, on both outputs, without white space around it.
        type: list
        elements: str
        version_added: 0.2.0
      method:
        description: Method of the request.
        type: str
        choices: [GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE]
        default: GET
      headers:
        description: Headers of the request.
        type: dict
        default: {}
      secret_headers:
        description: Headers whose values must not be shown or logged, for example C(Authorization).
        type: dict
        default: {}
      body:
        description: Body of the request. Anything but text is sent as JSON, with the content type that goes with it.
        type: raw
      status:
        description: The statuses that count as an answer. By default V(200), and of a command V(0).
        type: list
        elements: int
      expect:
        description:
          - JMESPath expressions over the JSON body, each with the expected value.
          - Values are compared as JSON. Text is not a number, so quote versions.
          - A dictionary with a single key compares otherwise. The keys are C(equals), C(matches) (a regular expression that is
            searched), C(captures) (such an expression, and the text that its first group must be), C(at_least), C(at_most)
            and C(contains) (part of a text, an item of a list, a key of an object).
        type: dict
        default: {}
      expect_answer:
        description:
          - The same over the whole answer, an object with C(status), C(headers) (names in lower case), C(json), C(body) and C(seconds).
        type: dict
        default: {}
      max_seconds:
        description: Seconds within which the whole answer must be there.
        type: float
        default: 10.0
  timeout:
    description: Seconds to wait until every test was answered.
    type: float
    default: 30.0
  in_a_row:
    description:
      - How many answers in a row each test needs. All of them must fulfil its expectations, so that a service that flaps,
        or a pool with one member of another release, does not pass by chance.
    type: int
    default: 2
  retries:
    description: How often the tests that failed are done again.
    type: int
    default: 0
  delay:
    description: Seconds to wait before each retry.
    type: float
    default: 1.0
  validate_certs:
    description: Whether the certificate of an https address must be valid.
    type: bool
    default: true
  max_body_bytes:
    description: How much of the body of an answer is read. A longer one is no JSON.
    type: int
    default: 262144
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
  description: What became of each test, in the order given.
  returned: when the tests were done
  type: list
  elements: dict
  contains:
    name:
      description: Name of the test.
      type: str
      sample: version
    url:
      description: Address that was asked, V(null) when a command was run.
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.alwayson.upgrade.plugins.module_utils import _http, _smoke_tests


def ask_all(params: dict, check_mode: bool) -> list[dict]:
    """Send the requests of all tests and return what came back, as data for the action plugin."""
    tests = _smoke_tests.require_tests(params)
    sendable = [test for test in tests if not check_mode or getattr(test.request, "method", None) in _smoke_tests.SAFE_METHODS]

    def ask(request: _http.Request | _smoke_tests.Command, seconds: float) -> _http.Answer:
        if isinstance(request, _smoke_tests.Command):
            return _smoke_tests.run(request, seconds)
        return _http.fetch(request, _http.Limits(seconds, params["max_body_bytes"], params["validate_certs"]))

    outcomes = _smoke_tests.wait_for_answers(sendable, ask, params["timeout"], params["in_a_row"])
    by_name = {test.name: outcome for test, outcome in zip(sendable, outcomes)}
    return [_as_data(test, by_name.get(test.name)) for test in tests]


def _as_data(test: _smoke_tests.SmokeTest, outcome: _smoke_tests.Outcome | None) -> dict:
    request = test.request
    told = {"url": getattr(request, "url", None), "method": getattr(request, "method", None), "command": getattr(request, "words", None)}
    data = {"name": test.name, **told, "sent": outcome is not None}
    if outcome is None:
        return data
    # The body stays text and the headers pairs: nothing that a server sends can pass for structure on the way.
    return {**data, **outcome._asdict(), "answers": [answer._asdict() for answer in outcome.answers]}


def main() -> None:
    module = AnsibleModule(argument_spec=_smoke_tests.ARGUMENTS, supports_check_mode=True)
    try:
        outcomes = ask_all(module.params, module.check_mode)
    except _smoke_tests.SmokeTestError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, outcomes=outcomes)


if __name__ == "__main__":
    main()
