#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Stage, switch and remove the releases of an application on a host
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Keeps the releases of one application side by side below O(root), and one of them current.
  - A release is staged whole or not at all. Its archive is read to the end and judged before the first byte is written,
    unpacked beside the other releases, flushed to disk, and put in its place by one rename.
  - The switch stops the service, makes the release current by renaming a symlink, and starts the service.
    Each step is proven before the next.
  - A failed start is reported and left as it is. Running the module with the release before brings that back.
attributes:
  check_mode:
    support: full
    description: Can run in check mode and return what would change. The artifact is checked as in a real run.
  diff_mode:
    support: full
    description: Returns the current, previous and available releases before and after.
options:
  root:
    description:
      - Absolute path of the folder that belongs to the application on this host.
      - Releases are in C(releases/<version>) in it. The symlinks C(current) and C(previous) point to two of them.
      - O(state=staged) creates it when it is missing.
    type: path
    required: true
  version:
    description:
      - Version of the release. One to four numbers with dots between, then optionally a pre-release and build metadata.
      - Names that move, such as V(latest), are refused.
    type: str
    required: true
  state:
    description:
      - V(staged) means that the release is on the host, ready to become current.
      - V(current) means that the release is the one that runs. It must be staged before.
      - V(absent) removes the release. The current release is never removed.
      - V(withdrawn) means that this release does not run. Where it is current, the service is stopped and the symlink C(current) removed; the release
        stays on the host. This is the way back of a first installation, which has no release before.
    type: str
    choices: [staged, current, absent, withdrawn]
    default: current
  artifact:
    description:
      - Path on the host of the release, a C(.tar.gz) archive with the files at its top level.
      - Needed with O(state=staged) unless the release is staged already, or O(artifact_src) is given.
      - It is read once, into a private copy without a name in O(root). The same bytes are verified and unpacked, also when another process writes to it.
      - Refused are absolute names, names with C(..) or control characters, duplicate names, links that lead out of the archive, devices, sparse
        files, setuid, setgid and sticky bits, damaged headers, archives beyond O(max_members) or O(max_bytes), and those that take longer to judge than an
        archive of their size may. All other names are kept byte by byte.
    type: path
  artifact_src:
    description:
      - The same archive on the controller. It is brought to the host when the release is not staged there, in check mode too, and removed again.
      - A relative path is looked for where M(ansible.builtin.copy) looks for its C(src).
    type: path
    version_added: 0.2.0
  sha256:
    description:
      - SHA-256 checksum of the artifact. Required with O(state=staged).
      - With O(state=current) the release must have been staged from an artifact with this checksum.
      - A staged release with another checksum is replaced, unless it is current.
    type: str
  service:
    description:
      - Name of the systemd unit that runs the application. Gives O(stop_command), O(start_command) and O(status_command)
        their defaults.
      - Without it and without commands there is no service, and O(state=current) switches the symlink only.
    type: str
  stop_command:
    description:
      - Command and arguments that stop the service, as a list of words or as a text, which is split as a shell would and run without one.
    type: raw
  start_command:
    description:
      - Command and arguments that start the service, given likewise. It must return while the service goes on running.
    type: raw
  status_command:
    description:
      - Command and arguments that tell whether the service runs, given likewise. Exit code 0 means that it does, 1 to 3 that it does not.
        Anything else is a failure.
    type: raw
  command_timeout:
    description:
      - Seconds that each command may take, and after it the service to be down or up.
    type: int
    default: 120
  keep:
    description:
      - Number of releases to keep after O(state=current), the current and the previous one included. Older ones are removed.
      - V(0) keeps all. Folders that this module did not stage are left alone.
      - A release in which something is mounted stays whole, also with O(state=absent), and a warning names the mount. What this account may not remove is
        a warning with its path, and is in the way of no other release.
    type: int
    default: 3
  lock_timeout:
    description: Seconds to wait while another run changes the same O(root), or works with an older token.
    type: int
    default: 60
  fence:
    description:
      - What keeps a run that was taken over away from O(root). A token that is older than one that was used here before is refused
        before anything is changed.
      - In check mode the token is compared, and not left here.
    type: dict
    version_added: 0.2.0
    suboptions:
      token:
        description: The token of the run's lock, C(lock.token) of M(alwayson.upgrade.fleet_lock).
        type: int
        required: true
      path:
        description:
          - Absolute path of the file that keeps the token on this host. By default C(.fence) in O(root).
          - One file per service, because each service counts its own tokens.
          - Its folder is made when it is missing.
        type: path
      owner:
        description: The owner of the token, for the error of a run that is refused.
        type: str
        default: ""
  max_members:
    description: The most members that the archive may have.
    type: int
    default: 100000
  max_bytes:
    description: The most bytes that the archive may unpack to.
    type: int
    default: 4294967296
