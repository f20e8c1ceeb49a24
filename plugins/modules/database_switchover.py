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
  - Pauses all poolers at once, makes the old primary read only, waits until the standby has replayed everything that was acknowledged, promotes it,
    sends the poolers there, and resumes them. Clients wait for a moment and get no error.
  - Clients always go on. When the module fails or is killed, or when a server stops answering, the poolers are sent to the server that takes writes, and
    resumed. A second process, which outlives the first one, sees to that.
  - Nothing is begun when the standby lags or does not stream, when a transaction has lasted so long that a pause would wait for it, or when something would
    write past the fence of the old primary, such as a subscription or a prepared transaction. Logical replication slots and the
    rows of unlogged tables, which are lost, are named in a warning, in check mode, too.
  - After a crash the standby is promoted and the clients go on there. The old primary must not be started again as it was. If it runs by the end, or when this
    is run again, it is made read only. See M(alwayson.upgrade.database_fence), the role database_guard and M(alwayson.upgrade.database_rejoin).
  - One run at a time changes the same servers and poolers. A second run is refused before it changes anything, and its error names the run that is at work.
  - Where another program runs the cluster (Patroni, repmgr, pg_auto_failover, Stolon, CloudNativePG), it is refused, and the error names the way to do it
    there, unless that program is used (O(patroni), O(repmgr)).
  - Nothing is changed when it is done already.
extends_documentation_fragment:
  - alwayson.upgrade.switchover
  - alwayson.upgrade.fence
attributes:
  check_mode:
    support: full
    description: Checks everything that could prevent the change, and changes nothing.
  diff_mode:
    support: none
    description: The role of two servers is no text.
options:
  state:
    description:
      - V(switched) switches over from a running primary to its standby.
      - V(failed_over) fails over from a dead primary. The standby has to be a synchronous one, or O(data_loss) to be accepted. When O(new_primary) takes
        writes already, because it was restored from a backup or promoted by another program, the poolers are sent there; that, too, is a loss to be accepted.
      - V(read_only) sends the clients of a primary that is away, or is about to be, to its standby. They read there, and writes are refused
        (SQLSTATE 25006).
      - V(read_write) sends them back to the primary.
    type: str
    choices: [switched, failed_over, read_only, read_write]
    default: switched
  data_loss:
    description:
      - Whether a standby may be promoted that may lack commits which the dead primary acknowledged. That is so unless C(synchronous_standby_names) has every
        commit wait for this standby. The setting is read from the standby, because it is usually the same on all servers.
      - Not every commit waits for a standby that is one of several of which fewer are enough, such as V(ANY 1 (db2, db3)), or that is only matched by V(*).
      - The same holds when C(synchronous_commit) is not C(on) or C(remote_apply) for the server, a role or a database, and when the standby streams under a
        name that others may have, too, because its C(application_name) is not set.
    type: str
    choices: [refuse, accept]
    default: refuse
  warm_log:
    description:
      - With O(state=failed_over), for an O(new_primary) that is no streaming standby, but recovers from a log that C(pg_receivewal --synchronous) receives.
        This module runs on its host. The server takes over when the primary and its standby are both dead.
      - The receiver is ended, its last segment is renamed so that recovery finds it, and the server is promoted when it has replayed the last record in it.
      - It counts as synchronous if C(synchronous_standby_names) has every commit wait for the receiver, such as V(FIRST 2 (db2, db3_log)) does.
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
          - What ends the receiver's service, as a list of words. Without it, the receiver is ended by a signal, and the module fails when something
            starts it again.
        type: list
        elements: str
        default: []
  old_is_lost:
    description:
      - Whether you have made sure that the old primary does not run. It is needed where its host does not refuse connections. Two servers that take writes
        diverge.
    type: bool
    default: false
  poolers:
    description:
      - Every PgBouncer that sends to these servers and whose file is here. Those on other hosts are O(companions).
      - A pooler that is left out keeps sending to the old primary, which takes no writes any more.
      - Before clients are held, each one is examined, and refused by name when it could not be switched. Right before the standby is promoted, each one
        has to report that it will send there.
      - A pooler that does not run is refused, except after a crash and with O(state=read_only). Then only its file is changed, for its next start.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name, for messages.
        type: str
        required: true
      host:
        description: Its address, or the folder of its Unix socket. Several processes on one port (C(so_reuseport)) need one each, and are one element each.
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
  companions:
    description:
      - The names of the poolers on other hosts. On each of these hosts, M(alwayson.upgrade.database_pooler) runs at the same time as the agent of one pooler.
      - Nothing is begun before all agents have joined, and no standby is promoted unless all poolers hold their clients.
      - Not for O(state=read_only) and O(state=read_write), because no pooler has to wait for others there. Run this module on each of their hosts.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  patroni:
    description:
      - Where Patroni runs the cluster, its REST API. With O(state=switched) it exchanges the roles, while the poolers hold the clients.
      - O(old_primary.name) and O(new_primary.name) are then the names of its members. Nothing is begun while it is paused, or the candidate is not healthy.
      - Patroni has the old primary follow. Other states, and O(companions), are not supported for such clusters.
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
      - Where repmgr runs the cluster, how it is run on the host of O(new_primary). O(old_primary.name) and O(new_primary.name) are the names of its nodes then.
      - With O(state=switched) it exchanges the roles (C(repmgr standby switchover --siblings-follow)) while the poolers hold the clients, and has the old
        primary follow. It is asked first whether it would (C(--dry-run)).
      - With O(state=failed_over) it promotes the standby (C(repmgr standby promote --siblings-follow)) in the same window as without it. Nothing is begun while
        C(repmgrd) runs there and is not paused.
      - O(companions) with O(state=switched), and O(warm_log), are not supported with it.
    type: dict
    version_added: 0.3.0
    suboptions:
      command:
        description:
          - The words that run it, such as V([ssh, -o, BatchMode=yes, postgres@10.0.0.52, repmgr, -f, /etc/repmgr.conf]).
          - Its exit status and the state of the servers decide.
        type: list
        elements: str
        required: true
  max_lag_bytes:
    description: How much of the log the standby may not have replayed at the beginning.
    type: int
    default: 10000000
  max_transaction_seconds:
    description: No transaction may have lasted longer at the beginning.
    type: float
    default: 15
