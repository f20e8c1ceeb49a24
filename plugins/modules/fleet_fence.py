#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_fence
short_description: Stop a run whose lock was taken over on a host, and wait for its tasks there
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - After M(alwayson.upgrade.fleet_lock) took over the lock of a run whose controller has died, a task of that run may still run on a host. This module
    writes the newer token to the fence, so that no further task of that run begins on this host, and waits until its running tasks have ended.
  - After that, the earlier run cannot change the host.
extends_documentation_fragment:
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Compares the token. It does not write the token, and does not wait.
  diff_mode:
    support: none
    description: The module writes only a token, so there is no text to compare.
options:
  fence:
    required: true
  lock:
    description: A file that tasks lock while they change this host, such as C(.lock) in the root of M(alwayson.upgrade.release). The module also waits for
      this lock.
    type: path
  timeout:
    description: The seconds to wait for tasks of the earlier run.
    type: float
    default: 300
seealso:
  - module: alwayson.upgrade.fleet_lock
"""

EXAMPLES = r"""
- name: Wait until the interrupted run has finished switching the release
  alwayson.upgrade.fleet_fence:
    fence:
      token: 5
      owner: anna on ctl1
      path: /srv/shop/.fence
    lock: /srv/shop/.lock
"""

RETURN = r"""
waited:
  description: The seconds for which the module waited.
  returned: success
  type: float
  sample: 0.004
"""

import os
import time
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._locking import fence as locking_fence


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "fence": {**locking_fence.ARGUMENTS["fence"], "required": True},
            "lock": {"type": "path"},
            "timeout": {"type": "float", "default": 300},
        },
        supports_check_mode=True,
    )
    began = time.monotonic()
    try:
        _wait(module.params["fence"], module.params["lock"], module.params["timeout"], module.check_mode)
    except locking_fence.FenceError as error:
        module.fail_json(msg=str(error))
    # The token is no change that a user would look for, and the run before may have been at an end.
    module.exit_json(changed=False, waited=round(time.monotonic() - began, 3))


def _wait(fence: dict[str, Any], lock: str | None, timeout: float, check_mode: bool) -> None:
    if check_mode or lock is None or not os.path.isdir(os.path.dirname(lock)):
        with locking_fence.admitted(fence, check_mode, timeout):
            return
    with locking_fence.fenced(fence["path"], fence["token"], fence["owner"], timeout, lock):
        return


if __name__ == "__main__":
    main()
