#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: package_updates
short_description: Install a host's package updates, and hold unattended updates
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Installs the pending updates that O(security_only) and O(exclude) select, each in the version that was found, and their dependencies.
    No package is removed, and configuration files that the administrator changed are kept.
  - Packages on hold and excluded packages are not updated. An update that needs a newer version of one of them is not installed either.
  - Waits for the locks of another package manager for O(lock_timeout) seconds, and then fails and names the process that holds them.
  - Finds the services that still use replaced files, restarts them, and returns whether a package requests a reboot. It does not reboot.
  - Packages that an interrupted installation left half configured are configured first.
  - Needs root. Set C(become).
attributes:
  check_mode:
    support: full
    description: Returns what would be installed. The indexes of the repositories are not refreshed.
  diff_mode:
    support: full
    description: Returns each package's version before and after.
options:
  state:
    description:
      - V(installed) installs the selected updates.
      - V(held) stops the host from installing updates by itself (C(unattended-upgrades), C(dnf-automatic)). V(released) allows it again.
    type: str
    choices: [installed, held, released]
    default: installed
  owner:
    description: The owner of a hold of unattended updates. With O(state=released), only a hold of this owner is ended. Without an owner, any hold is ended.
    type: str
  refresh:
    description: Whether to update the indexes of the repositories first.
    type: bool
    default: true
  restart_services:
    description: Whether to restart the services that use replaced files.
    type: bool
    default: true
  keep_running:
    description: Shell patterns of services that are never restarted, because the host or this session depends on them. They are returned as outdated.
    type: list
    elements: str
    default: [dbus*.service, systemd-logind.service, systemd-journald.service, getty@*.service, NetworkManager.service]
extends_documentation_fragment:
  - alwayson.upgrade.package_updates
  - alwayson.upgrade.fence
seealso:
  - module: alwayson.upgrade.package_updates_info
  - module: ansible.builtin.reboot
"""

EXAMPLES = r"""
- name: Hold unattended updates on this host
  alwayson.upgrade.package_updates:
    state: held
    owner: the upgrade of the shop
  become: true

- name: Install security updates except those of the kernel
  alwayson.upgrade.package_updates:
    security_only: true
    exclude: ["linux-image-*"]
  become: true
  register: patched

- name: Reboot when a package requests it
  ansible.builtin.reboot:
  become: true
  when: patched.reboot_for | length > 0

- name: Allow unattended updates again
  alwayson.upgrade.package_updates:
    state: released
  become: true
"""

RETURN = r"""
manager:
  description: The package manager that was used.
  returned: success
  type: str
  sample: apt
updates:
  description:
    - The installed updates, including dependencies, in the format of M(alwayson.upgrade.package_updates_info). They are read back from the package manager's
      database.
    - Also returned on a failure after the installation began.
  returned: success
  type: list
  elements: dict
  sample: []
