# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's upstreams in a file, with workers that only this test knows. No signal leaves this process."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.flock import exclusive
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.drain import Request, TrafficError, apply
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import DRAIN, MAINT, READY, RECHECK, UNCHECKED, LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx import balancer as nginx_balancer
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx.balancer import NOTE, UNPROVEN, Nginx
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx.processes import Worker
from fake_load_balancer import Time
from nginx_file import TEXT

OLDER = 99_999_999


class Master:
    """An nginx, which shows its file as it is. A reload leaves the old workers to end, and begins new ones after `lag` looks."""

    def __init__(self, folder):
        self.file, self.pid_file, self.time = folder / "upstreams.conf", folder / "nginx.pid", Time()
        self.file.write_text(TEXT, encoding="utf-8")
        self.file.chmod(0o640)
        self.pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
        self.signals, self.coming, self.lag, self.born = [], [], 0, 1000
        self.workers = [self.worker(1), self.worker(2)]
        self.shown = ["sh", "-c", f"printf '# configuration file %s:\\n' {self.file}; cat {self.file}; echo"]

    def worker(self, pid, is_leaving=False, master=0):
        self.born += 1
        return Worker(pid, is_leaving, self.born, master or os.getpid())

    def look(self, master):
        assert master == os.getpid()
        if self.coming and not self.lag:
            self.workers, self.coming = [worker._replace(is_leaving=True) for worker in self.workers] + self.coming, []
        self.lag -= bool(self.coming)
        return list(self.workers)

    def kill(self, pid, number):
        self.signals.append((pid, number, self.text()))
        self.coming = [self.worker(pid) for pid in (11, 12)]

    def opened(self, *command):
        return Nginx("lb1", f"file:{self.file}", {"command": list(command or self.shown), "pid_file": str(self.pid_file)}, {},
                     self.time.clock.steady, self.time.sleep, self.look)

    def loaded(self, left=()):
        """Its workers have read the file, by a reload of ours, and those before have ended, but for some."""
        self.opened().synchronize("app", ())
        self.workers, self.signals = [worker for worker in self.workers if not worker.is_leaving or worker.pid in left], []

    def text(self):
        return self.file.read_text(encoding="utf-8")

    def drained(self, *members, **options):
        return apply([self.opened()], Request("app", members or ("10.0.0.1:80",), "drained", **options), self.time.clock)


@pytest.fixture(name="master")
def _master(tmp_path, monkeypatch):
    master = Master(tmp_path)
    monkeypatch.setattr(nginx_balancer.os, "kill", master.kill)
    return master


def test_what_is_seen_of_the_members(master):
    master.loaded(left=(2,))
    view = master.opened().read("app")
    assert view.version == "" and list(view.backends) == ["app"] and view.backends["app"].live == 2
    members = view.backends["app"].members
    assert {name: (member.address, member.admin, member.sessions) for name, member in members.items()} == {
        "10.0.0.1:80": ("10.0.0.1:80", READY, 0), "10.0.0.2:80": ("10.0.0.2:80", READY, 0), "10.0.0.3:80": ("10.0.0.3:80", MAINT, 1)}
    assert {(member.health, member.probed, member.confirmed, member.note) for member in members.values()} == {(UNCHECKED, False, True, NOTE)}
    assert [(member.weight, member.backup) for member in members.values()] == [(5, False), (1, False), (1, True)]
    assert view.backends["app"].unproven == UNPROVEN and view.backends["app"].refusals == view.backends["app"].warnings == ()
    assert list(master.opened().read().backends) == ["web", "app"]


def test_a_backup_is_no_capacity(master):
    master.file.write_text(TEXT.replace("down backup", "backup").replace("10.0.0.2:80;", "10.0.0.2:80 down;"), encoding="utf-8")
    assert master.opened().read("app").backends["app"].live == 1
    with pytest.raises(TrafficError, match=r"on lb1 0 other members are live besides 10.0.0.1:80, fewer than min_live=1"):
        master.drained(min_live=1, timeout=1)


