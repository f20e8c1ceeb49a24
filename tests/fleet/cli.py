# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, look at and stop an embedded fleet.

    python tests/fleet/cli.py up --directory build/demo
    python tests/fleet/cli.py status --directory build/demo
    python tests/fleet/cli.py down --directory build/demo
    python tests/fleet/cli.py artifacts --directory build/demo
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

# Run by its path, as a program: the fleet's other modules are found beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleet import artifacts, haproxy, layout, members, ports, postgres, processes, record
from fleet.embedded import EmbeddedFleet, FleetError

ERRORS = (
    FleetError,
    artifacts.ArtifactError,
    haproxy.HaproxyError,
    layout.LayoutError,
    members.MemberError,
    ports.PortError,
    postgres.PostgresError,
    processes.ProcessError,
    record.RecordError,
    PermissionError,
)


def up(arguments: argparse.Namespace) -> int:
    fleet = EmbeddedFleet(arguments.directory, arguments.release, arguments.members, say=print)
    fleet.up()
    print(f"up: {arguments.members} members in traffic on {len(fleet.layout.load_balancers)} load balancers; inventory: {fleet.inventory}")
    return 0


def down(arguments: argparse.Namespace) -> int:
    ended = EmbeddedFleet(arguments.directory).down()
    print(f"ended: {', '.join(ended)}" if ended else "nothing was running")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """0: everything runs; 3: nothing does; 1: something is missing."""
    fleet = EmbeddedFleet(arguments.directory)
    running = fleet.running()
    if not running:
        print(f"no fleet runs in {fleet.directory}")
        return 3
    complete = True
    for member in fleet.layout.members:
        try:
            about = members.answer(member, "/version")["release"]
        except members.MemberError as error:
            about, complete = str(error), False
        print(f"{member.name} {member.endpoint} {member.zone} {about}")
    for balancer in fleet.layout.load_balancers:
        try:
            about = "  ".join(f"{name} {state}" for name, state in fleet.server_states(balancer.name).items())
        except haproxy.HaproxyError as error:
            about, complete = str(error), False
        print(f"{balancer.name} {balancer.front_url}: {about}")
    return 0 if complete and "postgres" in running else 1


def build(arguments: argparse.Namespace) -> int:
    for artifact in artifacts.build_all(Path(arguments.directory).absolute() / "artifacts").values():
        print(f"{artifact.sha256}  {artifact.path}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="fleet", description="An embedded fleet: two HAProxy, application servers in two zones, a PostgreSQL.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("up", up, "start a fleet"),
        ("down", down, "stop it; nothing is left running"),
        ("status", status, "show what runs where"),
        ("artifacts", build, "build the shop's releases only"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        command.add_argument("--directory", required=True, help="the run folder, for example build/demo")
        if name == "up":
            command.add_argument("--release", default="1.0.0", choices=list(artifacts.RELEASES), help="what the members start with")
            command.add_argument("--members", type=int, default=6, help="application servers, in two zones")
    arguments = parser.parse_args()
    # A polite end is an end like Ctrl-C: `up` takes down what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return processes.exit_code_of("fleet", lambda: arguments.function(arguments), ERRORS)


if __name__ == "__main__":
    sys.exit(main())
