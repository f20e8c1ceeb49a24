#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: package_updates_info
short_description: Return a host's pending package updates, and whether it needs a reboot
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Returns the updates that the package manager would install, which of them are security updates, and which are held back.
  - Returns the services that still use files that an earlier update replaced, the packages that request a reboot, and the boot identifier.
  - Needs root for O(refresh), for the locks, and to see the services of other accounts. Set C(become).
options:
  refresh:
    description: Whether to update the indexes of the repositories first.
    type: bool
    default: true
extends_documentation_fragment:
  - alwayson.upgrade.read_only
  - alwayson.upgrade.package_updates
seealso:
  - module: alwayson.upgrade.package_updates
"""

EXAMPLES = r"""
- name: Read the pending updates
  alwayson.upgrade.package_updates_info:
    security_only: true
  become: true
  register: waiting

- name: Show it
  ansible.builtin.debug:
    msg: "{{ waiting.updates | map(attribute='name') | join(', ') }}; reboot: {{ waiting.reboot_for | join(', ') }}"
"""

RETURN = r"""
manager:
  description: The package manager that was used.
  returned: success
  type: str
  sample: apt
updates:
  description:
    - The updates that M(alwayson.upgrade.package_updates) would install with the same options, sorted by name.
    - Each has C(name), C(installed), C(candidate), C(security), C(source) and C(held). C(installed) is V(null) for a new package that an update depends on.
  returned: success
  type: list
  elements: dict
  sample:
    - name: libssl3
      installed: 3.0.15-1~deb12u1
      candidate: 3.0.17-1~deb12u2
      security: true
      source: Debian-Security:12/stable-security
      held: false
left:
  description: The names of the updates that O(security_only), O(exclude) or a hold of the administrator excludes, and of the updates that depend on them.
  returned: success
  type: list
  elements: str
  sample: [linux-image-amd64]
unfinished:
  description: The packages that an interrupted installation left unpacked or half configured.
  returned: success
  type: list
  elements: str
  sample: []
reboot_for:
  description: The packages that request a reboot. Empty when none does.
  returned: success
  type: list
  elements: str
  sample: []
outdated_services:
  description: The services that still use replaced files.
  returned: success
  type: list
  elements: str
  sample: [ssh.service]
boot:
  description: The boot identifier, which changes at every boot.
  returned: success
  type: str
  sample: 9e8b27e6-64cb-4e5f-8a29-0e9b2f3c1d11 12
held_by:
  description: The owner of the hold of unattended updates, see M(alwayson.upgrade.package_updates). V(null) when they are not held.
  returned: success
  type: str
  sample: null
"""

from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._packages.manager import PackageError, wait_for_locks
from ..module_utils._packages.managers import ARGUMENTS, manager_of
from ..module_utils._packages.reboot import boot_of, outdated_services


def look(params: dict[str, Any]) -> dict[str, Any]:
    """What the module returns."""
    manager = manager_of(params["manager"])
    if params["refresh"]:
        wait_for_locks(manager.locks, params["lock_timeout"])
        manager.refresh()
    selection = manager.select(params["security_only"], params["exclude"])
    return {
        "manager": manager.name,
        "updates": [update.as_dict() for update in selection.updates],
        "left": [update.name for update in selection.left],
        "unfinished": manager.unfinished(),
        "reboot_for": manager.reboot_reasons(),
        "outdated_services": outdated_services(),
        "boot": boot_of(),
        "held_by": manager.held_by(),
    }


def main() -> None:
    module = AnsibleModule(argument_spec={**ARGUMENTS, "refresh": {"type": "bool", "default": True}}, supports_check_mode=True)
    try:
        result = look(module.params)
    except (PackageError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