def test_one_that_is_drained_by_hand_is_no_capacity(master):
    master.file.write_text(TEXT.replace("server 10.0.0.2:80;", "server 10.0.0.2:80 drain;"), encoding="utf-8")
    assert {name: member.live for name, member in master.opened().read("app").backends["app"].members.items()} == {
        "10.0.0.1:80": True, "10.0.0.2:80": False, "10.0.0.3:80": False}


def test_whose_connections_are_waited_for_is_said(master):
    master.loaded()
    with pytest.raises(TrafficError, match=r"is not drained on lb1 .in drain, 2 sessions, 0 queued: workers from before a reload .11, 12. stay until the last "
                                           "of their connections ends, such as a WebSocket, of any upstream: ss -tnp shows them. after 1 s"):
        master.drained(timeout=1)


@pytest.mark.parametrize("ask", [lambda nginx: nginx.read("ap"), lambda nginx: nginx.apply("ap", {"10.0.0.1:80": MAINT})])
def test_an_unknown_upstream_is_an_error_that_names_those_there_are(master, ask):
    with pytest.raises(LoadBalancerError) as error:
        ask(master.opened())
    assert str(error.value) == f"lb1 (file:{master.file}) has no upstream 'ap' in its file: it has app, web"
    assert master.signals == [] and master.text() == TEXT


def test_of_workers_that_no_reload_of_ours_began_nothing_is_known_until_there_is_one(master):
    """Nothing tells what they have read: a file may come with any time, and a worker that died is restarted with what the master has read."""
    pool = master.opened().read("app").backends["app"]
    assert pool.members["10.0.0.3:80"].sessions == 2 and pool.live == 2
    assert pool.warnings == (f"whether its workers have read the current {master.file} is unknown: nginx is reloaded before a member is changed",)
    with pytest.raises(TrafficError, match=r"10.0.0.3:80 is not drained on lb1 .in maint, 2 sessions"):
        master.drained("10.0.0.3:80", timeout=1)
    assert [number for _pid, number, _text in master.signals] == [signal.SIGHUP] and master.text() == TEXT
    master.workers = [worker for worker in master.workers if not worker.is_leaving]
    out = master.drained("10.0.0.3:80")
    assert not out.changed and len(master.signals) == 1 and out.proof["lb1"]["10.0.0.3:80"]["sessions"] == 0


@pytest.mark.parametrize("ready", ["10.0.0.1:80", "10.0.0.3:80"])
def test_whoever_comes_back_is_in_what_the_workers_have_read(master, ready):
    apply([master.opened()], Request("app", (ready,), "ready"), master.time.clock)
    assert master.signals and master.signals[-1][2] == master.text()


@pytest.mark.parametrize(("is_written", "reloads"), [(False, 1), (True, 2)])
def test_a_worker_that_is_begun_anew_in_a_drain_has_read_what_the_others_have_unless_the_file_was_written(master, is_written, reloads):
    master.loaded()
    looks, look = [], master.look

    def dying(pid):
        looks.append(pid)
        if len(looks) == 25:
            master.workers = [worker for worker in master.workers if worker.pid != 12] + [master.worker(13)]
            if is_written:
                master.file.write_text(master.text(), encoding="utf-8")
                os.utime(master.file, (1.0, 1.0))
        if len(looks) == 60:
            master.workers = [worker for worker in master.workers if not worker.is_leaving]
        return look(pid)
    master.look = dying
    out = master.drained()
    assert len(master.signals) == reloads and out.proof["lb1"]["10.0.0.1:80"]["sessions"] == 0 and len(looks) >= 60


def test_somebody_else_who_reloads_all_the_time_does_not_stop_a_drain(master):
    """There is always a worker that leaves, and each of them that began after the reload has read that the member is down."""
    master.loaded()
    looks, look = [], master.look

    def reloading(pid):
        looks.append(pid)
        if len(looks) > 25 and not len(looks) % 10:
            master.workers = [worker._replace(is_leaving=True) for worker in master.workers if not worker.is_leaving] + [master.worker(100 + len(looks))]
        return look(pid)
    master.look = reloading
    out = master.drained()
    assert len(master.signals) == 1 and out.proof["lb1"]["10.0.0.1:80"]["sessions"] == 0 and any(worker.is_leaving for worker in master.workers)


