# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy as a load balancer whose endpoints are in a file (EDS by ``path_config_source``): the file is changed, the admin interface proves it.

Ready is the health status HEALTHY (or none), drain is DRAINING, maintenance is UNHEALTHY. One that was DEGRADED comes back so: it is a backup, as are the
endpoints of lower priorities. Source: Envoy's ``ClusterLoadAssignment``, and the admin interface's ``/clusters?format=json``, ``/config_dump``,
``/server_info`` and ``/stats`` (``server.parent_connections``).
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Callable

from ...._host.address import host_port
from ...._host.config_file import ConfigFile, text_of
from ...._host.json_api import JsonApi
from ...._host.patience import Patience
from ...._host.waiting import wait_for
from ...demands import looked_at
from ...drained_members import OutMembers
from ...former_states import ABSENT, FormerStates, put_back
from ...interface import DOWN, DRAIN, MAINT, READY, RECHECK, UNCHECKED, UP, WATCH_SECONDS, Backend, Member, View, repeated, settings_of
from ...json_text import with_values_of
from .demands import DEMANDS, Cluster, Facts, parse_cluster, seconds

APPLIED_SECONDS, APPLIED_PAUSE_SECONDS = 10.0, 0.05
# How long after a hot restart the connections of the process before are not known yet: two intervals of stats_flush_interval, which is 5 s by default.
FIRST_STATS_SECONDS = 10.0
PARENT = "/stats?format=json&filter=%5Eserver%5C.parent_connections%24"
# How Envoy numbers the sockets of the processes of one base id. Source: ``hot_restarting_base.cc``.
BASE_IDS, MOST_PROCESSES = 10, 3
# The main thread, which answers, knows a change first; its workers follow within a turn of their loops.
SPREAD_SECONDS = 0.1
SETTINGS: dict[str, object] = {}

_STATUS = {READY: "HEALTHY", DRAIN: "DRAINING", RECHECK: "DRAINING", MAINT: "UNHEALTHY"}
_ADMIN = {"DRAINING": DRAIN, "UNHEALTHY": MAINT, "TIMEOUT": MAINT}
_FROM_IN_TO_OUT = (READY, DRAIN, MAINT)
DEGRADED, DEGRADED_BY_ITSELF = "DEGRADED", "failed_active_degraded_check"


@dataclass(frozen=True)
class Process:
    """The process that answers: the version of its software, the number of hot restarts before it, and whether the one before may still be there."""

    version: str
    epoch: int
    has_parent: bool
    is_new: bool


