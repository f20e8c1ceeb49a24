# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's upstreams in a file, with workers that only this test knows. No signal leaves this process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils import _nginx
from ansible_collections.alwayson.upgrade.plugins.module_utils._flock import exclusive
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import DRAIN, MAINT, PROBATION, READY, UNCHECKED, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._nginx import NOTE, Nginx, Worker, parse_upstreams, with_servers, workers_of
from fake_load_balancer import Time

TEXT = """\
# upstream app { server 10.9.9.9:80 down; }
upstream web {
    server 10.0.0.1:80;
}
upstream  app{
    least_conn;
    server 10.0.0.1:80 weight=5  max_fails=0;
    server 10.0.0.2:80;  # down
    # server 10.0.0.9:80;
    server 10.0.0.3:80 down backup;
    keepalive 32;
}
server { listen 80; location / { proxy_pass http://app; } }
"""
APP = {"10.0.0.1:80": False, "10.0.0.2:80": False, "10.0.0.3:80": True}


class Master:
    """An nginx. A reload leaves the old workers to end, and begins new ones after `lag` looks; `skew` is how much later than the file they seem to begin."""

    def __init__(self, folder):
        self.file, self.pid_file, self.time = folder / "upstreams.conf", folder / "nginx.pid", Time()
        self.file.write_text(TEXT, encoding="utf-8")
        self.file.chmod(0o640)
        os.utime(self.file, (1000.0, 1000.0))
        self.pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
        self.signals, self.coming, self.lag, self.skew = [], [], 0, 1.0
        self.workers = [Worker(1, False, 1001.0), Worker(2, False, 1001.0)]

    def look(self, master):
        assert master == os.getpid()
        if self.coming and not self.lag:
            self.workers, self.coming = [worker._replace(is_leaving=True) for worker in self.workers] + self.coming, []
        self.lag -= bool(self.coming)
        return list(self.workers)

    def kill(self, pid, number):
        self.signals.append((pid, number, self.text()))
        self.coming = [Worker(pid, False, self.file.stat().st_mtime + self.skew) for pid in (11, 12)]

    def opened(self, *command):
        return Nginx("lb1", f"file:{self.file}", {"command": list(command or ["true"]), "pid_file": str(self.pid_file)}, {},
                     self.time.clock.steady, self.time.sleep, self.look)

    def text(self):
        return self.file.read_text(encoding="utf-8")


@pytest.fixture(name="master")
def _master(tmp_path, monkeypatch):
    master = Master(tmp_path)
    monkeypatch.setattr(_nginx.os, "kill", master.kill)
    return master


@pytest.mark.parametrize(("text", "upstreams"), [
    (TEXT, {"web": {"10.0.0.1:80": False}, "app": APP}),
    ("upstream a {\n}\n", {"a": {}}),
    ("upstream a {\nserver unix:/run/a.sock\n  max_fails=1 down;\n\tserver b.example.com;\n}", {"a": {"unix:/run/a.sock": True, "b.example.com": False}}),
    ("upstream a {\n server down.example.com; # server c down;\n}", {"a": {"down.example.com": False}}),
])
def test_comments_do_not_count(text, upstreams):
    assert parse_upstreams(text) == upstreams


@pytest.mark.parametrize(("upstream", "down", "before", "after"), [
    ("app", {"10.0.0.1:80": True}, "weight=5  max_fails=0;", "down weight=5  max_fails=0;"),
    ("app", {"10.0.0.2:80": True}, "10.0.0.2:80;  # down", "10.0.0.2:80 down;  # down"),
    ("app", {"10.0.0.3:80": False}, "10.0.0.3:80 down backup;", "10.0.0.3:80 backup;"),
    ("app", {"10.0.0.1:80": False, "10.0.0.3:80": True}, "", ""),
    ("app", {}, "", ""),
    ("web", {"10.0.0.1:80": True}, "server 10.0.0.1:80;", "server 10.0.0.1:80 down;"),
    ("ap", {"10.0.0.1:80": True}, "", ""),
])
def test_only_the_word_down_comes_and_goes_and_only_in_that_upstream(upstream, down, before, after):
    changed = with_servers(TEXT, upstream, down)
    assert changed == TEXT.replace(before, after) and with_servers(changed, upstream, down) == changed
    assert parse_upstreams(changed).get(upstream, down) == {**parse_upstreams(TEXT).get(upstream, {}), **down}


