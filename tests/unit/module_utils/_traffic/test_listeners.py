# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who shares a load balancer's ports, as the kernel shows it: sockets of this test, and of a process that it begins."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic import listeners as traffic_listeners
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.listeners import Listeners, Listening, Process, family_of, servers_of, sharers

# Another process, under another name, that listens at the address and port that it is given.
STRANGER = """\
import socket, sys
open("/proc/self/comm", "w").write("stranger")
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
print(flush=True)
sys.stdin.read()
"""


def listening(address="127.0.0.1", port=0):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((address, port))
    listener.listen()
    return listener


@contextlib.contextmanager
def stranger(address, port):
    with subprocess.Popen([sys.executable, "-c", STRANGER, address, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.stdin.close()


@pytest.fixture(name="ports")
def _ports(tmp_path):
    """A load balancer, which is this process: the path of its socket, as HAProxy binds it, and the port of its users."""
    path = str(tmp_path / "runtime")
    with listening() as users, listening() as admin, socket.socket(socket.AF_UNIX) as runtime:
        runtime.bind(f"{path}.{os.getpid()}.tmp")
        runtime.listen()
        os.rename(f"{path}.{os.getpid()}.tmp", path)
        yield f"unix:{path}", f"http://127.0.0.1:{admin.getsockname()[1]}", users.getsockname()[1]


@pytest.mark.parametrize("way", [0, 1])
def test_a_process_on_the_same_port_is_named_until_it_is_gone(ports, way):
    listeners = Listeners([ports[way]])
    assert listeners.refusals(ports[way]) == ()
    with stranger("127.0.0.1", ports[2]) as pid:
        assert listeners.refusals(ports[way]) == (
            (f"another process (stranger {pid}) listens at 127.0.0.1:{ports[2]}, too, and sends its share of the requests to drained members: "
             "end it, or make it a load balancer of its own"),)
    assert listeners.refusals(ports[way]) == ()


def test_one_that_is_driven_may_share(ports):
    with listening() as port:
        admin = port.getsockname()[1]
    with stranger("127.0.0.1", ports[2]), stranger("127.0.0.1", admin):
        assert Listeners(ports[:1]).refusals(ports[0])
        assert Listeners([ports[0], f"http://127.0.0.1:{admin}"]).refusals(ports[0]), "that process is another one than the one that shares"
        assert Listeners([ports[0], f"http://localhost:{ports[2]}"]).refusals(ports[0]) == ()


@pytest.mark.parametrize("endpoint", ["file:/etc/nginx/up.conf", "tcp://lb1:9999", "https://shop.example.com", "tcp://10.99.0.1:9999", "tcp://[::1]x",
                                      "unix:/x"])
def test_one_that_is_elsewhere_is_not_looked_for(ports, endpoint):
    with stranger("127.0.0.1", ports[2]):
        assert Listeners([endpoint]).refusals(endpoint) == ()


def test_one_that_is_there_for_a_moment_is_waited_for(ports, monkeypatch):
    """A reload without a master process."""
    time, seen = [0.0], []
    monkeypatch.setattr(traffic_listeners, "sharers", lambda *_facts: seen.append(time) or [("x", [])] * (time[0] < 0.5))
    listeners = Listeners(ports[:1], lambda: time[0], lambda seconds: time.__setitem__(0, time[0] + seconds))
    with stranger("127.0.0.1", ports[2]):
        # Other tests of this machine may begin to listen at any moment.
        sockets = traffic_listeners.listening_tcp()
        monkeypatch.setattr(traffic_listeners, "listening_tcp", lambda: sockets)
        assert listeners.refusals(ports[0]) == () and len(seen) > 3
        looks = len(seen)
        assert listeners.refusals(ports[0]) == () and len(seen) == looks, "nothing is looked for as long as the same sockets listen"


def tcp(*sockets):
    return [Listening(place, inode) for place, inode in sockets]


PROCESSES = {
    1: Process("systemd", 0, frozenset()), 10: Process("haproxy", 1, frozenset({5})), 11: Process("haproxy", 10, frozenset({5, 6})),
    12: Process("haproxy", 10, frozenset({7})), 13: Process("log", 10, frozenset()), 20: Process("haproxy", 1, frozenset({8})),
    30: Process("caddy", 1, frozenset({9})),
}


def test_a_master_and_its_workers_are_one():
    assert family_of({11}, PROCESSES) == family_of({10}, PROCESSES) == family_of({12}, PROCESSES) == {10, 11, 12}
    assert family_of({20}, PROCESSES) == {20} and family_of((), PROCESSES) == set()


def test_only_what_no_driven_process_has_is_foreign():
    ours, sockets = {10, 11, 12}, tcp(("*:80", 5), ("*:80", 7), ("*:80", 8), ("*:81", 6), ("*:81", 99), ("*:82", 9))
    assert list(sharers(ours, ours, sockets, PROCESSES)) == [("*:80", [20]), ("*:81", [])]
    assert list(sharers(ours, {*ours, 20}, sockets, PROCESSES)) == [("*:81", [])]
    assert list(sharers(set(), set(), sockets, PROCESSES)) == []


@pytest.mark.parametrize(("endpoint", "pids"), [("tcp://127.0.0.1:80", {20, 30}), ("http://10.0.0.1:80", {30}), ("http://10.0.0.2", set()), ("unix:/r", {11}),
                                                ("unix:/run", set())])
def test_who_answers_at_an_endpoint(endpoint, pids):
    """At an address of this host's that is none of its own loopback, one that listens everywhere may be another."""
    sockets, unix = tcp(("0.0.0.0:80", 8), ("10.0.0.1:80", 9), ("127.0.0.1:80", 9)), tcp(("/r.77.tmp", 6), ("/runtime", 5))
    assert servers_of(endpoint, sockets, unix, PROCESSES) == pids


def test_an_address_of_ipv6_is_read():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        assert f"[::1]:{listener.getsockname()[1]}" in {each.place for each in traffic_listeners.listening_tcp()}