def test_what_is_left_of_before_one_member_s_way_out_says_nothing_of_another_s(master):
    master.loaded()
    master.opened().apply("app", {"10.0.0.1:80": MAINT})
    first = [worker for worker in master.workers if worker.pid in (11, 12)]
    master.workers = [worker for worker in master.workers if not worker.is_leaving]
    nginx = master.opened()
    nginx.apply("app", {"10.0.0.2:80": MAINT})
    assert {worker.pid for worker in master.workers if worker.is_leaving} == {worker.pid for worker in first}

    def left():
        members = nginx.read("app").backends["app"].members
        return [members[f"10.0.0.{number}:80"].sessions for number in (1, 2, 3)]
    assert left() == [0, 2, 0]
    # One that came in again has its requests in all of them.
    nginx.apply("app", {"10.0.0.1:80": READY})
    nginx.apply("app", {"10.0.0.1:80": MAINT})
    assert left()[0] == len([worker for worker in master.workers if worker.is_leaving]) >= 2


def test_the_workers_of_a_reload_of_somebody_else_are_not_taken_for_ours(master, monkeypatch):
    """They began a moment before ours, and have read the file of before."""
    kill, look, others = master.kill, master.look, []

    def slow(pid, number):
        others.append(master.worker(50))
        kill(pid, number)
        master.lag = 8

    def looking(pid):
        if others:
            master.workers = [worker._replace(is_leaving=True) for worker in master.workers] + [others.pop()]
        return look(pid)
    monkeypatch.setattr(nginx_balancer.os, "kill", slow)
    master.look = looking
    monkeypatch.setattr(nginx_balancer, "STEADY_SECONDS", 1.0)
    nginx = master.opened()
    nginx.apply("app", {"10.0.0.1:80": MAINT})
    assert [worker.pid for worker in master.workers if not worker.is_leaving] == [11, 12]


def test_a_change_that_another_run_has_under_way_is_waited_for(master):
    master.loaded()
    nginx, seen, kept = master.opened(), [], master.file.parent / ".upstreams.conf.loaded"
    kept.rename(master.file.parent / "kept")
    with exclusive(str(master.file.parent / ".upstreams.conf.lock"), 0):
        reader = threading.Thread(target=lambda: seen.append(nginx.read("app")), daemon=True)
        reader.start()
        reader.join(0.3)
        assert reader.is_alive()
        (master.file.parent / "kept").rename(kept)
    reader.join(30)
    assert list(seen[0].backends) == ["app"] and seen[0].backends["app"].warnings == ()


@pytest.mark.parametrize(("changes", "before", "after"), [
    ({"10.0.0.1:80": DRAIN}, "weight=5  max_fails=0;", "down weight=5  max_fails=0;"),
    ({"10.0.0.2:80": MAINT}, "10.0.0.2:80;", "10.0.0.2:80 down;"),
    ({"10.0.0.2:80": RECHECK}, "10.0.0.2:80;", "10.0.0.2:80 down;"),
    ({"10.0.0.3:80": READY}, "down backup", "backup"),
])
def test_a_change_is_written_and_tested_and_then_reloaded(master, tmp_path, changes, before, after):
    tested, expected = tmp_path / "tested", TEXT.replace(before, after)
    script = f'cp {master.file} {tested}; echo "$0 $1" >> {tested}; {master.shown[2]}'
    master.opened("sh", "-c", script).apply("app", changes)
    assert tested.read_text(encoding="utf-8") == f"{expected}-T -q\n" and master.signals == [(os.getpid(), signal.SIGHUP, expected)]
    assert master.text() == expected and master.file.stat().st_mode & 0o777 == 0o640