def test_what_is_seen_of_the_members(master):
    master.workers.append(Worker(3, True, 0.0))
    view = master.opened().read("app")
    assert view.version == "" and list(view.backends) == ["app"] and view.backends["app"].live == 2
    members = view.backends["app"].members
    assert {name: (member.address, member.admin, member.sessions) for name, member in members.items()} == {
        "10.0.0.1:80": ("10.0.0.1:80", READY, 0), "10.0.0.2:80": ("10.0.0.2:80", READY, 0), "10.0.0.3:80": ("10.0.0.3:80", MAINT, 1)}
    assert {(member.health, member.probed, member.confirmed, member.note) for member in members.values()} == {(UNCHECKED, False, True, NOTE)}
    assert list(master.opened().read().backends) == ["web", "app"]


@pytest.mark.parametrize("ask", [lambda nginx: nginx.read("ap"), lambda nginx: nginx.apply("ap", {"10.0.0.1:80": MAINT})])
def test_an_unknown_upstream_is_an_error_that_names_those_there_are(master, ask):
    with pytest.raises(LoadBalancerError) as error:
        ask(master.opened())
    assert str(error.value) == f"lb1 (file:{master.file}) has no upstream 'ap' in its file: it has app, web"
    assert master.signals == [] and master.text() == TEXT


@pytest.mark.parametrize("ask", [lambda nginx: nginx.read("app"), lambda nginx: nginx.apply("app", {"10.0.0.1:80": MAINT})])
@pytest.mark.parametrize("changed", [2000.0, 1000.99])
def test_a_file_that_is_newer_than_the_workers_says_nothing(master, ask, changed):
    os.utime(master.file, (changed, changed))
    with pytest.raises(LoadBalancerError, match="was not reloaded since its file was changed, so what the file says is not what happens. Look at the file, "
                                                "then reload: true -s reload"):
        ask(master.opened())
    assert master.signals == [] and master.text() == TEXT
    master.workers = [Worker(1, True, 1001.0), Worker(2, False, changed + 1)]
    assert list(master.opened().read("app").backends["app"].members) == list(APP)
    master.workers.append(Worker(3, False, changed - 1))
    with pytest.raises(LoadBalancerError, match="was not reloaded since its file was changed"):
        master.opened().read("app")


def test_a_change_that_another_run_has_under_way_is_waited_for(master):
    nginx, seen, master.workers = master.opened(), [], [Worker(1, False, 999.0)]
    with exclusive(str(master.file.parent / ".upstreams.conf.lock"), 0):
        reader = threading.Thread(target=lambda: seen.append(nginx.read("app")), daemon=True)
        reader.start()
        reader.join(0.3)
        assert reader.is_alive()
        master.workers = [Worker(2, False, 1001.0)]
    reader.join(30)
    assert list(seen[0].backends) == ["app"]


@pytest.mark.parametrize(("changes", "before", "after"), [
    ({"10.0.0.1:80": DRAIN}, "weight=5  max_fails=0;", "down weight=5  max_fails=0;"),
    ({"10.0.0.2:80": MAINT}, "10.0.0.2:80;", "10.0.0.2:80 down;"),
    ({"10.0.0.2:80": PROBATION}, "10.0.0.2:80;", "10.0.0.2:80 down;"),
    ({"10.0.0.3:80": READY}, "down backup", "backup"),
])
def test_a_change_is_written_and_tested_and_then_reloaded(master, tmp_path, changes, before, after):
    tested, expected = tmp_path / "tested", TEXT.replace(before, after)
    master.opened("sh", "-c", f'cp {master.file} {tested}; echo "$0 $1" >> {tested}').apply("app", changes)
    assert tested.read_text(encoding="utf-8") == f"{expected}-t -q\n" and master.signals == [(os.getpid(), signal.SIGHUP, expected)]
    assert master.text() == expected and master.file.stat().st_mode & 0o777 == 0o640