left:
  description: The names of the pending updates that were not installed, see RV(alwayson.upgrade.package_updates_info#module:left).
  returned: success and O(state=installed)
  type: list
  elements: str
  sample: [linux-image-amd64]
configured:
  description: The packages that an interrupted installation left half configured, and that were configured.
  returned: success and O(state=installed)
  type: list
  elements: str
  sample: []
reboot_for:
  description:
    - The packages that request a reboot. Empty when none does, and with O(state=released). V(unknown) when a reboot is needed and no package is named as the
      reason.
    - The module fails before anything is changed when the host cannot report this. With C(dnf), this needs C(dnf-plugins-core).
  returned: success
  type: list
  elements: str
  sample: [linux-image-6.1.0-28-amd64]
restarted:
  description: The services that were restarted.
  returned: success
  type: list
  elements: str
  sample: [ssh.service]
outdated_services:
  description: The services that still use replaced files.
  returned: success
  type: list
  elements: str
  sample: [dbus.service]
boot:
  description: The boot identifier, which changes at every boot.
  returned: success
  type: str
  sample: 9e8b27e6-64cb-4e5f-8a29-0e9b2f3c1d11 12
held_by:
  description: The owner of the hold of unattended updates. V(null) when they are not held.
  returned: success
  type: str
  sample: the upgrade of the shop
started_at:
  description: The time at which the module began, in epoch seconds.
  returned: success
  type: float
  sample: 1798761600.1
finished_at:
  description: The time at which it ended, in epoch seconds.
  returned: success
  type: float
  sample: 1798761612.4
waited:
  description: The seconds for which the module waited for another package manager.
  returned: success
  type: float
  sample: 0.0
"""

import time
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._locking.fence import ARGUMENTS as FENCE_ARGUMENTS, FenceError, admitted
from ..module_utils._packages import reboot
from ..module_utils._packages.manager import PackageError, Selection, Update, brought, missing, wait_for_locks
from ..module_utils._packages.managers import ARGUMENTS, manager_of

KEEP_RUNNING = ["dbus*.service", "systemd-logind.service", "systemd-journald.service", "getty@*.service", "NetworkManager.service"]


class Work:
    """One call of the module."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        self.manager = manager_of(params["manager"])
        self.installed: list[Update] = []

    def do(self) -> dict[str, Any]:
        """Do what the state asks for; returns the module's result."""
        started = time.time()
        with admitted(self.params["fence"], self.check_mode, self.params["lock_timeout"]):
            # A host that cannot report whether it needs a reboot is refused before anything is held or installed. A hold is ended in any case.
            ends_hold = self.params["state"] == "released"
            reboot_for = [] if ends_hold else self.manager.reboot_reasons()
            changed, more = getattr(self, f"_{self.params['state']}")()
            reboot_for = reboot_for if ends_hold else self.manager.reboot_reasons()
        facts = {"updates": [], "restarted": [], "waited": 0.0, "reboot_for": reboot_for,
                 "outdated_services": reboot.outdated_services(), "boot": reboot.boot_of(), "held_by": self.manager.held_by()}
        return {"changed": changed, "manager": self.manager.name, "started_at": started, "finished_at": time.time(), **facts, **more}

    def _held(self) -> tuple[bool, dict[str, Any]]:
        owner = self.params["owner"]
        changed = self.manager.held_by() != owner
        if changed and not self.check_mode:
            self.manager.hold(owner)
        return changed, {"held_by": owner}

    def _released(self) -> tuple[bool, dict[str, Any]]:
        holder, owner = self.manager.held_by(), self.params["owner"]
        if holder is None or (owner is not None and holder != owner):
            return False, {}
        if not self.check_mode:
            self.manager.release()
        return True, {"held_by": None}

    def _installed(self) -> tuple[bool, dict[str, Any]]:
        waited = 0.0
        if not self.check_mode:
            waited = wait_for_locks(self.manager.locks, self.params["lock_timeout"])
            if self.params["refresh"]:
                self.manager.refresh()
        unfinished = self.manager.unfinished()
        if unfinished and not self.check_mode:
            # What an interrupted run left half configured stands in the way of everything else.
            self.manager.finish()
        selection = self.manager.select(self.params["security_only"], self.params["exclude"])
        updates, restarted = list(selection.updates), []
        if not self.check_mode:
            if updates:
                updates = self._install(selection)
            restarted = self._restart_services()
        return bool(unfinished or updates or restarted), {
            "updates": [update.as_dict() for update in updates], "left": [update.name for update in selection.left],
            "configured": unfinished, "restarted": restarted, "waited": waited,
            "diff": {"before": "".join(f"{update.name} {update.installed}\n" for update in updates if update.installed is not None),
                     "after": "".join(f"{update.name} {update.candidate}\n" for update in updates)},
        }

    def _install(self, selection: Selection) -> list[Update]:
        """Returns what was really installed. The package manager's exit status is not taken for it."""
        before = self.manager.versions()
        try:
            self.manager.install(selection)
        finally:
            after = self.manager.versions()
            self.installed = brought(before, after, selection)
        if absent := missing(after, selection):
            raise PackageError(f"{', '.join(update.name for update in absent)} are still pending after {self.manager.name} reported success")
        return self.installed

    def _restart_services(self) -> list[str]:
        if not self.params["restart_services"]:
            return []
        restarted, failed = reboot.restart(reboot.outdated_services(), self.params["keep_running"])
        if failed:
            raise PackageError(f"{', '.join(failed)} did not start again after the update: see systemctl status {failed[0]}")
        return restarted


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "state": {"type": "str", "default": "installed", "choices": ["installed", "held", "released"]},
            "owner": {"type": "str"},
            "refresh": {"type": "bool", "default": True},
            "restart_services": {"type": "bool", "default": True},
            "keep_running": {"type": "list", "elements": "str", "default": KEEP_RUNNING},
            **FENCE_ARGUMENTS,
        },
        required_if=[("state", "held", ["owner"])],
        supports_check_mode=True,
    )
    work = None
    try:
        work = Work(module.params, module.check_mode)
        result = work.do()
    except (PackageError, FenceError, OSError) as error:
        module.fail_json(msg=str(error), updates=[update.as_dict() for update in work.installed] if work else [])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
