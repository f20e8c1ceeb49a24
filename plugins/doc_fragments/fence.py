# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The option with which a module refuses to work for a run that was taken over."""

    DOCUMENTATION = r"""
options:
  fence:
    description:
      - Refuses a run whose lock was taken over, before it changes anything. A token is refused when a larger one was used on this host.
      - The module waits for tasks of a run with an older token. Tasks with the same token run at the same time.
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
          - Absolute path of the file that keeps the token on this host. One file per service, because each service counts its own tokens.
          - Its folder is created if it does not exist.
        type: path
        required: true
      owner:
        description: The owner of the token, for the error of a refused run.
        type: str
        default: ""
"""
