# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded fleet: two HAProxy, application servers in two zones and a PostgreSQL, all real, all plain processes.

Each has an address of its own in 127.0.0.0/8 where the system allows that. Nothing is written outside the run folder,
no right beyond an ordinary user's is needed, and `down` leaves no process behind.
"""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fleet import artifacts, balancers, haproxy, inventory, layout, members, pooler, postgres, postgresctl, processes
from fleet.balancers import HAPROXY, UNDRIVEN, Software
from fleet.layout import Layout, LoadBalancer
from fleet.ports import Endpoint, Ports
from fleet.postgres import Postgres
from fleet.processes import Process
from fleet.record import Record

KINDS = (HAPROXY, *balancers.KINDS, UNDRIVEN)
IN_TRAFFIC_SECONDS = 90
STANDBY = "standby"
DATABASE_PROCESSES = ("postgres", STANDBY, "pooler")
# What had to be downloaded is kept for other fleets.
CELLAR = Path(__file__).resolve().parents[2] / "build" / "cache" / "pgbouncer"
# Longer than a supervisor gives its application.
STOP_SECONDS = 15


class FleetError(Exception):
    """The fleet does not come up, or is not there."""


class EmbeddedFleet:
    """A fleet in its run folder. As a context manager it is up inside the block and gone behind it.

    :param directory: the run folder; made when it is missing. An object for a fleet that is up already works, too.
    :param release: the release that the members start with: a name in artifacts.RELEASES.
    :param members: how many application servers, from 2 to 200, split evenly into the zones east and west; more than 20 are one process.
    :param pools: the load balancers' backends among which the servers are dealt out; with layout.BLUE_GREEN the first has the traffic.
    :param kind: what the load balancers are: haproxy, or a kind of `balancers`, or none, which is HAProxy that nobody may drive.
    :param is_abrupt: whether the service's stop command kills the application instead of asking it to end.
    :param boot_seconds: how long the application's start takes; the load balancers hold requests meanwhile, instead of finding another server.
    :param is_replicated: whether the database has a standby, and a PgBouncer where there is one to be had.
    :param say: receives a line about each step of `up`.
    """

    def __init__(self, directory: Path | str, release: str = "1.0.0", members: int = 6, say: Callable[[str], None] = lambda line: None,
                 pools: tuple[str, ...] = (layout.BACKEND,), kind: str = HAPROXY, is_abrupt: bool = False,
                 boot_seconds: float = 0.0, is_replicated: bool = False) -> None:
        self.directory = Path(directory).absolute()
        self.release = release
        self.member_count = members
        self.say = say
        self.pools = pools
        self.kind = kind
        self.is_abrupt = is_abrupt
        self.boot_seconds = boot_seconds
        self.is_replicated = is_replicated
        self._database_for_members: Endpoint | None = None
        self._pooler_file: Path | None = None
        self.record = Record(self.directory)
        self.record.load()

    def __enter__(self) -> EmbeddedFleet:
        self.up()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.down()

    @property
    def layout(self) -> Layout:
        """Who is who, and where; raise FleetError when there is no fleet."""
        if self.record.layout is None:
            raise FleetError(f"there is no fleet in {self.directory}: start one with `up`")
        return self.record.layout

    @property
    def inventory(self) -> Path:
        """The Ansible inventory of the fleet."""
        return self.directory / "inventory.yml"

    @property
    def front_urls(self) -> list[str]:
        """Where users come in: one URL per load balancer."""
        return [balancer.front_url for balancer in self.layout.load_balancers]

    def artifact(self, name: str) -> Path:
        """The archive of a release; its checksum lies beside it."""
        return self.directory / "artifacts" / f"shop-{artifacts.RELEASES[name]}.tar.gz"

    def up(self) -> None:
        """Start everything and wait until all members are in traffic. Whatever fails or interrupts this, nothing keeps running."""
        with self.record.locked():
            self._require_absent()
            self.record.clear()
            try:
                self._start()
            except BaseException:
                self._end_all()
                raise

    def down(self) -> list[str]:
        """End everything; return the names of what was still running. Called again, it finds nothing to do."""
        if not self.record.path.exists():
            return []
        with self.record.locked():
            self.record.load()
            running = self.running()
            self._end_all()
        return running

    def running(self) -> list[str]:
        """The names of the processes that are alive."""
        return [process.name for process in [*self.record.processes.values(), *self._applications()] if process.is_alive]

    def kill_member(self, name: str) -> None:
        """Let a member die as a host dies: supervisor and application at once, without a word."""
        self._require_own_process()
        member = self.layout.member(name)
        victims = [self.record.processes[name], members.application(member)]
        processes.end([process for process in victims if process], first_signal=signal.SIGKILL)

    def reload(self, load_balancer: str) -> None:
        """Have a load balancer take its configuration again, as after a change by somebody else; what it has under way it ends as before."""
        former = self.record.processes[load_balancer]

        def relaunch(argv: list[str]) -> None:
            """Beside the former process, which goes by itself, and is ended with the fleet if it does not."""
            self.record.remember(dataclasses.replace(former, name=f"{load_balancer} as process {former.pid}"))
            self._launch(processes.launch, load_balancer, argv, self.directory / "log" / f"{load_balancer}.log")

        balancers.reload(self.kind, self.layout, self.layout.load_balancer(load_balancer), former, relaunch)

    def boot_member(self, name: str) -> None:
        """Let a dead member come back: its supervisor, and the application if it was running."""
        self._require_own_process()
        self._launch(members.boot, self.layout.member(name))

    def member_version(self, name: str) -> str:
        """The release that a member itself says it runs."""
        return members.answer(self.layout.member(name), "/version")["release"]

    def runtime(self, load_balancer: str, command: str) -> str:
        """Send a command line to a load balancer's runtime socket; return the answer."""
        return haproxy.runtime(self.layout.load_balancer(load_balancer).runtime, command)

    def server_states(self, load_balancer: str) -> dict[str, str]:
        """How a load balancer sees each member, such as {"app1": "UP L7OK"}."""
        return haproxy.server_states(self.layout.load_balancer(load_balancer).runtime)

    def in_traffic(self) -> dict[str, set[str]]:
        """Load balancer to the members that it sends new traffic to, read from HAProxy itself."""
        return {balancer.name: haproxy.in_traffic(self.server_states(balancer.name))
                for balancer in self.layout.load_balancers}

    def query(self, database: str, sql: str) -> list[tuple]:
        """Run SQL as the databases' owner, as one transaction; return the rows of the last statement."""
        with postgres.connect(self.layout.database, database) as connection:
            cursor = connection.execute(sql)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def _require_own_process(self) -> None:
        if members.CROWD.stem in self.record.processes:
            raise FleetError(f"the {len(self.layout.members)} members are one process: none of them can die alone")

    def _require_absent(self) -> None:
        if self.record.load() and self.running():
            raise FleetError(f"a fleet is up in {self.directory} already ({', '.join(self.running())}): take it down first")

    def _start(self) -> None:
        self.record.layout = layout.plan(self.directory, self.member_count, Ports(), self.pools)
        self.record.save()
        built = artifacts.build_all(self.directory / "artifacts")
        if self.release not in built:
            raise FleetError(f"there is no release {self.release!r} of the shop: choose one of {', '.join(built)}")
        software = self._load_balancers()
        binaries = self._start_database()
        self._start_members(built[self.release])
        for balancer in self.layout.load_balancers:
            self._start_load_balancer(balancer, software[balancer.name])
        inventory.write(self.layout, binaries, {name: one.variables for name, one in software.items()}, partial(balancers.member_name, self.kind),
                        self._pooler_file)
        self._wait_in_traffic()

    def _load_balancers(self) -> dict[str, Software]:
        """What each of them is made of, by name."""
        if self.kind not in (HAPROXY, UNDRIVEN):
            return {balancer.name: balancers.prepare(self.kind, self.layout, balancer) for balancer in self.layout.load_balancers}
        configurations = haproxy.write_configurations(self.layout, "/ready" if self.kind == UNDRIVEN else "/healthz", holds=self.boot_seconds > 0)
        command = haproxy.find_binary(next(iter(configurations.values())), self.directory / "haproxy" / "package")
        return {
            balancer.name: Software(
                [*command, "-W", "-S", f"ipv4@{balancer.master}", "-f", str(configurations[balancer.name])],
                balancers.lame_duck_variables(self.layout, balancer) if self.kind == UNDRIVEN else haproxy.variables(self.layout, balancer),
            )
            for balancer in self.layout.load_balancers
        }

    def _start_database(self) -> Path:
        binaries = postgres.find_binaries()
        self.say(f"PostgreSQL at {self.layout.database}, databases {', '.join(layout.TENANTS.values())} ({binaries})")
        server = Postgres(binaries, self.directory / "postgres", self.layout.database, self.directory / "log" / "postgres.log")
        server.create()
        postgresctl.write(server)
        server.wait_ready(self._launch(server.start))
        server.fill()
        if self.is_replicated:
            self._start_standby(binaries)
            self._start_pooler()
        return binaries

    def _start_standby(self, binaries: Path) -> None:
        self.say(f"its standby at {self.layout.standby}")
        server = Postgres(binaries, self.directory / STANDBY, self.layout.standby, self.directory / "log" / f"{STANDBY}.log")
        server.create_standby(self.layout.database, "db2")
        postgresctl.write(server)
        server.wait_ready(self._launch(server.start, STANDBY))

    def _start_pooler(self) -> None:
        """What cannot be had is said, and the applications reach the database itself."""
        try:
            command = pooler.find_binary(CELLAR)
        except pooler.PoolerError as error:
            self.say(str(error))
            return
        self.say(f"PgBouncer at {self.layout.pooler}")
        made = pooler.Pooler(command, self.directory / "pooler", self.layout.pooler, self.directory / "log" / "pooler.log")
        made.create(self.layout.database)
        made.wait_ready(self._launch(made.start))
        self._database_for_members, self._pooler_file = self.layout.pooler, made.databases

    def _start_members(self, artifact: artifacts.Artifact) -> None:
        is_crowd = len(self.layout.members) > layout.MOST_PROCESSES
        for member in self.layout.members:
            self.say(f"{member.name} at {member.endpoint}, zone {member.zone}, release {artifact.version}")
            members.set_up(member, artifact, self._database_for_members or self.layout.database, self.is_abrupt, self.boot_seconds)
            if not is_crowd:
                self._launch(members.boot, member)
        if is_crowd:
            self._launch(members.boot_all, layout.hosts_directory(self.directory), self.directory / "log" / "crowd.log")
        # A load balancer that meets a server before it is healthy brings it in slowly.
        for member in self.layout.members:
            members.wait_healthy(member, self.record.processes[members.CROWD.stem if is_crowd else member.name])

    def _start_load_balancer(self, balancer: LoadBalancer, software: Software) -> None:
        self.say(f"{balancer.name} at {balancer.front_url}, commanded at {software.variables['traffic_endpoint']} ({software.argv[0]})")
        self._launch(processes.launch, balancer.name, software.argv, self.directory / "log" / f"{balancer.name}.log", software.environment)

    def _launch(self, start: Callable[..., Process], *arguments: object) -> Process:
        """Start a process and write it down; nothing comes in between."""
        with processes.uninterrupted():
            process = start(*arguments)
            self.record.remember(process)
        return process

    def _wait_in_traffic(self) -> None:
        """Wait until every load balancer has checked every member and takes it for healthy."""
        started = time.monotonic()
        while missing := self._not_in_traffic():
            waited = time.monotonic() - started
            ended = [process.name for process in self.record.processes.values() if not process.is_alive]
            if ended or waited > IN_TRAFFIC_SECONDS:
                why = f"ended: {', '.join(ended)}" if ended else f"not in traffic: {', '.join(missing)}"
                raise FleetError(f"the fleet is not complete after {waited:.1f} s; {why}\n{self._logs()}")
            time.sleep(0.05)

    def _not_in_traffic(self) -> list[str]:
        if self.kind not in (HAPROXY, UNDRIVEN):
            return [f"{name} on {balancer.name}" for balancer in self.layout.load_balancers
                    for name in sorted({member.name for member in self.layout.members} - members.reached(balancer.front, len(self.layout.members)))]
        missing = []
        for balancer in self.layout.load_balancers:
            try:
                states = self.server_states(balancer.name)
            except haproxy.HaproxyError:
                missing.append(f"{balancer.name} (no answer)")
                continue
            seen = {member.name: states.get(member.name, "unknown") for member in self.layout.members}
            missing += [f"{name} on {balancer.name} ({state})" for name, state in seen.items() if state != haproxy.HEALTHY]
        return missing

    def _logs(self) -> str:
        """The ends of all logs that say something."""
        paths = sorted(path for pattern in ("log/*.log", "hosts/*/log/*.log") for path in self.directory.glob(pattern) if path.stat().st_size)
        return "\n".join(f"--- {path}\n{processes.tail(path, lines=5)}" for path in paths)

    def _applications(self) -> list[Process]:
        """What the supervisors started."""
        if self.record.layout is None:
            return []
        return [process for process in map(members.application, self.record.layout.members) if process]

    def _end_all(self) -> None:
        """End the load balancers and the supervisors, which end their applications; then the database that these used."""
        with processes.uninterrupted():
            database = [process for process in self.record.processes.values() if process.name in DATABASE_PROCESSES]
            processes.end([process for process in self.record.processes.values() if process not in database], grace=STOP_SECONDS)
            # A supervisor that was killed may have left its application.
            processes.end(self._applications(), grace=STOP_SECONDS)
            # So may somebody who started a server again.
            database += [server for name in ("postgres", STANDBY) if (server := postgres.running(self.directory / name))]
            processes.end(database, first_signal=postgres.STOP_SIGNAL, grace=STOP_SECONDS)
            for name in ("postgres", STANDBY):
                postgres.remove_interlock(self.directory / name)
            if self.record.layout is not None:
                self.record.forget_ended()
                balancers.remove_shared_memory(self.layout)