class Envoy:
    """One Envoy, whose admin interface listens at `endpoint`, and whose files of endpoints are on this host."""

    options: tuple[str, ...] = ("settings", "headers")
    can_cut = False

    def __init__(self, name: str, endpoint: str, settings: Mapping[str, object], headers: Mapping[str, str],
                 steady: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 patience: Patience | None = None, sockets: Callable[[], Collection[str]] | None = None) -> None:
        settings_of(name, "envoy", settings, SETTINGS)
        self.name, self.endpoint = name, endpoint
        self._api = JsonApi(name, endpoint, headers, patience=patience or Patience())
        self._steady, self._sleep, self._sockets = steady, sleep, sockets or local_sockets
        self._out = OutMembers(steady)
        self._known: dict[str, Cluster] = {}
        self._process = Process("", 0, False, False)
        # What the file said of those that were taken out here.
        self._taken: dict[tuple[str, str], str | None] = {}

    def read(self, backend: str | None = None) -> View:
        """See `LoadBalancer.read`: the clusters whose endpoints come from a file."""
        self._learn()
        statuses = {cluster["name"]: cluster.get("host_statuses", []) for cluster in self._api.get("/clusters?format=json").get("cluster_statuses", [])}
        names = [name for name, cluster in self._known.items() if cluster.file] if backend is None else [self._require(backend)]
        left = self._left_behind()
        return View(self._process.version, {name: self._backend(name, statuses, left, names) for name in names}, self._process.epoch + 1)

    def apply(self, backend: str, changes: Mapping[str, str]) -> None:
        """See `LoadBalancer.apply`: one rename of the file. Returns when Envoy has taken it."""
        self._learn()
        path = self._file_of(backend)
        file = ConfigFile(path, self._api.error, set(map(self._file_of, self._twins(backend))) - {path})
        former = FormerStates(file)
        file.rewrite(lambda text: self._with_statuses(text, backend, changes, former), lambda: self._wait_applied(backend, changes))
        self._out.ask(backend, changes)

    def command(self, backend: str, changes: Mapping[str, str]) -> str:
        """See `LoadBalancer.command`."""
        file = self._known[backend].file if backend in self._known else "its file of endpoints"
        address = '(.endpoint.address.socket_address | "\\(.address):\\(.port_value)")'
        service = self._known[backend].service if backend in self._known else backend
        steps = " | ".join(f'(.resources[] | select(.cluster_name=="{service}").endpoints[].lb_endpoints[] | '
                           f'select(.endpoint.hostname=="{name}" or {address}=="{name}"))'
                           f'.health_status="{self._status_to_set(backend, name, change)}"' for name, change in changes.items())
        return f"jq {shlex.quote(steps)} {shlex.quote(str(file))} > new.json && mv new.json {shlex.quote(str(file))}"

    def _status_to_set(self, backend: str, name: str, change: str) -> str:
        return _STATUS[change] if change != READY else self._taken.get((backend, name)) or _STATUS[READY]

    def _learn(self) -> None:
        """The configuration, once for each process: it does not change with the endpoints."""
        before, self._process = self._process, parse_process(self._api.get("/server_info"), self._sockets)
        if not self._known or self._process.epoch != before.epoch:
            dump = self._api.get("/config_dump")
            self._known = {cluster["name"]: parse_cluster(cluster) for cluster in _clusters(dump)}

    def _left_behind(self) -> int:
        """How many connections the process before a hot restart may still have: the new one does not count what is in flight there."""
        if not self._process.has_parent:
            return 0
        stats = self._api.get(PARENT).get("stats", [])
        reported = sum(int(stat.get("value", 0)) for stat in stats if stat.get("name") == "server.parent_connections")
        return max(reported, int(self._process.is_new))

    def _require(self, backend: str) -> str:
        self._file_of(backend)
        return backend

    def _file_of(self, backend: str) -> str:
        """The file of a cluster's endpoints; raise LoadBalancerError when there is none."""
        cluster = self._known.get(backend)
        if cluster is None:
            raise self._api.error(f"has no cluster {backend!r}: it has {', '.join(sorted(self._known)) or 'none'}")
        if cluster.file is None:
            raise self._api.error(f"gets the endpoints of {backend} not from a file of its own: kind=envoy drives clusters with type EDS and "
                                  "path_config_source; where a control plane gives the endpoints, that is what drains them")
        return cluster.file

    def _backend(self, backend: str, statuses: Mapping[str, list[Mapping[str, Any]]], left_behind: int, seen: Collection[str]) -> Backend:
        """One of the clusters that are `seen` in the same look."""
        cluster, hosts = self._known[backend], statuses.get(backend, [])
        names = names_of(hosts)
        self._require_distinct(backend, names)
        members = {name: self._member(backend, name, member, left_behind) for name, member in zip(names, parse_hosts(hosts, cluster.is_checked))}
        twins = self._twins(backend)
        members = with_twins(members, [host for name in twins for host in statuses.get(name, [])])
        addresses = {member.address for member in members.values()}
        others = tuple(sorted(name for name, reported in statuses.items() if name not in (*seen, *twins)
                              and addresses & {parse_host(host, False).address for host in reported}))
        found = looked_at(DEMANDS, Facts(backend, cluster, members, self._fault_of_file(backend) if hosts else "", others, tuple(twins)))
        theirs = {name: looked_at(DEMANDS, self._facts_of_twin(name, statuses)) for name in twins}
        refusals = (f"{name}, which has the same endpoints: {sentence}" for name, reported in theirs.items() for sentence in reported.refusals)
        notes = (sentence for reported in theirs.values() for sentence in reported.notes)
        panic_percent = max(self._known[name].panic_percent for name in (backend, *twins))
        return Backend(members, None, (*found.notes, *notes), (*found.refusals, *refusals), panic_percent=panic_percent, drained_with=tuple(twins))

    def _twins(self, backend: str) -> list[str]:
        """The other clusters that have the same endpoints from the same file."""
        places = {name: (os.path.realpath(cluster.file), cluster.service) for name, cluster in self._known.items() if cluster.file}
        return sorted(name for name, place in places.items() if name != backend and place == places[backend])

    def _facts_of_twin(self, name: str, statuses: Mapping[str, list[Mapping[str, Any]]]) -> Facts:
        """What demands look at of a cluster that goes out with another one: members, by address, and the configuration."""
        cluster = self._known[name]
        return Facts(name, cluster, {member.address: member for member in parse_hosts(statuses.get(name, []), cluster.is_checked)})

    def _fault_of_file(self, backend: str) -> str:
        """Why no health status can be written into the file of endpoints, or an empty string."""
        cluster = self._known[backend]
        try:
            entries = list(_endpoints(json.loads(text_of(os.path.realpath(self._file_of(backend)))), cluster.service))
            names_of([entry["endpoint"] for entry in entries])
        except OSError as error:
            return f"its endpoints are in {cluster.file}, which cannot be read here: {error}. Run this on the load balancer itself, as an account that may"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return (f"{cluster.file} is not the JSON of a DiscoveryResponse with cluster_name, endpoints and lb_endpoints: {error!r}. Write it so: no YAML, "
                    "and no names such as lbEndpoints")
        return "" if entries else f"{cluster.file} has no endpoints of {cluster.service}, though Envoy has: see its log"

    def _require_distinct(self, backend: str, names: list[str]) -> None:
        if twice := repeated(names):
            raise self._api.error(f"has {', '.join(twice)} more than once in {backend}: give every endpoint an address or a hostname of its own")

    def _member(self, backend: str, name: str, member: Member, left_behind: int) -> Member:
        return replace(member, confirmed=self._out.is_confirmed(backend, name, self._known[backend].recheck_seconds),
                       lingering=0 if member.admin == READY else left_behind)

    def _with_statuses(self, text: str, backend: str, changes: Mapping[str, str], former: FormerStates) -> str:
        try:
            document = json.loads(text)
            entries = list(_endpoints(document, self._known[backend].service))
            names = names_of([entry["endpoint"] for entry in entries])
            endpoints = dict(zip(names, entries))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._api.error(f"reads its endpoints from {self._known[backend].file}, which is not the JSON of a DiscoveryResponse: {error!r}") from error
        self._require_distinct(backend, names)
        missing = sorted(set(changes) - set(endpoints))
        if missing:
            raise self._api.error(f"has no {', '.join(missing)} among the endpoints of {backend} in {self._known[backend].file}")
        leaving = {name: endpoints[name].get("health_status", ABSENT) for name, change in changes.items() if change != READY and _is_in(endpoints[name])}
        self._taken.update({(backend, name): status for name, status in leaving.items()})
        former.keep(backend, leaving)
        before = former.read(backend)
        for name, change in changes.items():
            if change != READY:
                endpoints[name]["health_status"] = _STATUS[change]
            elif not _is_in(endpoints[name]):
                put_back(endpoints[name], "health_status", self._taken.get((backend, name), before.get(name, _STATUS[READY])))
        return with_values_of(text, document)

    def _wait_applied(self, backend: str, changes: Mapping[str, str]) -> None:
        admin = {name: _ADMIN.get(_STATUS[change], READY) for name, change in changes.items()}

        def is_taken() -> bool:
            members = self.read(backend).backends[backend].members
            return all(name in members and members[name].admin == state for name, state in admin.items())

        if not wait_for(is_taken, APPLIED_SECONDS, APPLIED_PAUSE_SECONDS, self._steady, self._sleep):
            raise self._api.error(f"has not taken the changed {self._known[backend].file} within {APPLIED_SECONDS:g} s: "
                                  "see its log, and whether it watches that folder")
        self._sleep(SPREAD_SECONDS)