requirements:
  - psycopg (version 3) or psycopg2 on the host that the module runs on
notes:
  - Run it on the host of the pooler, or on one that has the files of O(poolers). It is one process, and one on each host of O(companions), because a task
    for each step would take longer than the whole window.
  - The role needs C(pg_monitor), C(pg_signal_backend) and C(pg_checkpoint), the right to execute C(pg_promote) and C(pg_reload_conf), and C(ALTER SYSTEM)
    on the parameters C(default_transaction_read_only) and C(synchronous_standby_names) (PostgreSQL 15 or newer, before that a superuser).
  - The old primary is left running without writes. Have it follow the new one by M(alwayson.upgrade.database_rejoin).
  - Set C(wal_retrieve_retry_interval=100ms) on both servers. With the default, a promotion sometimes takes up to 5 seconds.
  - PgBouncer needs C(server_fast_close=1) where clients keep sessions (C(pool_mode=session)). Such sessions are ended, and their clients connect again.
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
  description: The server that takes the writes of the poolers' clients now. In check mode, the one that would. V(null) with O(state=read_only).
  returned: success
  type: str
  sample: db2
steps:
  description: Milliseconds from the beginning of the pause to the end of each step. Empty when nothing was done.
  returned: success
  type: dict
  sample: {paused: 3.3, fenced: 18.8, replayed: 23.5, promoted: 46.3, resumed: 50.4}
lsn:
  description: Where the old primary's log ends, which the new one has replayed. With O(warm_log), where its last record begins.
  returned: success
  type: str
  sample: 0/4000148
synchronous:
  description: Whether the standby must have had everything that was acknowledged, because every commit waited for it.
  returned: success
  type: bool
  sample: false
timeline:
  description: With O(state=failed_over), the timeline of the new primary, which the old one has never been on. V(null) in check mode.
  returned: success
  type: int
  sample: 2
  version_added: 0.3.0
system_identifier:
  description: With O(state=failed_over), what names the data of both.
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
    "companions": {"type": "list", "elements": "str", "default": []},
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
    """Who takes writes then; nobody whom clients reach, when they only read."""
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
    """SwitchoverError when another program runs the cluster than the one that is driven. A server that does not answer tells nothing."""
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
    agents = PoolerAgents(options["companions"], options["companion_timeout"])
    if set(agents.names) & {pooler.name for pooler in poolers}:
        raise SwitchoverError(f"companions and poolers both have {', '.join(sorted(set(agents.names) & {pooler.name for pooler in poolers}))}: "
                              "a pooler's file is here, or on another host")
    if options["patroni"]:
        if options["state"] != "switched" or agents.names:
            raise SwitchoverError("patroni is for state=switched without companions: after a crash Patroni has a standby take over by itself")
        return patroni.PatroniSwitchover(old, new, poolers, limits, patroni.Patroni(options["patroni"]))
    if options["repmgr"] and (options["warm_log"] or (options["state"] == "switched" and agents.names)):
        raise SwitchoverError("repmgr is not for warm_log, nor for state=switched with companions")
    if options["repmgr"] and options["state"] == "switched":
        return repmgr_manager.RepmgrSwitchover(old, new, poolers, limits, repmgr_manager.Repmgr(options["repmgr"]["command"]))
    if options["state"] == "switched":
        return Switchover(old, new, poolers, limits, agents)
    if options["state"] == "failed_over":
        failover = failover_of(options, old, new, limits, agents)
        failover.accept_loss, failover.is_lost = options["data_loss"] == "accept", options["old_is_lost"]
        return failover
    if agents.names:
        raise SwitchoverError(f"state={options['state']} needs no companions, because no pooler has to wait for others: run it on the host of each one")
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
