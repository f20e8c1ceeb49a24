#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member_info
short_description: Return the release of a member, and the problems that would prevent its return to traffic
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Reads the layout that M(alwayson.upgrade.release) keeps below O(root), as M(alwayson.upgrade.release_info) does.
  - In the same call, runs the smoke tests of an upgrade against the current release, and checks the folder and the
    commands that an upgrade needs, as the user that activates releases. Problems are returned, and do not make the module fail.
  - Only requests with the methods GET, HEAD and OPTIONS are sent, and O(version_command) is run. Other requests and commands might change something.
requirements:
  - jmespath on the controller, for tests with O(tests[].expect) or O(tests[].expect_answer)
extends_documentation_fragment:
  - alwayson.upgrade.read_only
  - alwayson.upgrade.smoke_requests
options:
  root:
    description: Absolute path of the folder that belongs to the application on this host.
    type: path
    required: true
  preflight:
    description: Whether to run the tests and checks. Otherwise only the layout is read.
    type: bool
    default: true
  serving:
    description:
      - Whether the member takes traffic.
      - A member that takes traffic must answer, and must have a current release. Another member is tested once, and need not answer.
    type: bool
    default: false
  address:
    description: The address of the application, C(host:port), with an IPv6 address in brackets. Without it, no test is run.
    type: str
  description:
    description:
      - The description that P(alwayson.upgrade.service_description#filter) makes.
      - It defines the tests of the member's health and release, which run before O(tests). Other keys of a description are ignored.
    type: dict
    default: {}
    suboptions:
      health_path:
        description: The path at which a healthy member answers with status 200.
        type: str
        default: /healthz
      version_path:
        description: The path whose answer has the release.
        type: str
        default: /version
      version_query:
        description: The JMESPath of the release in the JSON of that answer. The default is V(release), unless one of the other options is given.
        type: str
      version_header:
        description: The header of that answer that has the release.
        type: str
      version_pattern:
        description: A regular expression whose first group is the release, searched in the value of the query, the header or the command.
        type: str
      has_version_command:
        description: Whether O(version_command) prints the release. By default V(true) when O(version_command) is given.
        type: bool
  version_command:
    description: The command that prints the running release, if O(description) uses such a command.
    type: list
    elements: str
    default: []
  tests:
    required: false
    default: []
    description:
      - Smoke tests. C(path), a path on O(address), may be given instead of O(tests[].url).
      - With C(holds_for=both), the current release must also pass the test.
  timeout:
    default: 3.0
  in_a_row:
    default: 3
  once:
    description: Names of tests that are run once, without retries.
    type: list
    elements: str
    default: []
  service:
    description: The systemd unit of the application.
    type: str
  stop_command:
    description: The command that stops the service, as a list of words or as a text.
    type: raw
  start_command:
    description: The command that starts the service.
    type: raw
  status_command:
    description: The command whose exit status reports whether the service runs.
    type: raw
  command_timeout:
    description: The seconds within which the status command must end.
    type: int
    default: 10
seealso:
  - module: alwayson.upgrade.release_info
  - module: alwayson.upgrade.smoke_test
"""

EXAMPLES = r"""
- name: Read what runs here, and check whether it could return to traffic
  alwayson.upgrade.member_info:
    root: /srv/shop
    service: shop
    serving: true
    address: 10.0.0.21:8080
    description:
      health_path: /healthz
      version_path: /version
      version_query: release
  register: member

- name: Stop when it could not return
  ansible.builtin.assert:
    that: member.problems | length == 0
"""

RETURN = r"""
root:
  description: The folder that was read.
  returned: success
  type: str
  sample: /srv/shop
current:
  description: The current release, V(null) when there is none.
  returned: success
  type: str
  sample: 1.0.0
previous:
  description: The previous release, V(null) when there is none.
  returned: success
  type: str
  sample: 0.9.0
available:
  description: The releases on the host, as in M(alwayson.upgrade.release_info).
  returned: success
  type: dict
  sample:
    1.0.0:
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      staged: 1798761600.0
      files: 12
      size: 48211
last_upgrade_seconds:
  description: The duration of the last upgrade of this host. V(null) when it is not known.
  returned: success
  type: float
  sample: 4.2
user:
  description: The user that activates releases.
  returned: success
  type: str
  sample: root
serving:
  description: The value of O(serving).
  returned: success
  type: bool
  sample: true
running:
  description: Whether the service runs, according to the status command. V(null) without such a command, and when its result is unclear.
  returned: success
  type: bool
  sample: true
problems:
  description: The problems that would prevent a return. Each has the C(variable) of the inventory to correct, and C(what) is wrong.
  returned: success
  type: list
  elements: dict
  sample: []
asked:
  description:
    - The result of each test, as in M(alwayson.upgrade.smoke_test). C(about) is V(health), V(release) or V(own).
    - C(holds_for) is V(both) when the current release must pass the test.
  returned: success
  type: list
  elements: dict
  sample:
    - name: health
      about: health
      holds_for: both
      url: http://10.0.0.21:8080/healthz
      method: GET
      status: 200
      seconds: 0.004
      requests: 3
      passed: true
      why: []
"""

from typing import Any, Callable

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._release import member_checks, releases, smoke_tests
from ..module_utils._release.last_upgrade import read_seconds
from ..module_utils._release.service import CommandsError, Service, commands_for

RELEASE = "release"
# What is read of a description, on the controller; the defaults of a whole one are the same.
DESCRIPTION = {
    "health_path": {"type": "str", "default": "/healthz"},
    "version_path": {"type": "str", "default": "/version"},
    "version_query": {"type": "str"},
    "version_header": {"type": "str"},
    "version_pattern": {"type": "str"},
    "has_version_command": {"type": "bool"},
}
# What the controller reads before the module runs.
FOR_REQUESTS: dict[str, dict[str, Any]] = {
    "preflight": {"type": "bool", "default": True},
    "serving": {"type": "bool", "default": False},
    "address": {"type": "str"},
    "description": {"type": "dict", "default": {}, "options": DESCRIPTION},
}
COMMANDS = ("stop_command", "start_command", "status_command")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "root": {"type": "path", "required": True},
    **FOR_REQUESTS,
    "version_command": {"type": "list", "elements": "str", "default": []},
    "tests": {**smoke_tests.ARGUMENTS["tests"], "required": False, "default": []},
    "timeout": {"type": "float", "default": 3.0},
    "in_a_row": {"type": "int", "default": 3},
    "once": {"type": "list", "elements": "str", "default": []},
    "validate_certs": smoke_tests.ARGUMENTS["validate_certs"],
    "max_body_bytes": smoke_tests.ARGUMENTS["max_body_bytes"],
    "service": {"type": "str"},
    **{name: {"type": "raw"} for name in COMMANDS},
    "command_timeout": {"type": "int", "default": 10},
}
ERRORS = (releases.ReleaseError, smoke_tests.SmokeTestError, OSError)


def look(params: dict[str, Any]) -> dict[str, Any]:
    """What runs here, and what would keep it from coming back."""
    root, user, serving = releases.require_root(params["root"]), member_checks.user_name(), params["serving"]
    problems = []
    try:
        state = releases.observe(root)
    except (releases.ReleaseError, OSError) as error:
        state = releases.State(None, None, {})
        problems.append(member_checks.Problem(member_checks.ROOT if isinstance(error, releases.ReleaseError) else member_checks.BECOME,
                                              f"{user} reads {root}: {error}"))
    running = None
    if params["preflight"]:
        problems += [] if problems else member_checks.root_problems(root, state.current, serving, user)
        running, wrong = _service_of(params, user, root, is_first=not serving and state.current is None)
        problems += wrong
    return {"root": root, "user": user, "serving": serving, "running": running, "problems": [problem._asdict() for problem in problems],
            "last_upgrade_seconds": read_seconds(root), **state.as_dict()}


def ask(params: dict[str, Any]) -> list[dict[str, Any]]:
    """What came back from the requests that change nothing, as data for the action plugin."""
    once = [test for test in params["tests"] if test["name"] in params["once"]]
    waited_for = [test for test in params["tests"] if test["name"] not in params["once"]]
    parts = [{**smoke_tests.LEAST, **params, "tests": waited_for}, {**smoke_tests.LEAST, **params, "tests": once, "timeout": 0.0, "in_a_row": 1}]
    return [outcome for part in parts if part["tests"] for outcome in smoke_tests.ask_all(part, _may_send)]


def _may_send(test: smoke_tests.SmokeTest) -> bool:
    """Whether the test changes nothing: a request that only reads, or the command that prints the release."""
    return smoke_tests.is_safe(test) or test.name == RELEASE


def _service_of(params: dict[str, Any], user: str, root: str, is_first: bool) -> tuple[Any, ...]:
    """Whether the service runs, and what is wrong with its commands. Before the *first* release it is not asked."""
    unit = params["service"]
    try:
        stop, start, status = (params[name] for name in COMMANDS)
        commands = commands_for(unit, stop, start, status, prefix="release_")
    except CommandsError as error:
        return None, [member_checks.Problem(" and ".join(error.options), str(error))]
    wrong = member_checks.command_problems(commands, unit, params["command_timeout"], user, comes_later=root if is_first else None)
    if wrong or is_first:
        return None, wrong
    return member_checks.state_of(Service(commands, params["command_timeout"]), unit, params["serving"])


def evidence(params: dict[str, Any], _check_mode: bool, masked: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The unmasked values that are checked on the controller, and the other return values. Raises one of ERRORS."""
    seen = look(params)
    problems = seen.pop("problems")
    seen["outcomes"] = smoke_tests.masked_outcomes(ask(params), masked)
    return seen, {"changed": False, "problems": problems}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        deciding, masked = evidence(module.params, module.check_mode, module.masked)
    except ERRORS as error:
        module.fail_json(msg=str(error))
    module.exit_for_verdict(deciding, **masked)


if __name__ == "__main__":
    main()