def test_new_workers_are_waited_for_and_what_the_old_ones_still_do_counts_for_members_that_are_out(master):
    nginx, seen, began, master.lag = master.opened(), [], master.time.now, 15
    nginx.apply("app", {"10.0.0.1:80": DRAIN})
    assert [worker.pid for worker in master.workers if not worker.is_leaving] == [11, 12] and master.time.now - began == pytest.approx(0.5, abs=0.06)
    for left in ([1, 2], [2], []):
        master.workers = [worker for worker in master.workers if not worker.is_leaving or worker.pid in left]
        members = nginx.read("app").backends["app"].members
        seen.append((members["10.0.0.1:80"].admin, members["10.0.0.1:80"].sessions, members["10.0.0.2:80"].sessions))
    assert seen == [(DRAIN, 2, 0), (DRAIN, 1, 0), (DRAIN, 0, 0)]


def test_its_own_reload_is_known_and_no_change_by_hand_after_it(master):
    master.opened().apply("app", {"10.0.0.2:80": MAINT})
    again = master.opened()

    def read():
        pool = again.read("app").backends["app"]
        return pool.members["10.0.0.2:80"].admin, pool.warnings == ()
    assert read() == (MAINT, True)
    # Somebody has touched it, and may have written it twice.
    os.utime(master.file, (1.0, 1.0))
    assert read() == (MAINT, False)
    again.synchronize("app", ())
    assert read() == (MAINT, True)
    master.file.write_text(TEXT, encoding="utf-8")
    assert read() == (READY, False)


def test_a_member_that_is_out_already_costs_no_reload(master):
    master.loaded()
    nginx, seen = master.opened(), []
    for change in (DRAIN, MAINT, RECHECK):
        nginx.apply("app", {"10.0.0.3:80": change})
        seen.append(nginx.read("app").backends["app"].members["10.0.0.3:80"].admin)
    assert seen == [DRAIN, MAINT, DRAIN] and master.signals == [] and master.text() == TEXT


@pytest.mark.parametrize(("command", "reason"), [
    (["sh", "-c", "echo \"unknown\n  directive\" >&2; exit 1"],
     "(?s)does not accept its configuration, so it is not reloaded: sh -c .* says unknown directive$"),
    (["false"], "does not accept its configuration, so it is not reloaded: false -T -q says $"),
    (["/none/nginx", "-p", "/etc/my nginx"], "does not accept its configuration, .*: /none/nginx -p '/etc/my nginx' -T -q cannot be run: "),
    (["true"], "does not read .*/upstreams.conf, so it is not reloaded: true -T shows no file with that text"),
    (["printf", "# configuration file /etc/nginx/upstreams.conf:\nupstream app { server 10.0.0.1:80; }\n\n"], "does not read .*/upstreams.conf, so it is not"),
])
def test_a_configuration_that_nginx_does_not_accept_or_read_is_taken_back(master, command, reason):
    os.utime(master.file, (1000.0, 1000.0))
    with pytest.raises(LoadBalancerError, match=reason):
        master.opened(*command).apply("app", {"10.0.0.1:80": MAINT})
    assert master.signals == [] and master.text() == TEXT and master.file.stat().st_mode & 0o777 == 0o640 and master.file.stat().st_mtime == 1000.0
    assert len(master.opened(*command).read("app").backends["app"].refusals) == 1


def test_what_was_known_holds_on_when_a_change_is_taken_back(master):
    master.loaded()
    with pytest.raises(LoadBalancerError, match="does not accept its configuration"):
        master.opened("false").apply("app", {"10.0.0.1:80": MAINT})
    assert master.opened().read("app").backends["app"].warnings == () and master.signals == []


def test_a_master_that_may_not_be_reported_is_an_error_and_the_file_is_taken_back_and_its_time(master, monkeypatch):
    def kill(pid, number):
        raise PermissionError(1, "Operation not permitted")
    monkeypatch.setattr(nginx_balancer.os, "kill", kill)
    nginx = master.opened()
    with pytest.raises(LoadBalancerError, match="cannot be reloaded by this account: Operation not permitted"):
        nginx.apply("app", {"10.0.0.1:80": MAINT})
    assert master.text() == TEXT and nginx.read("app").backends["app"].members["10.0.0.1:80"].admin == READY