def test_new_workers_are_waited_for_and_what_the_old_ones_still_do_counts_for_members_that_are_out(master):
    nginx, seen, began, master.lag = master.opened(), [], master.time.now, 6
    nginx.apply("app", {"10.0.0.1:80": DRAIN})
    assert [worker.pid for worker in master.workers if not worker.is_leaving] == [11, 12] and master.time.now - began == pytest.approx(0.3)
    for left in ([1, 2], [2], []):
        master.workers = [worker for worker in master.workers if not worker.is_leaving or worker.pid in left]
        members = nginx.read("app").backends["app"].members
        seen.append((members["10.0.0.1:80"].admin, members["10.0.0.1:80"].sessions, members["10.0.0.2:80"].sessions))
    assert seen == [(DRAIN, 2, 0), (DRAIN, 1, 0), (DRAIN, 0, 0)]


def test_its_own_reload_is_known_although_the_workers_seem_older_but_no_change_by_hand_after_it(master):
    master.skew = -1.0
    master.opened().apply("app", {"10.0.0.2:80": MAINT})
    again = master.opened()
    assert again.read("app").backends["app"].members["10.0.0.2:80"].admin == MAINT
    # The second at which a worker began is computed from the clock at each look.
    master.workers = [worker._replace(began=worker.began + 0.3) for worker in master.workers]
    assert again.read("app").backends["app"].members["10.0.0.2:80"].admin == MAINT
    master.workers = [worker._replace(ticks=worker.ticks + 1) for worker in master.workers]
    with pytest.raises(LoadBalancerError, match="was not reloaded since its file was changed"):
        again.read("app")
    master.workers = [worker._replace(ticks=worker.ticks - 1) for worker in master.workers]
    master.file.write_text(TEXT, encoding="utf-8")
    with pytest.raises(LoadBalancerError, match="was not reloaded since its file was changed"):
        again.read("app")


def test_a_member_that_is_out_already_costs_no_reload(master):
    nginx, seen = master.opened("false"), []
    for change in (DRAIN, MAINT, PROBATION):
        nginx.apply("app", {"10.0.0.3:80": change})
        seen.append(nginx.read("app").backends["app"].members["10.0.0.3:80"].admin)
    assert seen == [DRAIN, MAINT, DRAIN] and master.signals == [] and master.text() == TEXT


