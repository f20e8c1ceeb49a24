# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options with which a module reaches databases of any kind."""

    DOCUMENTATION = r"""
options:
  engine:
    description:
      - The database engine. V(mariadb) is MariaDB 10.6 or newer.
      - V(sqlite) has no server, so the login options are not used. Run the module as an account that may read and write the files.
    type: str
    choices: [postgresql, mariadb, sqlite]
    default: postgresql
    version_added: 0.3.0
  login_host:
    description:
      - Name or address of the server, as seen from the host that the module runs on.
      - Without it, and without O(login_unix_socket), the driver's default is used, which usually is the local socket.
    type: str
  login_port:
    description: Port of the server. By default 5432, or 3306 with O(engine=mariadb).
    type: int
  login_unix_socket:
    description: Folder of the server's Unix socket, or with O(engine=mariadb) the path of the socket.
    type: path
  login_user:
    description: Role to log in as. By default V(postgres), or V(root) with O(engine=mariadb).
    type: str
  login_password:
    description:
      - Password of O(login_user).
      - Programs get it through their environment, never on their command line. Without it, libpq's defaults apply with PostgreSQL, such as
        V(~/.pgpass).
    type: str
  login_db:
    description: The database of the sessions that read server-wide catalogs (PostgreSQL).
    type: str
    default: postgres
  ssl_mode:
    description: How the session is encrypted and the server verified, as in libpq's C(sslmode).
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description: File with the CA certificates that verify the server, for O(ssl_mode=verify-ca) and O(ssl_mode=verify-full).
    type: path
requirements:
  - psycopg (version 3) or psycopg2 on the host that the module runs on, for PostgreSQL
  - PyMySQL on that host, for MariaDB
notes:
  - PostgreSQL 13 or newer. Connect to the server itself. A pooler in transaction mode would share the session's locks and snapshots with other clients.
"""
