#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Return the releases of an application on a host, and which one is current
version_added: 0.1.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Reads the layout that M(alwayson.upgrade.release) keeps below O(root).
  - A host on which no release was staged has no current release and no available releases. This is not a failure.
extends_documentation_fragment:
  - alwayson.upgrade.read_only
options:
  root:
    description: Absolute path of the folder that belongs to the application on this host.
    type: path
    required: true
seealso:
  - module: alwayson.upgrade.release
"""

EXAMPLES = r"""
- name: Read what runs here
  alwayson.upgrade.release_info:
    root: /srv/shop
  register: shop_release

- name: Show it
  ansible.builtin.debug:
    msg: "{{ shop_release.current }} runs, {{ shop_release.available | length }} releases are staged"
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
  sample: 2.0.0
previous:
  description: The previous release, V(null) when there is none.
  returned: success
  type: str
  sample: 1.0.0
available:
  description:
    - The releases on the host. Each has the SHA-256 of its artifact, the time at which it was staged (epoch seconds), and its number of files and bytes.
    - All of these are V(null) for a release that M(alwayson.upgrade.release) did not stage.
  returned: success
  type: dict
  sample:
    2.0.0:
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      staged: 1798761600.0
      files: 12
      size: 48211
last_upgrade_seconds:
  description: The duration of the last upgrade of this host, which the playbooks write to C(.last_upgrade.json). V(null) without that file.
  returned: success
  type: float
  sample: 4.2
"""

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._release import releases
from ..module_utils._release.last_upgrade import read_seconds


def main() -> None:
    module = AnsibleModule(argument_spec={"root": {"type": "path", "required": True}}, supports_check_mode=True)
    try:
        root = releases.require_root(module.params["root"])
        state = releases.observe(root)
    except (releases.ReleaseError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, root=root, last_upgrade_seconds=read_seconds(root), **state.as_dict())


if __name__ == "__main__":
    main()