def parse_version(server_info: Mapping[str, Any]) -> str:
    """The release in ``COMMIT/1.40.0/Clean/RELEASE/BoringSSL``."""
    parts = str(server_info.get("version", "")).split("/")
    return parts[1] if len(parts) > 1 else parts[0]


def parse_process(server_info: Mapping[str, Any], sockets: Callable[[], Collection[str]]) -> Process:
    """The process as ``/server_info`` describes it. After a hot restart, its parent finishes its requests within ``--parent-shutdown-time-s``.

    :param sockets: the names of this host's UNIX sockets, over which the two processes communicate. Without that of this process, both run elsewhere.
    """
    options = server_info.get("command_line_options", {})
    epoch, age = int(options.get("restart_epoch", 0)), seconds(server_info.get("uptime_current_epoch", "0s"))
    if not epoch:
        return Process(parse_version(server_info), epoch, has_parent=False, is_new=False)
    own, before = (f"{options.get('socket_path', '@envoy_domain_socket')}_parent_{int(options.get('base_id', 0)) * BASE_IDS + number % MOST_PROCESSES}"
                   for number in (epoch, epoch - 1))
    names = sockets()
    has_parent = before in names if own in names else age <= seconds(options.get("parent_shutdown_time", "900s")) + FIRST_STATS_SECONDS
    return Process(parse_version(server_info), epoch, has_parent, age < FIRST_STATS_SECONDS)