seealso:
  - module: alwayson.upgrade.fleet_lock
  - module: alwayson.upgrade.release_info
  - module: alwayson.upgrade.smoke_test
notes:
  - All the files belong to the user that runs the module, are writable for their owner only, and never get special mode bits.
"""

EXAMPLES = r"""
- name: Stage the release while the old one serves
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    artifact_src: "{{ playbook_dir }}/shop-2.0.0.tar.gz"
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    state: staged

- name: Stage it from an archive that is on the host already
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    artifact: /var/tmp/shop-2.0.0.tar.gz
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    state: staged

- name: Make it current
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    service: shop
    state: current
  register: switch_to_new

- name: Go back to the release before
  alwayson.upgrade.release:
    root: /srv/shop
    version: "{{ switch_to_new.release_before }}"
    service: shop
    state: current

- name: Switch an application with a supervisor of its own
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    stop_command: [/usr/local/bin/shopctl, stop]
    start_command: [/usr/local/bin/shopctl, start]
    status_command: [/usr/local/bin/shopctl, status]
    command_timeout: 30

- name: Switch, unless this run was taken over
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    service: shop
    fence:
      token: "{{ fleet_lock.lock.token }}"
      owner: "{{ fleet_lock.lock.owner }}"

- name: Take back a first installation that does not work
  alwayson.upgrade.release:
    root: /srv/shop
    version: 1.0.0
    service: shop
    state: withdrawn

- name: Remove a release that is no longer needed
  alwayson.upgrade.release:
    root: /srv/shop
    version: 1.0.0
    state: absent
"""

RETURN = r"""
release:
  description: The release that is current now, V(null) when there is none.
  returned: always
  type: str
  sample: 2.0.0
release_before:
  description: The release that was current before.
  returned: always
  type: str
  sample: 1.0.0
previous:
  description: The release that C(previous) points to now.
  returned: always
  type: str
  sample: 1.0.0
available:
  description: The releases on the host now, each with its sha256, the time it was staged (epoch), its files and bytes.
  returned: success
  type: dict
  sample:
    2.0.0:
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      staged: 1798761600.0
      files: 12
      size: 48211
needs_artifact:
  description: That the archive has yet to be brought from O(artifact_src). In the result of a task it has been.
  returned: success
  type: bool
  sample: false
pruned:
  description: The releases that were removed because of O(keep).
  returned: success
  type: list
  elements: str
  sample: ["0.9.0"]
started_at:
  description: When the module began its work, the lock in hand. Epoch seconds.
  returned: success
  type: float
  sample: 1798761600.0
finished_at:
  description: When the work was done and proven. Epoch seconds.
  returned: success
  type: float
  sample: 1798761601.5
seconds:
  description: Seconds from RV(started_at) to RV(finished_at).
  returned: success
  type: float
  sample: 1.5
