#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_pooler
short_description: Have a PgBouncer on another host take part in a switchover
version_added: 0.3.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Runs on the host of a PgBouncer at the same time as M(alwayson.upgrade.database_switchover) on another host, which names the pooler in C(pooler_agents).
    That module is the coordinator, and this one is the agent of one pooler. The agent signals on O(new_primary) that it is ready, pauses the pooler when the
    coordinator requests it, and redirects the pooler to O(new_primary) as soon as that server takes writes.
  - When the agent or the coordinator fails or is killed, a second process of the agent redirects the pooler to the server that takes writes, and resumes it.
  - A pooler whose host was down during a switchover still sends to the old primary. When the old primary takes no writes, the module redirects such a pooler
    without a coordinator.
  - Nothing is changed when the pooler already sends to the new primary.
extends_documentation_fragment:
  - alwayson.upgrade.switchover
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Checks the new primary and the pooler's file, does not wait, and changes nothing.
  diff_mode:
    support: none
    description: The module changes the roles of servers, so there is no text to compare.
options:
  state:
    description: The O(state) of the coordinator.
    type: str
    choices: [switched, failed_over]
    default: switched
  pooler:
    description: The PgBouncer.
    type: dict
    required: true
    suboptions:
      name:
        description: Its name, as in C(pooler_agents) of the coordinator.
        type: str
        required: true
      host:
        description: Its address, as seen from its own host, or the folder of its Unix socket. Several processes on one port each need a socket.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 6432
      user:
        description: One of its C(admin_users).
        type: str
        default: pgbouncer
      password:
        description: The password of O(pooler.user).
        type: str
      ssl_mode:
        description: How the session with its console is encrypted and the pooler verified, as in libpq's C(sslmode).
        type: str
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
        default: prefer
      ca_cert:
        description: File with the CA certificates that verify the pooler, for V(verify-ca) and V(verify-full).
        type: path
        version_added: 0.3.0
      file:
        description: The file that has its section C([databases]), or that this section includes, on its host.
        type: path
        required: true
requirements:
  - psycopg (version 3) or psycopg2 on the host that the module runs on
notes:
  - Start it in the background (C(async), C(poll=0)) on each host of a pooler, then run M(alwayson.upgrade.database_switchover), and then read the results with
    M(ansible.builtin.async_status). This works with any number of forks. C(playbooks/tasks/switch_database.yml) is an example.
  - It needs the same O(login_user) and O(login_db) as the coordinator. With O(state=switched) it also needs the right to execute C(pg_reload_conf), and to set
    C(default_transaction_read_only) by C(ALTER SYSTEM), in case the coordinator's host is lost.
seealso:
  - module: alwayson.upgrade.database_switchover
"""

EXAMPLES = r"""
- name: Have pooler2 take part
  alwayson.upgrade.database_pooler:
    old_primary:
      name: db1
      host: 10.0.0.51
    new_primary:
      name: db2
      host: 10.0.0.52
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    pooler:
      name: pooler2
      host: 127.0.0.1
      user: upgrade
      password: "{{ vault_upgrade_password }}"
      file: /etc/pgbouncer/databases.ini
  become: true
  become_user: postgres
  delegate_to: pooler2
  async: 300
  poll: 0
  register: pooler_agent

- name: Have db2 take over from db1
  alwayson.upgrade.database_switchover:
    old_primary:
      name: db1
      host: 10.0.0.51
    new_primary:
      name: db2
      host: 10.0.0.52
    login_user: upgrade
    login_password: "{{ vault_upgrade_password }}"
    poolers:
      - name: pooler1
        host: 127.0.0.1
        user: upgrade
        password: "{{ vault_upgrade_password }}"
        file: /etc/pgbouncer/databases.ini
    pooler_agents: [pooler2]
  become: true
  become_user: postgres
  delegate_to: pooler1

- name: Read the result of pooler2
  ansible.builtin.async_status:
    jid: "{{ pooler_agent.ansible_job_id }}"
  become: true
  become_user: postgres
  delegate_to: pooler2
  register: done
  until: done.finished
  retries: 60
  delay: 1
"""

RETURN = r"""
primary:
  description: The server that takes the writes of the pooler's clients. In check mode, the server that would take them.
  returned: success
  type: str
  sample: db2
steps:
  description: Milliseconds from the beginning of the pause to the end of each step. Empty when no client was paused.
  returned: success
  type: dict
  sample: {paused: 3.3, promoted: 46.3, resumed: 50.4}
"""

from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import unwind_when_ended
from ..module_utils._locking import fence
from ..module_utils._postgresql.pooler import pgbouncer
from ..module_utils._postgresql.pooler.agent import PoolerAgent
from ..module_utils._postgresql.pooler.pgbouncer import PoolerError
from ..module_utils._postgresql.session import PostgresqlError
from ..module_utils._postgresql.switchover import options as switchover_options
from ..module_utils._postgresql.switchover.window import Result, SwitchoverError

ARGUMENTS = {
    "state": {"type": "str", "choices": ["switched", "failed_over"], "default": "switched"},
    **switchover_options.ARGUMENTS,
    "pooler": {"type": "dict", "required": True, "options": pgbouncer.POOLER},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**fence.ARGUMENTS, **ARGUMENTS}, supports_check_mode=True)
    unwind_when_ended(SwitchoverError)
    try:
        with fence.admitted(module.params["fence"], module.check_mode):
            result = take_part(module.params, module.check_mode)
    except (SwitchoverError, PoolerError, PostgresqlError, fence.FenceError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=result.changed, primary=module.params["new_primary"]["name"], steps=result.steps)


def take_part(options: dict[str, Any], check_mode: bool) -> Result:
    """Take part in the switchover, or in check mode say whether it would."""
    old, new = switchover_options.nodes(options)
    agent = PoolerAgent(old, new, pgbouncer.of([options["pooler"]])[0], switchover_options.limits(options), options["agent_timeout"],
                        may_go_back=options["state"] == "switched")
    if not check_mode:
        return agent.apply()
    agent.result.changed = agent.dry_run()
    return agent.result


if __name__ == "__main__":
    main()
