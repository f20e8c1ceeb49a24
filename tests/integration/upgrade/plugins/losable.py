# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: losable
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.1.0
short_description: The local connection, which is lost while a file with the host's name exists
description:
  - For tests. A host is unreachable while its name is a file in the folder that the environment variable C(LOSABLE_DIRECTORY) names.
extends_documentation_fragment:
  - connection_pipelining
"""

import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as LocalConnection


class Connection(LocalConnection):
    """A local connection that a test can cut."""

    transport = "losable"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        host = self._play_context.remote_addr
        if os.path.exists(os.path.join(os.environ["LOSABLE_DIRECTORY"], str(host))):
            raise AnsibleConnectionFailure(f"{host} does not answer")
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
