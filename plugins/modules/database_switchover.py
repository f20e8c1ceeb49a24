#!/usr/bin/python
# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database_switchover
short_description: Switch over or fail over from a PostgreSQL primary to its standby while PgBouncer holds the clients
version_added: 0.2.0
author: The alwayson.upgrade maintainers (@alwayson)
description:
  - Pauses all poolers, makes the old primary read only, waits until the standby has replayed all acknowledged commits, promotes the standby, redirects the
    poolers to it, and resumes them. Clients wait for a moment and get no error.
  - When the module fails or is killed, or when a server stops answering, a second process redirects the poolers to the server that takes writes, and resumes
    them. So clients are never left paused.
  - A switchover is refused when the standby lags or does not stream, when a long transaction would delay the pause, or when something could write on the old
    primary although it is read only, such as a subscription or a prepared transaction. Logical replication slots and the rows of unlogged tables are lost. A
    warning names them, also in check mode.
  - After a crash, the standby is promoted and the poolers are redirected to it. The old primary must not be started as it was. If it runs at the end, or
    when the module is run again, it is made read only. See M(alwayson.upgrade.database_fence), the role database_guard and M(alwayson.upgrade.database_rejoin).
  - One run at a time changes the same servers and poolers. A second run is refused before it changes anything, and its error names the other run.
  - When another program manages the cluster (Patroni, repmgr, pg_auto_failover, Stolon, CloudNativePG), the module refuses, and the error names the command
    of that program. With O(patroni) or O(repmgr), the module uses that program.
  - Nothing is changed when the new primary already takes the writes of all clients.
extends_documentation_fragment:
  - alwayson.upgrade.switchover
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Checks everything that could prevent the change, and changes nothing.
  diff_mode:
    support: none
    description: The module changes the roles of servers, so there is no text to compare.
