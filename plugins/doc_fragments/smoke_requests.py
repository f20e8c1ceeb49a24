# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of modules that ask a service over HTTP."""

    DOCUMENTATION = r"""
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
  validate_certs:
    description: Whether the certificate of an https address must be valid.
    type: bool
    default: true
  max_body_bytes:
    description: How much of the body of an answer is read. A longer one is no JSON.
    type: int
    default: 262144
"""
