# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of HAProxy's runtime API against sockets that answer as HAProxy does, and as it never should."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import Patience
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancers import open_load_balancers
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import CUT, DRAIN, MAINT, READY, RECHECK, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy import runtime as haproxy_runtime
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import NO_MASTER, NO_STATE_FILE, Haproxy, HaproxyError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.demands import UNSEEN
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.runtime import HaproxyUnavailableError

RECORDED = (Path(__file__).resolve().parents[4] / "data" / "haproxy-2.8.txt").read_text(encoding="utf-8")
LINES_OF_CHANGES = [
    ({"s1": READY}, "set server app/s1 state ready"),
    ({"s1": DRAIN, "s2": DRAIN}, "set server app/s1 state drain;set server app/s2 state drain"),
    ({"s1": READY, "s4": DRAIN}, "set server app/s1 state ready;set server app/s4 state drain"),
    ({"s1": MAINT}, "set server app/s1 state maint"),
    ({"s1": RECHECK}, "set server app/s1 state drain;set server app/s1 health down"),
    ({"s1": CUT}, "shutdown sessions server app/s1"),
]


class Runtime:
    """Answers each connection by what `script` makes of the line that came; keeps the lines."""

    def __init__(self, listener, script):
        self.lines = []
        self._listener, self._script = listener, script
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self):
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                line = connection.makefile("r").readline().rstrip("\n")
                self.lines.append(line)
                self._script(connection, line)


@pytest.fixture
def runtime(request):
    """A function: script to (runtime, load balancer)."""
    with contextlib.ExitStack() as stack:
        def start(script, **options):
            listener = socket.create_server(("127.0.0.1", 0))
            server = stack.enter_context(Runtime(listener, script))
            return server, Haproxy("lb1", f"tcp://127.0.0.1:{listener.getsockname()[1]}", **options)

        yield start


def says(answer):
    return lambda connection, line: connection.sendall(answer.encode())


def obeys(connection, line):
    connection.sendall(b"\n" * (line.count(";") + 1))


# -- changes

@pytest.mark.parametrize(("changes", "line"), LINES_OF_CHANGES)
def test_all_changes_are_one_line_of_one_connection(runtime, changes, line):
    server, balancer = runtime(obeys)
    balancer.apply("app", changes)
    assert server.lines == [line]


def test_very_many_changes_are_several_lines(runtime):
    """One would not fit into HAProxy's buffer."""
    server, balancer = runtime(obeys)
    changes = {f"shop-application-server-{number:03d}.east.example.com": READY if number < 150 else DRAIN for number in range(300)}
    balancer.apply("app", changes)
    assert len(server.lines) == 3 and all(len(line) < 8000 for line in server.lines)
    assert ";".join(server.lines).split(";") == [f"set server app/{name} state {'ready' if change == READY else 'drain'}" for name, change in changes.items()]
    balancer.set_weights("app", dict.fromkeys(changes, 1))
    assert len(server.lines) == 6


@pytest.mark.parametrize("answer", ["No such server.\n\n", "No such backend.\n\n", "\nNo such server.\n\n", "Unknown command: quit\n\n"])
def test_every_word_of_an_answer_to_a_change_is_an_error(runtime, answer):
    _server, balancer = runtime(says(answer))
    with pytest.raises(HaproxyError, match=rf"lb1 \(tcp://127.0.0.1:\d+\) answers '{answer.split()[0]}.*' to 'set server app/s1 state ready'"):
        balancer.apply("app", {"s1": READY})


def test_a_socket_without_the_right_to_change_is_reported_what_it_needs(runtime):
    _server, balancer = runtime(says("Permission denied\n\n"))
    with pytest.raises(HaproxyError, match="level admin"):
        balancer.apply("app", {"s1": READY})


def test_commands_that_were_not_carried_out_are_noticed(runtime):
    _server, balancer = runtime(says("\n"))
    with pytest.raises(HaproxyError, match="closed the connection before all of"):
        balancer.apply("app", {"s1": READY, "s2": READY})