def test_workers_that_do_not_come_in_time_are_an_error_and_the_file_stays_because_they_may_come_yet(master, monkeypatch):
    idle = iter([True])
    monkeypatch.setattr(nginx_balancer.os, "kill", lambda pid, number: None)
    monkeypatch.setattr(nginx_balancer, "is_idle", lambda pid: next(idle, False))
    with pytest.raises(LoadBalancerError, match="has not begun new workers within 20 s after its reload: see its error log"):
        master.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert "10.0.0.1:80 down" in master.text() and master.time.now == pytest.approx(Time().now + 20.0, abs=0.06)
    assert master.opened().read("app").backends["app"].members["10.0.0.1:80"].sessions == 2


def test_a_reload_whose_end_was_not_seen_is_followed_by_another_one(master, monkeypatch):
    """The file is put back, and the workers have read what it says now; the master may be reading what it said in between."""
    master.loaded()
    idle = iter([True])
    with monkeypatch.context() as patched:
        patched.setattr(nginx_balancer.os, "kill", lambda pid, number: None)
        patched.setattr(nginx_balancer, "is_idle", lambda pid: next(idle, False))
        with pytest.raises(LoadBalancerError, match="has not begun new workers within 20 s"):
            master.opened().apply("app", {"10.0.0.1:80": MAINT})
    master.opened().apply("app", {"10.0.0.1:80": READY})
    assert master.signals == [(os.getpid(), signal.SIGHUP, TEXT)] and master.text() == TEXT


def test_a_reload_that_fails_is_reported_soon_and_leaves_what_is_known(master, monkeypatch):
    master.loaded()
    monkeypatch.setattr(nginx_balancer.os, "kill", lambda pid, number: None)
    with pytest.raises(TrafficError, match=r"has not taken its configuration at a reload, and still runs with the previous one.*state was restored"):
        master.drained()
    assert master.text() == TEXT and master.time.now == pytest.approx(Time().now + 2.0, abs=0.3)
    assert master.opened().read("app").backends["app"].warnings == ()


def test_a_worker_that_is_begun_anew_after_a_reload_that_failed_is_no_new_configuration(master, monkeypatch):
    """It has what the master has, which is the configuration of before."""
    master.loaded()
    master.workers = master.workers[:1]
    looks, look = [], master.look

    def dying(pid):
        looks.append(pid)
        if len(looks) == 12:
            master.workers = [master.worker(13)]
        return look(pid)
    master.look = dying
    monkeypatch.setattr(nginx_balancer.os, "kill", lambda pid, number: master.signals.append(number))
    with pytest.raises(LoadBalancerError, match="has not taken its configuration"):
        master.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert len(master.signals) == 2 and len(looks) > 12


def test_nobody_is_told_to_reload_who_is_reading_what_stood_there_before(master, monkeypatch):
    """Somebody else's reload: its workers begin after ours was asked for, and have not read the change."""
    looks = iter([False] * 3)

    def is_waiting(pid):
        if next(looks, True):
            return True
        master.workers = [master.worker(pid) for pid in (21, 22)]
        return False
    monkeypatch.setattr(nginx_balancer, "is_idle", is_waiting)
    master.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert next(looks, None) is None and [worker.pid for worker in master.workers if not worker.is_leaving] == [11, 12]
    assert master.opened().read("app").backends["app"].warnings == ()


def test_a_master_that_reads_for_too_long_is_not_told_and_the_file_is_taken_back(master, monkeypatch):
    monkeypatch.setattr(nginx_balancer, "is_idle", lambda pid: False)
    with pytest.raises(LoadBalancerError, match="has not finished a reload by another program within 20 s, so it is not reloaded"):
        master.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert master.text() == TEXT and master.signals == []


def test_a_file_that_changes_while_it_is_read_is_not_known_to_be_read(master):
    kill = master.kill

    def changing(pid, number):
        kill(pid, number)
        master.file.write_text(TEXT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nginx_balancer.os, "kill", changing)
        master.opened().apply("app", {"10.0.0.1:80": MAINT})
    assert "is unknown" in master.opened().read("app").backends["app"].warnings[0]


