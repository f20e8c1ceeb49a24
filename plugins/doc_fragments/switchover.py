# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options of the modules that have one server take over from another one behind poolers."""

    DOCUMENTATION = r"""
options:
  old_primary:
    description: The current primary, or the dead one.
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
        description: The C(host) of this server in the poolers' files, if it differs from O(old_primary.host).
        type: str
      pooler_port:
        description: The C(port) of this server in the poolers' files, if it differs from O(old_primary.port).
        type: int
  new_primary:
    description: The standby that becomes the primary.
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
    description: The database to connect to.
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
    description: The seconds within which all poolers must be paused.
    type: float
    default: 5
  window_timeout:
    description: The longest time for which clients are paused, in seconds. The switchover must end within it.
    type: float
    default: 15
  agent_timeout:
    description: How long to wait for the agents on the other hosts to join, in seconds.
    type: float
    aliases: [companion_timeout]
    default: 60
    version_added: 0.3.0
"""