def local_sockets() -> set[str]:
    """The names of the UNIX sockets of this network; those that are no paths are padded."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        return {line.split()[-1].rstrip("@") for line in file}


def parse_host(host: Mapping[str, Any], is_checked: bool) -> Member:
    """One of a cluster's ``host_statuses``."""
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", [])}
    status = host.get("health_status", {})
    failing = sorted(key for key, value in status.items() if value is True and key != DEGRADED_BY_ITSELF)
    address = host.get("address", {}).get("socket_address", {})
    return Member(
        address=host_port(address.get("address", ""), address.get("port_value", "")),
        admin=_ADMIN.get(status.get("eds_health_status"), READY),
        health=DOWN if failing else UP if is_checked else UNCHECKED,
        check=", ".join(failing),
        sessions=stats.get("rq_active", 0),
        queued=stats.get("rq_pending_active", 0),
        arrivals=stats.get("rq_total", 0),
        errors=stats.get("rq_error", 0) + stats.get("rq_timeout", 0) + stats.get("cx_connect_fail", 0),
        weight=int(host.get("weight", 1)),
        backup=status.get("eds_health_status") == DEGRADED or status.get(DEGRADED_BY_ITSELF) is True,
        probed=is_checked,
        watch_seconds=WATCH_SECONDS,
    )


def parse_hosts(hosts: Sequence[Mapping[str, Any]], is_checked: bool) -> list[Member]:
    """A cluster's ``host_statuses``, of which those of a lower priority than the first one that there is are backups."""
    first = min((priority_of(host) for host in hosts), default=0)
    return [replace(member, backup=member.backup or priority_of(host) > first)
            for host, member in zip(hosts, (parse_host(host, is_checked) for host in hosts))]


def priority_of(host: Mapping[str, Any]) -> int:
    """The priority of one of a cluster's ``host_statuses``: 0 is the first, and the others get what that cannot take."""
    return int(host.get("priority", 0))


def _is_in(entry: Mapping[str, Any]) -> bool:
    return entry.get("health_status") not in _ADMIN


def names_of(endpoints: Sequence[Mapping[str, Any]]) -> list[str]:
    """How endpoints are called: each by its hostname where no other one has the same, else by its address and port."""
    times = Counter(endpoint.get("hostname") for endpoint in endpoints)
    return [endpoint["hostname"] if endpoint.get("hostname") and times[endpoint["hostname"]] == 1 else _address_of(endpoint) for endpoint in endpoints]


def _address_of(endpoint: Mapping[str, Any]) -> str:
    address = endpoint.get("address", {}).get("socket_address", {})
    return f"{address.get('address')}:{address.get('port_value')}"


def with_twins(members: Mapping[str, Member], hosts: Sequence[Mapping[str, Any]]) -> dict[str, Member]:
    """The members with what other clusters of the same endpoints have in flight to them, and out only where they are out there, too.

    :param hosts: the ``host_statuses`` of those clusters.
    """
    found = dict(members)
    for other in (parse_host(host, False) for host in hosts):
        for name, member in found.items():
            if member.address == other.address:
                found[name] = replace(member, admin=min(member.admin, other.admin, key=_FROM_IN_TO_OUT.index), sessions=member.sessions + other.sessions,
                                      queued=member.queued + other.queued, arrivals=member.arrivals + other.arrivals)
    return found


def _clusters(dump: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in dump.get("configs", []):
        for key in ("static_clusters", "dynamic_active_clusters"):
            yield from (entry["cluster"] for entry in part.get(key, []))


def _endpoints(document: Any, backend: str) -> Iterator[dict[str, Any]]:
    for resource in document["resources"]:
        if resource["cluster_name"] == backend:
            for locality in resource["endpoints"]:
                yield from locality["lb_endpoints"]