@pytest.mark.parametrize("name", ["", "s1;quit", "s1\n", "s1 ", "s 1", "s1/s2", "s1'", "\u00fc", "s1\x00"])
def test_no_name_gets_more_than_a_name_into_a_line(runtime, name):
    server, balancer = runtime(obeys)
    with pytest.raises(HaproxyError, match="cannot have a member named"):
        balancer.apply("app", {"s1": READY, name: READY})
    with pytest.raises(HaproxyError, match="cannot have a backend named"):
        balancer.apply(name, {"s1": READY})
    with pytest.raises(HaproxyError, match="cannot have a backend named"):
        balancer.read(name)
    assert server.lines == []


def test_the_command_for_a_person_does_the_same():
    changes = {"s1": READY, "s2": MAINT}
    assert Haproxy("lb1", "tcp://10.0.0.1:9999").command("app", changes) == (
        "echo 'set server app/s1 state ready;set server app/s2 state maint' | socat stdio tcp:10.0.0.1:9999"
    )
    assert Haproxy("lb1", "unix:/run/ha proxy.sock").command("app", changes).endswith("| socat stdio 'unix-connect:/run/ha proxy.sock'")


# -- reading

def test_text_of_others_with_empty_lines_in_it_is_no_end_of_an_answer(runtime):
    info, states, stat = RECORDED.split("\n\n", 2)
    header, first, *rows = stat.split("\n")
    column = header.removeprefix("# ").split(",").index("last_chk")
    words = first.split(",")
    words[column] = '"not\n\nready"'
    odd = "\n\n".join([f"{info}\ndescription: in the\n\nrack\nPid: 1", states, "\n".join([header, ",".join(words), *rows])])
    _server, balancer = runtime(says(odd))
    view = balancer.read("app")
    _other, plain = runtime(says(RECORDED))
    assert view == plain.read("app") and view.process != 1


def test_a_view_is_read_by_one_line(runtime):
    server, balancer = runtime(says(RECORDED))
    view = balancer.read("app")
    assert server.lines == ["show info;show servers state app;show stat app 6 -1"]
    assert view.version.startswith("2.8") and len(view.backends["app"].members) == 11


def test_members_with_an_agent_are_watched_until_it_was_asked_again(runtime):
    _server, balancer = runtime(says(RECORDED))
    members = balancer.read("app").backends["app"].members
    assert {name: member.watch_seconds for name, member in members.items() if member.watch_seconds != 1.0} == {"with-agent": 3.5}


def test_all_backends_are_read_without_a_name(runtime):
    server, balancer = runtime(says(RECORDED))
    assert list(balancer.read().backends) == ["app"]
    assert server.lines == ["show info;show servers state;show stat -1 6 -1"]


def test_an_unknown_backend_is_an_error_that_names_the_ones_there_are(runtime):
    def script(connection, line):
        connection.sendall(b"Name: HAProxy\n\nCan't find backend.\n\nNo such proxy.\n\n" if "nope" in line else RECORDED.encode())

    _server, balancer = runtime(script)
    with pytest.raises(HaproxyError, match=r"lb1 .* has no backend 'nope': it has app"):
        balancer.read("nope")


NO_VIEWS = ["\n", "Name: HAProxy\n\n", RECORDED + "more\n\n", RECORDED.replace("\napp,up,0", "\napp,up,many")]
CUT_SHORT = ["HTTP/1.1 400 Bad request\r\n\r\n", RECORDED[:-1], RECORDED[:300], RECORDED + "more"]


@pytest.mark.parametrize("answer", NO_VIEWS)
def test_what_is_no_view_is_an_error(runtime, answer):
    _server, balancer = runtime(says(answer))
    with pytest.raises(HaproxyError, match=r"lb1 \(tcp://.*cannot be understood"):
        balancer.read("app")


