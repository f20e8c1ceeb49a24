# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options of the modules that have one server take over from another one behind poolers."""

    DOCUMENTATION = r"""
options:
  old_primary:
    description: The primary that is to be relieved.
    type: dict
    required: true
    suboptions: &server
      name:
        description: Its name, for messages.
        type: str
        required: true
      host:
        description: Its address, as seen from the host that the module runs on.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 5432
      pooler_host:
        description: What the poolers' files have as C(host) for it, where that is another word than O(old_primary.host).
        type: str
      pooler_port:
        description: What they have as C(port), where that is another one.
        type: int
  new_primary:
    description: Its standby, which takes over.
    type: dict
    required: true
    suboptions: *server
  login_user:
    description: Role to log in as, on both servers.
    type: str
    default: postgres
  login_password:
    description: Its password. Without it, libpq's defaults apply, such as V(~/.pgpass).
    type: str
  login_db:
    description: A database for the sessions.
    type: str
    default: postgres
  ssl_mode:
    description: How the sessions are encrypted and the servers verified, as in libpq's C(sslmode).
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description: File with the CA certificates that verify the server.
    type: path
  pause_timeout:
    description: Seconds that the poolers may take to come to rest.
    type: float
    default: 5
  window_timeout:
    description: Seconds from the beginning of the pause within which all has to be done. Clients are held no longer.
    type: float
    default: 15
  companion_timeout:
    description: Seconds to wait for the processes on the other hosts to join.
    type: float
    default: 60
    version_added: 0.3.0
"""