"""

import contextlib
import os
import time
from typing import Any
from collections.abc import Iterator

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.version import VersionError, parse
from ..module_utils._locking import fence as locking_fence
from ..module_utils._release import activation, releases as release
from ..module_utils._release.service import Service, ServiceError, commands_for

ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "version": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["staged", "current", "absent", "withdrawn"], "default": "current"},
    "artifact": {"type": "path"},
    "artifact_src": {"type": "path"},
    "sha256": {"type": "str"},
    "service": {"type": "str"},
    "stop_command": {"type": "raw"},
    "start_command": {"type": "raw"},
    "status_command": {"type": "raw"},
    "command_timeout": {"type": "int", "default": 120},
    "keep": {"type": "int", "default": 3},
    "lock_timeout": {"type": "int", "default": 60},
    "fence": {
        "type": "dict",
        "options": {"token": {"type": "int", "required": True, "no_log": False}, "path": {"type": "path"}, "owner": {"type": "str", "default": ""}},
    },
    "max_members": {"type": "int", "default": 100000},
    "max_bytes": {"type": "int", "default": 4294967296},
}
# How options go together, as a validator of arguments takes it.
RULES: dict[str, Any] = {"required_if": [("state", "staged", ["sha256"])], "mutually_exclusive": [("artifact", "artifact_src")]}

LEAST = {"keep": 0, "command_timeout": 1, "lock_timeout": 0, "max_members": 1, "max_bytes": 1}

class ReleaseFailed(Exception):
    """The release is not in the wanted state. The message says why, and `facts` what is current now, as far as that can be seen."""

    def __init__(self, message: str, facts: dict[str, Any]) -> None:
        super().__init__(message)
        self.facts = facts


ERRORS = (ReleaseFailed,)
FAMILIES = (release.ReleaseError, activation.ActivationError, ServiceError, locking_fence.FenceError, VersionError, OSError)


class Work:
    """One call of the module: `before` as found, `after` as left or, in check mode, as it would be left."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        _require_least(params)
        self.root = release.require_root(params["root"])
        self.version = parse(params["version"]).text
        self.sha256 = None if params["sha256"] is None else release.require_sha256(params["sha256"])
        self.check_mode = check_mode
        self.params = params
        self.needs_artifact = False
        self.pruned: list[str] = []
        self.warnings: list[str] = []
        self.before = release.State(None, None, {})

    def do(self) -> dict[str, Any]:
        """Bring about the wanted state; return the result of the module."""
        verbs = {"staged": self._stage, "current": self._activate, "absent": self._remove, "withdrawn": self._withdraw}
        with self._alone():
            started = time.time()
            self.before = release.observe(self.root)
            expected, changed = verbs[self.params["state"]]()
            after = expected if self.check_mode else release.observe(self.root)
            finished = time.time()
        return {
            "changed": changed,
            "diff": {
                "before_header": self.root,
                "after_header": self.root,
                "before": self.before.as_dict(),
                "after": after.as_dict(),
            },
            "release": after.current,
            "release_before": self.before.current,
            "previous": after.previous,
            "available": after.as_dict()["available"],
            "needs_artifact": self.needs_artifact,
            "pruned": self.pruned,
            "started_at": started,
            "finished_at": finished,
            "seconds": finished - started,
        }

    def facts(self) -> dict[str, Any]:
        """What is current after a failure, as far as that can be seen."""
        with contextlib.suppress(release.ReleaseError, OSError):
            now = release.observe(self.root)
            return {"release": now.current, "release_before": self.before.current, "previous": now.previous}
        return {}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """The only one at work below the root and, with a fence, one that was not taken over."""
        fence = {"path": None, "token": None, "owner": "", **(self.params["fence"] or {})}
        path = fence["path"] or os.path.join(self.root, ".fence")
        if fence["token"] is not None:
            locking_fence.require_newest(path, fence["token"])
        if self.check_mode or (self.params["state"] != "staged" and not os.path.isdir(self.root)):
            yield
            return
        if self.params["state"] == "staged":
            release.prepare(self.root)
        with locking_fence.fenced(path, fence["token"], fence["owner"], self.params["lock_timeout"], lock=os.path.join(self.root, ".lock")):
            yield

    def _stage(self) -> tuple[release.State, bool]:
        # Required with state=staged.
        sha256 = self.sha256 or ""
        if not release.needs_staging(self.before, self.version, sha256):
            return self.before, False
        if self.params["artifact_src"]:
            self.needs_artifact = True
            return self.before, False
        from ..module_utils._release.archive import Limits

        artifact, limits = self.params["artifact"], Limits(members=self.params["max_members"], size=self.params["max_bytes"])
        if self.check_mode:
            release.require_unmounted(self.root, self.version)
            # The private copy is as large as the artifact: where there is one, on the disk that has releases.
            releases = os.path.join(self.root, release.RELEASES)
            folder = releases if os.access(releases, os.W_OK | os.X_OK) else None
            with release.checked_artifact(artifact, self.version, sha256, limits, folder) as archive:
                marker = release.marker_of(archive, sha256, time.time())
        else:
            marker = release.stage(self.root, self.version, artifact, sha256, limits, time.time())
            self._tell(release.sweep(self.root))
        return self.before._replace(available={**self.before.available, self.version: marker}), True

    def _tell(self, sentences: list[str]) -> None:
        """Each once, however often it was met."""
        self.warnings += [sentence for sentence in sentences if sentence not in self.warnings]

    def _service(self) -> Service:
        commands = commands_for(*(self.params[name] for name in ("service", "stop_command", "start_command", "status_command")))
        return Service(commands, self.params["command_timeout"])

    def _withdraw(self) -> tuple[release.State, bool]:
        if self.before.current != self.version:
            return self.before, False
        if not self.check_mode:
            activation.withdraw(self.root, self._service())
        return self.before._replace(current=None), True

    def _activate(self) -> tuple[release.State, bool]:
        service = self._service()
        steps = activation.plan(self.before, service, self.version, self.sha256)
        if not self.check_mode:
            activation.carry_out(self.root, service, steps)
        previous = self.before.current if steps.switch and self.before.current else self.before.previous
        after = self.before._replace(current=self.version, previous=previous)
        after = self._prune(after)
        return after, steps.changes or bool(self.pruned)

    def _prune(self, state: release.State) -> release.State:
        """Old releases go only when the new one runs, and what cannot be removed does not fail the switch."""
        for version in release.superfluous(state, self.params["keep"]):
            self._prune_one(version)
        kept = {version: marker for version, marker in state.available.items() if version not in self.pruned}
        return state._replace(available=kept)

    def _prune_one(self, version: str) -> None:
        try:
            self._remove_or_dry_run(version)
            self.pruned.append(version)
        except (release.ReleaseError, OSError) as error:
            self.warnings.append(f"release {version} could not be removed from {self.root}: {error}")

    def _remove(self) -> tuple[release.State, bool]:
        release.require_removable(self.before, self.version)
        if self.version not in self.before.available:
            return self.before, False
        self._remove_or_dry_run(self.version)
        kept = {version: marker for version, marker in self.before.available.items() if version != self.version}
        previous = None if self.before.previous == self.version else self.before.previous
        return self.before._replace(available=kept, previous=previous), True

    def _remove_or_dry_run(self, version: str) -> None:
        """Remove a release; in check mode, only raise ReleaseError when that would be refused."""
        if self.check_mode:
            release.require_unmounted(self.root, version)
        else:
            self._tell(release.remove(self.root, version))


def _require_least(params: dict[str, Any]) -> None:
    for name, least in LEAST.items():
        if params[name] < least:
            raise release.ReleaseError(f"{name} is {params[name]}: it must be at least {least}")


def answer(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result, see RETURN, with its warnings. Raises one of ERRORS."""
    work = None
    try:
        work = Work(params, check_mode)
        return {**work.do(), "warnings": work.warnings}
    except FAMILIES as error:
        raise ReleaseFailed(str(error), work.facts() if work else {}) from error


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, **RULES)
    try:
        result = answer(module.params, module.check_mode)
    except ReleaseFailed as error:
        module.fail_json(msg=str(error), **error.facts)
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