def test_an_answer_that_is_no_utf_8_is_exact_for_files_and_readable_for_people(runtime):
    _server, balancer = runtime(lambda connection, line: connection.sendall(b"0x1 Gr\xf6\xdfe x\n\n"))
    assert balancer.ask_exactly("show map #0") == "0x1 Gr\udcf6\udcdfe x\n\n"
    assert balancer.ask("show map #0") == balancer.ask_once("show map #0") == "0x1 Gr\ufffd\ufffde x\n\n"
    with pytest.raises(LoadBalancerError, match=r"answers .*Gr.*e x' to") as raised:
        balancer.carry_out_once(["set map #0 x y"])
    assert str(raised.value).encode("utf-8")


@pytest.mark.parametrize("answer", CUT_SHORT)
def test_an_answer_without_its_end_is_no_answer(runtime, answer):
    """A process that ends, as HAProxy's master does at each reload, leaves it so."""
    _server, balancer = runtime(says(answer))
    with pytest.raises(HaproxyUnavailableError, match=r"lb1 \(tcp://.*broke off its answer to 'show info;show servers state app;.*was it restarted"):
        balancer.read("app")


# -- asked again

def in_turn(*scripts):
    """Each connection has a script of its own; the last one's is for all that follow."""
    rest = list(scripts)

    def answer_next(connection, line):
        return (rest.pop(0) if len(rest) > 1 else rest[0])(connection, line)

    return answer_next


def hangs_up(_connection, _line):
    """As a listener does whose process is replaced."""


@pytest.mark.parametrize("trouble", [hangs_up, says(RECORDED[:300])])
def test_what_reads_is_asked_again_until_there_is_a_whole_answer(runtime, trouble):
    server, balancer = runtime(in_turn(trouble, trouble, says(RECORDED)), patience=Patience(10))
    assert len(balancer.read("app").backends["app"].members) == 11
    assert server.lines == ["show info;show servers state app;show stat app 6 -1"] * 3


@pytest.mark.parametrize("trouble", [hangs_up, says("Proxy is disabled.\n\n")])
def test_a_change_of_a_state_is_asked_for_again(runtime, trouble):
    """Set twice, a server is in the same state. A process that a reload has asked to end refuses it, in the session that it took right before."""
    server, balancer = runtime(in_turn(trouble, obeys), patience=Patience(10))
    balancer.apply("app", {"s1": DRAIN})
    assert server.lines == ["set server app/s1 state drain"] * 2


def test_a_refusal_is_not_asked_again(runtime):
    server, balancer = runtime(says("No such server.\n\n"), patience=Patience(10))
    with pytest.raises(HaproxyError, match="No such server"):
        balancer.apply("app", {"s1": DRAIN})
    assert len(server.lines) == 1


def test_one_that_is_started_is_waited_for(tmp_path):
    path = tmp_path / "admin.sock"
    seen = []
    with ThreadPoolExecutor(1) as user, socket.socket(socket.AF_UNIX) as listener:
        patience = Patience(20, sleep=lambda seconds: (seen.append(seconds), time.sleep(0.01)))
        reading = user.submit(lambda: Haproxy("lb1", f"unix:{path}", patience=patience).read("app"))
        while not seen and not reading.done():
            time.sleep(0.01)
        listener.bind(str(path))
        listener.listen()
        with Runtime(listener, says(RECORDED)):
            assert reading.result(20).process


def test_the_master_that_has_begun_another_worker_has_all_read_anew(runtime):
    """The worker that answered has been replaced meanwhile: what it was told may be lost, and it is not what counts."""
    worker, balancer = runtime(says(RECORDED), patience=Patience(10))
    pid = int(re.search(r"^Pid: (\d+)$", RECORDED, re.MULTILINE)[1])
    processes = "#<PID> <type>\n1 master 0\n# workers\n{} worker 0\n# programs\n\n"
    master, other = runtime(in_turn(says(processes.format(pid + 1)), hangs_up, says(processes.format(pid))))
    both = Haproxy("lb1", balancer.endpoint, other.endpoint, patience=Patience(10))
    seen = both.read("app")
    assert seen.process == pid and seen.backends["app"].unproven == (NO_STATE_FILE, UNSEEN)
    assert len(worker.lines) == 3 and master.lines == ["show proc"] * 3


