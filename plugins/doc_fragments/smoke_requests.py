# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of modules that ask a service over HTTP."""

    DOCUMENTATION = r"""
options:
  tests:
    description: The tests. Each is one request, which is repeated until it was answered O(in_a_row) times in a row.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the test in results and messages. It must be unique.
        type: str
        required: true
      url:
        description: An http or https URL. Redirects are not followed, and no proxy is used. A test needs this or O(tests[].command).
        type: str
      command:
        description:
          - A program and its arguments, run on the target without a shell, as the user that Ansible becomes there.
          - Its answer has the exit code as C(status). Its C(body) is the end of its standard output and error, without surrounding white space.
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
        description: Body of the request. Anything but a text is sent as JSON, with the content type of JSON.
        type: raw
      status:
        description: The statuses that count as an answer. By default V(200), and V(0) for a command.
        type: list
        elements: int
      expect:
        description:
          - JMESPath expressions over the JSON body, each with the expected value.
          - Values are compared as JSON. Text is not a number, so quote versions.
          - A dictionary with a single key is a comparison. The keys are C(equals), C(matches) (a regular expression that is
            searched), C(captures) (a regular expression, and the text that its first group must be), C(at_least), C(at_most)
            and C(contains) (a part of a text, an item of a list, or a key of an object).
        type: dict
        default: {}
      expect_answer:
        description:
          - Like O(tests[].expect), over the whole answer, which is an object with C(status), C(headers) (names in lower case), C(json), C(body) and C(seconds).
        type: dict
        default: {}
      max_seconds:
        description: The seconds within which the whole answer must arrive.
        type: float
        default: 10.0
  timeout:
    description: The seconds within which every test must be answered.
    type: float
    default: 30.0
  in_a_row:
    description:
      - How many answers in a row each test needs. All of them must fulfil its expectations, so that an unstable service,
        or a pool with one member of another release, does not pass by chance.
    type: int
    default: 2
  validate_certs:
    description: Whether the certificate of an https address must be valid.
    type: bool
    default: true
  max_body_bytes:
    description: The highest number of bytes of an answer's body that are read. A longer body is not parsed as JSON.
    type: int
    default: 262144
"""