options:
  state:
    description:
      - V(switched) switches over from a running primary to its standby.
      - V(failed_over) fails over from a dead primary. The standby must be synchronous, or O(data_loss) must be V(accept). When O(new_primary) takes
        writes already, because it was restored from a backup or promoted by another program, the poolers are redirected to it. This also needs V(accept).
      - V(read_only) redirects the clients of a primary that is down, or is about to go down, to its standby. They can read there, and writes are refused
        (SQLSTATE 25006).
      - V(read_write) redirects these clients back to the primary.
    type: str
    choices: [switched, failed_over, read_only, read_write]
    default: switched
  data_loss:
    description:
      - Whether to promote a standby that may lack commits which the dead primary acknowledged. A standby lacks none if C(synchronous_standby_names) makes every
        commit wait for it. The module reads this setting from the standby, because it is usually the same on all servers.
      - Some commits may not wait for the standby when only some of the listed standbys are required, as in V(ANY 1 (db2, db3)), or when it is only matched by
        V(*).
      - The same applies when C(synchronous_commit) is not C(on) or C(remote_apply) for the server, a role or a database, and when the standby's
        C(application_name) is not set, because other servers may have the default name.
    type: str
    choices: [refuse, accept]
    default: refuse
  warm_log:
    description:
      - With O(state=failed_over), for an O(new_primary) that is not a streaming standby, but recovers from the WAL that C(pg_receivewal --synchronous) writes.
        Run the module on its host. Use this server when the primary and its standby are both dead.
      - The module ends the receiver, renames its last segment so that recovery finds it, and promotes the server when it has replayed the last record.
      - The server counts as synchronous if C(synchronous_standby_names) makes every commit wait for the receiver, such as V(FIRST 2 (db2, db3_log)).
    type: dict
    version_added: 0.3.0
    suboptions:
      directory:
        description: The folder that the receiver writes to, from which the server's C(restore_command) copies.
        type: path
        required: true
      name:
        description: The receiver's C(application_name), under which C(synchronous_standby_names) names it.
        type: str
        required: true
      bin_dir:
        description: Folder of C(pg_waldump), such as V(/usr/lib/postgresql/15/bin).
        type: path
        required: true
      stop_command:
        description:
          - The command that stops the receiver's service, as a list of words. Without it, the module ends the receiver by a signal, and fails when
            something starts it again.
        type: list
        elements: str
        default: []
  old_is_lost:
    description:
      - Whether you have made sure that the old primary does not run. Required when its host does not refuse connections. If both servers took writes, their
        data would diverge.
    type: bool
    default: false
  poolers:
    description:
      - All PgBouncers that send to these servers and whose files are on this host. Name those on other hosts in O(pooler_agents).
      - A pooler that is not listed keeps sending to the old primary, which takes no more writes.
      - The module checks each pooler before it pauses clients, and refuses a pooler that could not be redirected. Right before the standby is promoted, each
        pooler must report that it will send to it.
      - A pooler that does not run is refused, except after a crash and with O(state=read_only). In these cases only its file is changed, for its next start.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name, for messages.
        type: str
        required: true
      host:
        description: Its address, or the folder of its Unix socket. When several processes share one port (C(so_reuseport)), give one element and one socket
          for each.
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
        description: The password of O(poolers.user).
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
        description: The file that has its section C([databases]), or that this section includes, on the host that the module runs on.
        type: path
        required: true
  pooler_agents:
    description:
      - The names of the poolers on other hosts. On each of these hosts, M(alwayson.upgrade.database_pooler) runs at the same time as the agent of one pooler.
      - The switchover begins when all agents have joined. The standby is promoted only when all poolers have paused their clients.
      - Not supported with O(state=read_only) and O(state=read_write), in which poolers do not wait for each other. Run this module on each pooler's host
        instead.
    type: list
    aliases: [companions]
    elements: str
    default: []
    version_added: 0.3.0
  patroni:
    description:
      - The REST API of Patroni, if it manages the cluster. With O(state=switched), Patroni exchanges the roles while the poolers have paused the clients.
      - O(old_primary.name) and O(new_primary.name) must be the names of Patroni's members. The module refuses when Patroni is paused or the candidate is
        unhealthy.
      - Patroni makes the old primary a standby. Other states, and O(pooler_agents), are not supported with Patroni.
    type: dict
    version_added: 0.3.0
    suboptions:
      url:
        description: The API of any of its members, such as V(https://10.0.0.51:8008).
        type: str
        required: true
      user:
        description: A user that may request a switchover, see C(restapi.authentication) of its configuration.
        type: str
      password:
        description: The password of O(patroni.user).
        type: str
      validate_certs:
        description: Whether the API's certificate has to be valid.
        type: bool
        default: true
  repmgr:
    description:
      - How repmgr is run on the host of O(new_primary), if it manages the cluster. O(old_primary.name) and O(new_primary.name) must be the names of its nodes.
      - With O(state=switched), repmgr exchanges the roles (C(repmgr standby switchover --siblings-follow)) while the poolers have paused the clients, and
        makes the old primary a standby. The module first runs the same command with C(--dry-run).
      - With O(state=failed_over), repmgr promotes the standby (C(repmgr standby promote --siblings-follow)). The module refuses when C(repmgrd) runs there
        and is not paused.
      - O(warm_log), and O(pooler_agents) with O(state=switched), are not supported with repmgr.
    type: dict
    version_added: 0.3.0
    suboptions:
      command:
        description:
          - The command that runs repmgr, as a list of words, such as V([ssh, -o, BatchMode=yes, postgres@10.0.0.52, repmgr, -f, /etc/repmgr.conf]).
          - The module checks its exit status and the state of the servers.
        type: list
        elements: str
        required: true
  max_lag_bytes:
    description: The highest replay lag of the standby at the beginning, in bytes.
    type: int
    default: 10000000
  max_transaction_seconds:
    description: The highest age of a transaction at the beginning, in seconds.
    type: float
    default: 15
requirements:
  - psycopg (version 3) or psycopg2 on the host that the module runs on
notes:
  - Run it on the host that has the files of O(poolers). One process does all steps, with one agent for each of O(pooler_agents), because a task
    for each step would take longer than the whole pause.
  - The role needs C(pg_monitor), C(pg_signal_backend) and C(pg_checkpoint), the right to execute C(pg_promote) and C(pg_reload_conf), and C(ALTER SYSTEM)
    on the parameters C(default_transaction_read_only) and C(synchronous_standby_names) (PostgreSQL 15 or newer, before that a superuser).
  - The old primary keeps running and takes no writes. Make it a standby of the new one with M(alwayson.upgrade.database_rejoin).
  - Set C(wal_retrieve_retry_interval=100ms) on both servers. With the default, a promotion sometimes takes up to 5 seconds.
  - PgBouncer needs C(server_fast_close=1) for clients with C(pool_mode=session). Their sessions are ended, and the clients must connect again.
seealso:
  - module: alwayson.upgrade.database_fence
  - module: alwayson.upgrade.database_pooler
  - module: alwayson.upgrade.database_info
  - module: alwayson.upgrade.database_rejoin
"""

EXAMPLES = r"""
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
  become: true
  become_user: postgres
  delegate_to: pooler1

- name: Have db2 take over from db1, which has died
  alwayson.upgrade.database_switchover:
    state: failed_over
    old_primary:
      name: db1
      host: 10.0.0.51
    new_primary:
      name: db2
      host: 10.0.0.52
    login_user: upgrade
    poolers:
      - name: pooler1
        host: 127.0.0.1
        user: upgrade
        file: /etc/pgbouncer/databases.ini
  become: true
  become_user: postgres
  delegate_to: pooler1

- name: Have node2 take over from node1, which Patroni runs
  alwayson.upgrade.database_switchover:
    old_primary:
      name: node1
      host: 10.0.0.51
    new_primary:
      name: node2
      host: 10.0.0.52
    login_user: upgrade
    patroni:
      url: https://10.0.0.51:8008
      user: patroni
      password: "{{ vault_patroni_password }}"
    poolers:
      - name: pooler1
        host: 127.0.0.1
        user: upgrade
        file: /etc/pgbouncer/databases.ini
  become: true
  become_user: postgres
  delegate_to: pooler1

- name: Have db2 take over from db1, which repmgr runs
  alwayson.upgrade.database_switchover:
    old_primary:
      name: db1
      host: 10.0.0.51
    new_primary:
      name: db2
      host: 10.0.0.52
    login_user: upgrade
    repmgr:
      command: [ssh, -o, BatchMode=yes, postgres@10.0.0.52, repmgr, -f, /etc/repmgr.conf]
    window_timeout: 30
    poolers:
      - name: pooler1
        host: 127.0.0.1
        user: upgrade
        file: /etc/pgbouncer/databases.ini
  become: true
  become_user: postgres
  delegate_to: pooler1

- name: Have db3 take over from db1 and db2, which have both died, with the log that it has received
  alwayson.upgrade.database_switchover:
    state: failed_over
    old_primary:
      name: db1
      host: 10.0.0.51
    new_primary:
      name: db3
      host: 10.0.0.53
    warm_log:
      directory: /var/lib/postgresql/received
      name: db3_log
      bin_dir: /usr/lib/postgresql/15/bin
      stop_command: [systemctl, stop, pg_receivewal]
    login_user: upgrade
    poolers:
      - name: pooler1
        host: 127.0.0.1
        user: upgrade
        file: /etc/pgbouncer/databases.ini
  become: true
  delegate_to: db3
"""

RETURN = r"""
primary:
  description: The server that takes the writes of the poolers' clients. In check mode, the server that would take them. V(null) with O(state=read_only).
  returned: success
  type: str
  sample: db2
steps:
  description: Milliseconds from the beginning of the pause to the end of each step. Empty when nothing was done.
  returned: success
  type: dict
  sample: {paused: 3.3, fenced: 18.8, replayed: 23.5, promoted: 46.3, resumed: 50.4}
lsn:
  description: The end of the old primary's WAL, which the new primary has replayed. With O(warm_log), the start of the last record.
  returned: success
  type: str
  sample: 0/4000148
synchronous:
  description: Whether the standby had all acknowledged commits, because every commit waited for it.
  returned: success
  type: bool
  sample: false
timeline:
  description: With O(state=failed_over), the timeline of the new primary, on which the old one has never been. V(null) in check mode.
  returned: success
  type: int
  sample: 2
  version_added: 0.3.0
system_identifier:
  description: With O(state=failed_over), the system identifier of both servers.
  returned: success
  type: str
  sample: "7578237019120937433"
  version_added: 0.3.0
"""

import contextlib
from typing import Any

from ..module_utils._host.ansible_module import AnsibleModule
from ..module_utils._host.signals import unwind_when_ended
from ..module_utils._locking import fence
from ..module_utils._postgresql.managers import detection, patroni, repmgr as repmgr_manager
from ..module_utils._postgresql.pooler import pgbouncer
from ..module_utils._postgresql.pooler.coordinator import PoolerAgents
from ..module_utils._postgresql.pooler.pgbouncer import PoolerError
from ..module_utils._postgresql.session import PostgresqlError
from ..module_utils._postgresql.switchover import options as switchover_options
from ..module_utils._postgresql.switchover.failover import Failover, Redirection
from ..module_utils._postgresql.switchover.node import Node
from ..module_utils._postgresql.switchover.planned import Switchover
from ..module_utils._postgresql.switchover.received_wal import ReceivedLog
from ..module_utils._postgresql.switchover.wal_only_failover import WarmFailover, WarmNode
from ..module_utils._postgresql.switchover.window import Limits, Result, SwitchoverError, Window

WARM_LOG = {
    "directory": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "bin_dir": {"type": "path", "required": True},
    "stop_command": {"type": "list", "elements": "str", "default": []},
}
STATES = ("switched", "failed_over", "read_only", "read_write")
ARGUMENTS = {
    "state": {"type": "str", "choices": list(STATES), "default": "switched"},
    "data_loss": {"type": "str", "choices": ["refuse", "accept"], "default": "refuse"},
    "old_is_lost": {"type": "bool", "default": False},
    "warm_log": {"type": "dict", "options": WARM_LOG},
    **switchover_options.ARGUMENTS,
    **pgbouncer.ARGUMENTS,
    **patroni.ARGUMENTS,
    **repmgr_manager.ARGUMENTS,
    "pooler_agents": {"type": "list", "elements": "str", "default": [], "aliases": ["companions"],
                      "deprecated_aliases": [switchover_options.renamed("companions")]},
    "max_lag_bytes": {"type": "int", "default": 10_000_000},
    "max_transaction_seconds": {"type": "float", "default": 15},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**fence.ARGUMENTS, **ARGUMENTS}, mutually_exclusive=[("patroni", "repmgr")], supports_check_mode=True)
    unwind_when_ended(SwitchoverError)
    try:
        with fence.admitted(module.params["fence"], module.check_mode):
            result = switch(module.params, module.check_mode)
    except (SwitchoverError, PoolerError, PostgresqlError, fence.FenceError) as error:
        module.fail_json(msg=str(error))
    for warning in result.warnings:
        module.warn(warning)
    module.exit_json(changed=result.changed, primary=primary_after(module.params), steps=result.steps, lsn=result.lsn, synchronous=result.synchronous,
                     timeline=result.timeline, system_identifier=result.system_identifier)


def primary_after(options: dict[str, Any]) -> str | None:
    """The name of the server that takes the clients' writes afterwards; None when clients can only read."""
    roles = {"switched": "new_primary", "failed_over": "new_primary", "read_write": "old_primary"}
    return options[roles[options["state"]]]["name"] if options["state"] in roles else None


def switch(options: dict[str, Any], check_mode: bool) -> Result:
    """Have it done, or see whether it could be."""
    limits = switchover_options.limits(options)
    old, new = switchover_options.nodes(options)
    if options["warm_log"] and options["state"] != "failed_over":
        raise SwitchoverError("warm_log is for state=failed_over: a server in recovery from a received log takes over when its primary is dead")
    if options["state"] in (detection.SWITCHOVER, detection.FAILOVER):
        require_driven(options, old, new)
    window = window_for(options, old, new, limits)
    if not check_mode:
        return window.apply()
    window.result.changed = window.dry_run()
    return window.result


def require_driven(options: dict[str, Any], old: Node, new: Node) -> None:
    """Raise SwitchoverError when another program manages the cluster than the one that is driven. A server that does not answer is skipped."""
    driven = detection.PATRONI if options["patroni"] else detection.REPMGR if options["repmgr"] else None
    for node in (new,) if options["state"] == detection.FAILOVER else (new, old):
        found = []
        with contextlib.suppress(PostgresqlError), node.opened():
            found = detection.managers(detection.read(node))
        problem = detection.refusal(found, options["state"], driven)
        if problem:
            raise SwitchoverError(problem)


def window_for(options: dict[str, Any], old: Node, new: Node, limits: Limits) -> Window:
    """The exchange that a state is about."""
    poolers = pgbouncer.of(options["poolers"])
    agents = PoolerAgents(options["pooler_agents"], options["agent_timeout"])
    if set(agents.names) & {pooler.name for pooler in poolers}:
        raise SwitchoverError(f"pooler_agents and poolers both have {', '.join(sorted(set(agents.names) & {pooler.name for pooler in poolers}))}: "
                              "a pooler's file is here, or on another host")
    if options["patroni"]:
        if options["state"] != "switched" or agents.names:
            raise SwitchoverError("patroni is for state=switched without pooler_agents: after a crash Patroni promotes a standby itself")
        return patroni.PatroniSwitchover(old, new, poolers, limits, patroni.Patroni(options["patroni"]))
    if options["repmgr"] and (options["warm_log"] or (options["state"] == "switched" and agents.names)):
        raise SwitchoverError("repmgr is not for warm_log, nor for state=switched with pooler_agents")
    if options["repmgr"] and options["state"] == "switched":
        return repmgr_manager.RepmgrSwitchover(old, new, poolers, limits, repmgr_manager.Repmgr(options["repmgr"]["command"]))
    if options["state"] == "switched":
        return Switchover(old, new, poolers, limits, agents)
    if options["state"] == "failed_over":
        failover = failover_of(options, old, new, limits, agents)
        failover.accept_loss, failover.is_lost = options["data_loss"] == "accept", options["old_is_lost"]
        return failover
    if agents.names:
        raise SwitchoverError(f"state={options['state']} needs no pooler_agents, because no pooler has to wait for others: run it on the host of each one")
    if not poolers:
        raise SwitchoverError(f"state={options['state']} is about clients of poolers: name at least one")
    redirection = Redirection(*((old, new) if options["state"] == "read_only" else (new, old)), poolers, limits)
    redirection.to_standby = options["state"] == "read_only"
    return redirection


def failover_of(options: dict[str, Any], old: Node, new: Node, limits: Limits, agents: PoolerAgents) -> Failover:
    """To a standby, or to a server that lives from a received log."""
    poolers, warm = pgbouncer.of(options["poolers"]), options["warm_log"]
    if options["repmgr"]:
        repmgr = repmgr_manager.Repmgr(options["repmgr"]["command"])
        return repmgr_manager.RepmgrFailover(old, repmgr_manager.RepmgrNode.driven_by(repmgr, new), poolers, limits, agents)
    if not warm:
        return Failover(old, new, poolers, limits, agents)
    log = ReceivedLog(warm["directory"], warm["bin_dir"], warm["stop_command"])
    return WarmFailover(old, WarmNode.living_from(log, new), poolers, limits, warm["name"], agents)


if __name__ == "__main__":
    main()