def test_what_a_reload_hides_or_forgets_is_said(runtime, tmp_path):
    _server, balancer = runtime(says(RECORDED))
    assert balancer.read("app").backends["app"].unproven == (NO_MASTER, NO_STATE_FILE, UNSEEN)
    assert Haproxy("lb1", balancer.endpoint, state_file=str(tmp_path / "state")).read("app").backends["app"].unproven == (NO_MASTER, UNSEEN)


# -- the connection

def test_a_unix_socket_works(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "admin.sock"
    listener.bind(str(path))
    listener.listen()
    with Runtime(listener, obeys) as server:
        Haproxy("lb1", f"unix:{path}").apply("app", {"s1": READY})
    assert server.lines == ["set server app/s1 state ready"]


def test_nobody_listening_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(HaproxyError, match=rf"lb2 \(tcp://127.0.0.1:{port}\) cannot be reached: Connection refused"):
        Haproxy("lb2", f"tcp://127.0.0.1:{port}").read()
    with pytest.raises(HaproxyError, match="cannot be reached: No such file"):
        Haproxy("lb2", f"unix:{tmp_path}/none").read()


def test_a_frozen_load_balancer_is_bounded_in_time(runtime):
    """It accepts, because the kernel does, and never answers."""
    over = threading.Event()
    _server, balancer = runtime(lambda connection, line: over.wait(30), answer_seconds=0.2)
    began = time.monotonic()
    with pytest.raises(HaproxyError, match=r"does not answer within 0.2 s"):
        balancer.read()
    assert time.monotonic() - began < 10
    over.set()


def test_one_that_drips_is_bounded_in_time_too(runtime):
    over = threading.Event()

    def drip(connection, line):
        while not over.wait(0.02):
            connection.sendall(b"x")

    _server, balancer = runtime(drip, answer_seconds=0.3)
    with pytest.raises(HaproxyError, match=r"does not answer within 0.3 s"):
        balancer.read()
    over.set()


def test_one_that_never_stops_is_bounded_in_size(runtime, monkeypatch):
    monkeypatch.setattr(haproxy_runtime, "ANSWER_BYTES", 100_000)
    _server, balancer = runtime(lambda connection, line: connection.sendall(b"x" * 10_000_000))
    with pytest.raises(HaproxyError, match="more than 100000 bytes"):
        balancer.read()


def test_one_that_hangs_up_is_an_error(runtime):
    _server, balancer = runtime(lambda connection, line: None)
    with pytest.raises(HaproxyError, match="closed the connection without an answer"):
        balancer.apply("app", {"s1": READY})


@pytest.mark.parametrize("endpoint", [
    "", "lb1", "127.0.0.1:9999", "tcp:127.0.0.1:9999", "tcp://127.0.0.1", "tcp://:9999", "tcp://127.0.0.1:0", "tcp://127.0.0.1:99999", "tcp://a:b",
    "tcp://127.0.0.1:9999/path", "http://127.0.0.1:9999", "unix:admin.sock", "unix:", "tcp://[::1:9999",
])
def test_what_is_no_endpoint_is_refused(endpoint):
    with pytest.raises(LoadBalancerError, match="write tcp://HOST:PORT or unix:/PATH"):
        open_load_balancers([{"name": "lb1", "endpoint": endpoint}])


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:9999", "tcp://lb1.example.com:9999", "tcp://[::1]:9999", "unix:/run/haproxy/admin.sock"])
def test_what_is_an_endpoint_is_accepted(endpoint):
    assert [balancer.endpoint for balancer in open_load_balancers([{"name": "lb1", "endpoint": endpoint}])] == [endpoint]


@pytest.mark.parametrize(("specs", "reason"), [
    ([], "load_balancers is empty"),
    ([{"name": "lb1", "endpoint": "unix:/a"}, {"name": "lb1", "endpoint": "unix:/b"}], "the name 'lb1' twice"),
    ([{"name": "lb1", "endpoint": "unix:/a"}, {"name": "lb2", "endpoint": "unix:/a"}], "the endpoint 'unix:/a' twice"),
])
def test_each_load_balancer_is_given_once(specs, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        open_load_balancers(specs)