def test_what_was_loaded_once_says_nothing_of_workers_that_began_since(master):
    """A run takes a member out; a person brings it back and reloads; the file is as the run had left it once, and the workers are others."""
    master.opened().apply("app", {"10.0.0.1:80": MAINT})
    as_the_run_left_it = master.text()
    master.workers = [master.worker(21)]
    master.file.write_text(as_the_run_left_it, encoding="utf-8")
    pool = master.opened().read("app").backends["app"]
    assert pool.members["10.0.0.1:80"].sessions == 1 and "is unknown" in pool.warnings[0]


@pytest.mark.parametrize("is_leaving", [False, True])
def test_workers_of_an_older_binary_s_master_count_and_one_that_takes_requests_is_refused(master, is_leaving):
    master.loaded()
    master.workers.append(master.worker(5, is_leaving, master=OLDER))
    pool = master.opened().read("app").backends["app"]
    assert pool.members["10.0.0.3:80"].sessions == 1
    assert pool.refusals == (() if is_leaving else (
        f"an older master process ({OLDER}) takes requests, too, with an earlier configuration: end the upgrade of its binary (kill -QUIT {OLDER})",))


def test_a_worker_without_a_master_is_refused(master):
    master.loaded()
    master.workers.append(master.worker(5)._replace(master=0))
    assert master.opened().read("app").backends["app"].refusals == (
        "workers without a master process take requests, and read nothing any more: let them end (kill -QUIT 5)",)


def test_a_configuration_with_which_nothing_is_proven_is_refused_before_anything_is_changed(master):
    master.file.write_text(TEXT.replace("least_conn;", "fair;"), encoding="utf-8")
    before = master.text()
    with pytest.raises(TrafficError, match=r"no drain of app can be proven. lb1: app has fair, for which it is unknown"):
        master.drained()
    assert master.text() == before and master.signals == []


@pytest.mark.parametrize("text", ["upstream app { server a:1;", "upstream app { server a:1; }\nupstream app { server b:1; }"])
def test_a_file_that_is_none_is_refused(master, text):
    master.file.write_text(text, encoding="utf-8")
    with pytest.raises(LoadBalancerError, match=f"is configured in {master.file}, which cannot be understood: it "):
        master.opened().read("app")


def test_without_a_worker_nothing_is_believed(master):
    for workers in ([], [master.worker(5, master=OLDER)]):
        master.workers = workers
        with pytest.raises(LoadBalancerError, match="has no worker that takes requests"):
            master.opened().read("app")


def test_a_server_that_is_not_there_is_named_before_anything_is_written(master):
    with pytest.raises(LoadBalancerError, match=r"has no member nobody in app: it has 10.0.0.1:80"):
        master.opened().apply("app", {"nobody": MAINT})
    assert master.text() == TEXT and master.signals == []


@pytest.mark.parametrize("content", [None, "", "nginx"])
def test_a_master_that_is_not_there_is_said(master, content):
    master.pid_file.unlink() if content is None else master.pid_file.write_text(content, encoding="ascii")
    with pytest.raises(LoadBalancerError, match=f"has no process id in {master.pid_file} .*: is it running here, and is that the pid_file"):
        master.opened().read("app")


@pytest.mark.parametrize(("endpoint", "settings", "headers", "reason"), [
    ("http://127.0.0.1", {}, {}, "is no endpoint: write file: and the absolute path of the file with the upstream blocks"),
    ("file:/x", {}, {"X-Token": "x"}, r"lb1 \(file:/x\) has headers, and nginx has no API"),
    ("file:/x", {"pid": "/run/nginx.pid"}, {}, "lb1 has unknown settings pid for kind=nginx: it has command, pid_file"),
    ("file:/x", {"command": "nginx"}, {}, "lb1 has the setting command='nginx', which is no list"),
])
def test_what_makes_no_sense_is_refused(endpoint, settings, headers, reason):
    with pytest.raises(LoadBalancerError, match=reason):
        Nginx("lb1", endpoint, settings, headers)


def test_the_command_tells_the_words_and_the_reload(master):
    assert master.opened("nginx", "-p", "/my nginx").command("app", {"10.0.0.1:80": READY, "10.0.0.2:80": MAINT}) == (
        f"in {master.file} write 10.0.0.1:80 without down, 10.0.0.2:80 with down; then nginx -p '/my nginx' -s reload")