@pytest.mark.parametrize(("command", "reason"), [
    (["sh", "-c", "echo \"unknown\n  directive\" >&2; exit 1"], "does not accept its configuration, so it is not reloaded: unknown directive$"),
    (["false"], "does not accept its configuration, so it is not reloaded: $"),
    (["/none/nginx", "-p", "/etc/my nginx"], "cannot test its configuration by /none/nginx -p '/etc/my nginx' -t -q: "),
])
def test_a_configuration_that_nginx_does_not_accept_is_taken_back(master, command, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        master.opened(*command).apply("app", {"10.0.0.1:80": MAINT})
    assert master.signals == [] and master.text() == TEXT and master.file.stat().st_mode & 0o777 == 0o640


def test_a_master_that_may_not_be_told_is_an_error_and_the_file_is_taken_back_and_its_time(master, monkeypatch):
    def kill(pid, number):
        raise PermissionError(1, "Operation not permitted")
    monkeypatch.setattr(_nginx.os, "kill", kill)
    nginx = master.opened()
    with pytest.raises(LoadBalancerError, match="cannot be reloaded by this account: Operation not permitted"):
        nginx.apply("app", {"10.0.0.1:80": MAINT})
    assert master.text() == TEXT and nginx.read("app").backends["app"].members["10.0.0.1:80"].admin == READY


def test_workers_that_do_not_come_in_time_are_an_error_and_the_file_stays_because_they_may_come_yet(master, monkeypatch):
    monkeypatch.setattr(_nginx.os, "kill", lambda pid, number: None)
    with pytest.raises(LoadBalancerError, match="has not begun new workers within 20 s after its reload: see its error log"):
        master.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert "10.0.0.1:80 down" in master.text() and master.time.now == pytest.approx(Time().now + 20.0, abs=0.06)
    with pytest.raises(LoadBalancerError, match="was not reloaded since its file was changed"):
        master.opened().read("app")


def test_what_was_loaded_once_says_nothing_of_workers_that_began_since(master):
    """A run takes a member out; a person brings it back and reloads; the file is as the run had left it once, and the workers are others."""
    master.opened().apply("app", {"10.0.0.1:80": MAINT})
    as_the_run_left_it = master.text()
    master.workers = [Worker(21, False, master.file.stat().st_mtime + 2)]
    master.file.write_text(as_the_run_left_it, encoding="utf-8")
    os.utime(master.file, (master.workers[0].began + 5,) * 2)
    with pytest.raises(LoadBalancerError, match="was not reloaded since its file was changed"):
        master.opened().read("app")


def test_without_a_worker_nothing_is_believed(master):
    master.workers = []
    with pytest.raises(LoadBalancerError, match="has no worker that takes requests"):
        master.opened().read("app")


def test_a_server_that_is_not_there_is_named_before_anything_is_written(master):
    with pytest.raises(LoadBalancerError, match="has no member nobody in app: it has 10.0.0.1:80"):
        master.opened().apply("app", {"nobody": MAINT})
    assert master.text() == TEXT and master.signals == []


@pytest.mark.parametrize("text", [
    "upstream app { server a:1; server b:1; }",
    "upstream app {\n  # {old}\n  server a:1; # }\n  server b:1 # the first\n    weight=2;\n}\n",
    "# upstream old {\nupstream app {\n server a:1;\n server b:1;\n}\n",
])
def test_comments_and_one_line_for_several_servers_are_understood(text):
    assert parse_upstreams(text) == {"app": {"a:1": False, "b:1": False}}
    out = with_servers(text, "app", {"a:1": True, "b:1": True})
    assert parse_upstreams(out) == {"app": {"a:1": True, "b:1": True}}
    assert with_servers(out, "app", {"a:1": False, "b:1": False}) == text


@pytest.mark.parametrize("content", [None, "", "nginx"])
def test_a_master_that_is_not_there_is_said(master, content):
    master.pid_file.unlink() if content is None else master.pid_file.write_text(content, encoding="ascii")
    with pytest.raises(LoadBalancerError, match=f"has no process id in {master.pid_file} .*: is it running here, and is that the pid_file"):
        master.opened().read("app")


@pytest.mark.parametrize(("endpoint", "settings", "headers", "reason"), [
    ("http://127.0.0.1", {}, {}, "is no endpoint: write file: and the absolute path of the file with the upstream blocks"),
    ("file:/x", {}, {"X-Token": "x"}, r"lb1 \(file:/x\) has headers, and nginx has no API"),
    ("file:/x", {"pid": "/run/nginx.pid"}, {}, "lb1 has settings pid, which kind=nginx has not: it has command, pid_file"),
    ("file:/x", {"command": "nginx"}, {}, "lb1 has the setting command='nginx', which is no list"),
])
def test_what_makes_no_sense_is_refused(endpoint, settings, headers, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        Nginx("lb1", endpoint, settings, headers)


def test_the_command_tells_the_words_and_the_reload(master):
    assert master.opened("nginx", "-p", "/my nginx").command("app", {"10.0.0.1:80": READY, "10.0.0.2:80": MAINT}) == (
        f"in {master.file} write 10.0.0.1:80 without down, 10.0.0.2:80 with down; then nginx -p '/my nginx' -s reload")


def test_the_workers_of_a_master_are_its_children_that_are_called_so():
    titles = ("nginx: worker process", "nginx: worker process is shutting down", "nginx: cache manager process")
    children = [subprocess.Popen([title, "60"], executable=shutil.which("sleep")) for title in titles]
    try:
        found = {worker.pid: worker for worker in workers_of(os.getpid())}
        assert {pid: worker.is_leaving for pid, worker in found.items()} == {children[0].pid: False, children[1].pid: True}
        assert abs(found[children[0].pid].began - time.time()) < 5.0 and workers_of(children[0].pid) == []
    finally:
        for child in children:
            child.kill()
            child.wait()
