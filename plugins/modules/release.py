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
  - Keeps the releases of an application side by side below O(root). One of them is current.
  - A release is staged completely or not at all. Its archive is read to the end and validated before anything is written. It is then
    unpacked beside the other releases, flushed to disk, and moved into place by one rename.
  - To make a release current, the module stops the service, renames a symlink, and starts the service. Each step is verified before the next one begins.
  - When the start fails, the module fails, and does not return to the previous release. To return, run the module with the previous release.
attributes:
  check_mode:
    support: full
    description: Returns what would be changed. The artifact is validated as in a real run.
  diff_mode:
    support: full
    description: Returns the current, previous and available releases before and after.
options:
  root:
    description:
      - Absolute path of the folder that belongs to the application on this host.
      - The releases are in C(releases/<version>) below it. The symlinks C(current) and C(previous) point to two of them.
      - O(state=staged) creates the folder if it does not exist.
    type: path
    required: true
  version:
    description:
      - Version of the release. It has one to four numbers that are separated by dots, and optionally a pre-release and build metadata.
      - A name whose meaning changes, such as V(latest), is refused.
    type: str
    required: true
  state:
    description:
      - V(staged) unpacks the release on the host, so that it can become current.
      - V(current) makes the release the running one. It must be staged before.
      - V(absent) removes the release. The current release is never removed.
      - V(withdrawn) stops the release. If it is current, the service is stopped, and the symlink C(current) is removed. The release
        stays on the host. Use it to undo a first installation, which has no previous release.
    type: str
    choices: [staged, current, absent, withdrawn]
    default: current
  artifact:
    description:
      - Path on the host of the release's archive, a C(.tar.gz) file with the release's files at its top level.
      - Required with O(state=staged) unless the release is staged already, or O(artifact_src) is given.
      - It is read once, into a private copy without a name in O(root). The same bytes are verified and unpacked, even when another process writes to the file.
      - An archive is refused if it has absolute names, names with C(..) or control characters, duplicate names, links that lead out of the archive, devices,
        sparse files, setuid, setgid or sticky bits, or damaged headers, if it exceeds O(max_members) or O(max_bytes), or if its validation takes too long for
        its size. All other names are kept byte by byte.
    type: path
  artifact_src:
    description:
      - Path of the archive on the controller. It is copied to the host if the release is not staged there, also in check mode, and removed afterwards.
      - A relative path is searched like the C(src) of M(ansible.builtin.copy).
    type: path
    version_added: 0.2.0
  sha256:
    description:
      - SHA-256 checksum of the artifact. Required with O(state=staged).
      - With O(state=current), the release must have been staged from an artifact with this checksum.
      - With O(state=staged), a staged release with another checksum is replaced, unless it is current.
    type: str
  service:
    description:
      - Name of the systemd unit that runs the application. It defines the defaults of O(stop_command), O(start_command) and
        O(status_command).
      - Without a unit and commands there is no service, and O(state=current) only switches the symlink.
    type: str
  stop_command:
    description:
      - Command and arguments that stop the service, as a list of words or as a text. A text is split like in a shell. The command is run without a shell.
    type: raw
  start_command:
    description:
      - Command and arguments that start the service, in the same form. It must return while the service keeps running.
    type: raw
  status_command:
    description:
      - Command and arguments that report whether the service runs, in the same form. Exit code 0 means that it runs, and 1 to 3 that it does not.
        Any other exit code is a failure.
    type: raw
  command_timeout:
    description:
      - The seconds within which each command must end, and within which the service must then be stopped or running.
    type: int
    default: 120
  keep:
    description:
      - Number of releases to keep after O(state=current), including the current and the previous one. Older releases are removed.
      - V(0) keeps all. Folders that this module did not stage are never removed.
      - A release in which something is mounted is not removed, also with O(state=absent), and a warning names the mount. For files that this account may not
        remove, a warning has the path. Such files do not affect other releases.
    type: int
    default: 3
  lock_timeout:
    description: The seconds to wait for another run that changes the same O(root), or that has an older token.
    type: int
    default: 60
  fence:
    description:
      - Refuses a run whose lock was taken over, before it changes O(root). A token is refused when a larger one was used on this host.
      - In check mode, the token is compared and not written.
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
          - Its folder is created if it does not exist.
        type: path
      owner:
        description: The owner of the token, for the error of a refused run.
        type: str
        default: ""
  max_members:
    description: The highest number of members of the archive.
    type: int
    default: 100000
  max_bytes:
    description: The highest size of the unpacked archive, in bytes.
    type: int
    default: 4294967296
seealso:
  - module: alwayson.upgrade.fleet_lock
  - module: alwayson.upgrade.release_info
  - module: alwayson.upgrade.smoke_test
notes:
  - The files belong to the user that runs the module, are writable for their owner only, and have no special mode bits.
"""

EXAMPLES = r"""
- name: Stage the release while the current one runs
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    artifact_src: "{{ playbook_dir }}/shop-2.0.0.tar.gz"
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    state: staged

- name: Stage it from an archive on the host
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

- name: Return to the previous release
  alwayson.upgrade.release:
    root: /srv/shop
    version: "{{ switch_to_new.release_before }}"
    service: shop
    state: current

- name: Switch an application that has its own supervisor
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    stop_command: [/usr/local/bin/shopctl, stop]
    start_command: [/usr/local/bin/shopctl, start]
    status_command: [/usr/local/bin/shopctl, status]
    command_timeout: 30

- name: Switch, unless the lock of this run was taken over
  alwayson.upgrade.release:
    root: /srv/shop
    version: 2.0.0
    service: shop
    fence:
      token: "{{ fleet_lock.lock.token }}"
      owner: "{{ fleet_lock.lock.owner }}"

- name: Undo a first installation that does not work
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
  description: The current release, V(null) when there is none.
  returned: always
  type: str
  sample: 2.0.0
release_before:
  description: The release that was current before the module ran.
  returned: always
  type: str
  sample: 1.0.0
previous:
  description: The release that C(previous) points to.
  returned: always
  type: str
  sample: 1.0.0
available:
  description: The releases on the host, each with the SHA-256 of its artifact, the time at which it was staged (epoch seconds), and its number of files and
    bytes.
  returned: success
  type: dict
  sample:
    2.0.0:
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      staged: 1798761600.0
      files: 12
      size: 48211
needs_artifact:
  description: Whether the archive must still be copied from O(artifact_src). Always V(false) in the result of a task.
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
  description: The time at which the module had the lock and began its work. Epoch seconds.
  returned: success
  type: float
  sample: 1798761600.0
finished_at:
  description: The time at which the work was done and verified. Epoch seconds.
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
from collections.abc import Iterator
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule, FailedWithFacts
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


class ReleaseFailed(FailedWithFacts):
    """The release is not in the wanted state. The message says why, and `facts` what is current now, as far as that can be seen."""


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
