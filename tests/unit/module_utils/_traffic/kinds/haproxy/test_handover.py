# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hand-over would lose, from what an HAProxy answers."""

from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import proc
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.clock import Clock
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import MAINT, READY, Backend, LoadBalancerError, Member, View
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy import handover
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.handover import (
    changed_states, forgotten_tables, hand_over, lost_entries, require_possible,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.master import Running

BEFORE = Running("2.8", 8, 7, ("/x/haproxy", "-W"), "/x/haproxy", "/etc/haproxy")
LISTED = "# id (file) description\n1 ({path}) pattern loaded from file '{path}' used by map at file '/h.cfg' line 3. curr_ver=0\n\n"
TABLES = "# table: a, type: ip, size:1024, used:1\n# table: b/c, type: string, size:10, used:20\n# table: d, type: ip, size:1, used:0\n\n"
PEERS = "0x1: id=p disabled=0\n  0x2: id=one(local,inactive) addr=127.0.0.1:1\n  shared tables:\n  table:0xfb10230 id=a update=2\n\n"


class Fake(Haproxy):
    """Answers from a dictionary; an exception in it is raised."""

    def __init__(self, **answers):
        super().__init__("lb1", "unix:/run/lb1")
        self.answers = {"show_map": "\n", "show_acl": "\n", **answers}

    def tell_once(self, line):
        answer = self.answers[line.replace(" ", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer


def with_map(path, answer):
    return Fake(**{"show_map": LISTED.format(path=path), f"show_map_{path}": answer})


def test_a_master_that_ignores_the_signal_yet_is_waited_for_and_then_named(monkeypatch):
    now, sent, catching = [0.0], [], iter([False] * 3 + [True] + [False] * 99)
    clock = Clock(steady=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(handover, "require_possible", lambda *_given: None)
    monkeypatch.setattr(handover, "_wait_for_another", lambda *_given: BEFORE)
    monkeypatch.setattr(handover.proc, "catches", lambda pid, number: (pid, number) == (7, signal.SIGUSR2) and next(catching))
    monkeypatch.setattr(handover.os, "kill", lambda *given: sent.append(given))
    balancer = Fake()
    balancer.read = lambda: View("2.8", {})
    assert hand_over(balancer, BEFORE, 2, clock) is BEFORE and sent == [(7, signal.SIGUSR2)] and now[0] > 0.2
    with pytest.raises(LoadBalancerError, match=r"lb1 .* has a master, process 7, that does not take SIGUSR2: it is still starting.*Nothing was changed"):
        hand_over(balancer, BEFORE, 2, clock)
    assert len(sent) == 1


def test_a_signal_is_caught_where_there_is_a_handler_for_it():
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        assert not proc.catches(os.getpid(), signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, lambda *_given: None)
        assert proc.catches(os.getpid(), signal.SIGUSR2) and not proc.catches(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_file_that_says_the_same_is_not_lost_and_one_elsewhere_is_not_looked_at(tmp_path):
    path = tmp_path / "a.map"
    path.write_bytes(b"active green\r\n")
    assert lost_entries(with_map(str(path), "0x1 active green\n\n"), "/") == []
    assert lost_entries(Fake(show_map=LISTED.format(path="a.map"), **{"show_map_a.map": "0x1 active green\n\n"}), str(tmp_path)) == []
    assert lost_entries(with_map("/nowhere/a.map", "0x1 active green\n\n"), "/") == []


def test_bytes_that_are_no_utf_8_are_the_same_in_the_process_and_in_the_file(tmp_path):
    """And no result of a module has them as surrogates, which Ansible refuses."""
    path = tmp_path / "a.map"
    path.write_bytes(b"# gr\xfcn\nGr\xf6\xdfe green\n")
    assert lost_entries(with_map(str(path), "0x1 Gr\udcf6\udcdfe green\n\n"), "/") == []
    assert lost_entries(with_map(str(path), "0x1 Gr\udcf6\udcdfe bl\udcfc\n\n"), "/") == [f"{path}: Gr\ufffd\ufffde is bl\ufffd and would be green"]
    (tmp_path / "gr\udcfcn.map").write_bytes(b"a b\n")
    [reported] = lost_entries(with_map(str(tmp_path / "gr\udcfcn.map"), "0x1 a b\n\n"), "/")
    assert "gr\ufffdn.map: cannot be compared" in reported and reported.encode("utf-8")


def test_what_would_be_lost_is_named_and_at_most_five_of_it(tmp_path):
    path = tmp_path / "a.map"
    path.write_text("active blue\n", encoding="ascii")
    many = "".join(f"0x1 key{number} x\n" for number in range(7))
    assert lost_entries(with_map(str(path), "0x1 active green\n\n"), "/") == [f"{path}: active is green and would be blue"]
    [reported] = lost_entries(with_map(str(path), f"{many}\n"), "/")
    assert reported.startswith(f"{path}: key0 is x and would be absent, ") and reported.endswith("and 3 more") and reported.count("would be") == 5


@pytest.mark.parametrize(("content", "answer"), [(b"\x00", "0x1 a b\n\n"), (b"a b\n", LoadBalancerError("lb1 answers too much"))])
def test_what_cannot_be_compared_is_refused_or_told(tmp_path, monkeypatch, content, answer):
    path = tmp_path / "a.map"
    path.write_bytes(content)
    monkeypatch.setattr(handover, "require_accepted", lambda balancer, before: None)
    with pytest.raises(LoadBalancerError, match=f"is not handed over, .*{path}: cannot be compared with what the process has: .*force=true uses"):
        hand_over(with_map(str(path), answer), BEFORE, 1)
    reported: list[str] = []
    require_possible(with_map(str(path), answer), BEFORE, reported.append)
    assert len(reported) == 1 and "cannot be compared" in reported[0]


def test_a_stick_table_without_a_peer_is_reported():
    [reported] = forgotten_tables(Fake(show_table=TABLES, show_peers=PEERS))
    assert "an empty stick table b/c, which has 20 entries" in reported
    assert len(forgotten_tables(Fake(show_table=TABLES, show_peers="\n"))) == 2 and forgotten_tables(Fake(show_table="\n", show_peers="\n")) == []


def test_a_state_and_a_weight_that_were_lost_are_named():
    def view(**members):
        return View("2.8", {"app": Backend(members)})

    def member(admin, weight=100):
        return Member(address="", admin=admin, health="up", weight=weight)
    before = view(a=member(MAINT), b=member(READY, 10), c=member(READY), d=member(READY))
    after = view(a=member(READY), b=member(READY), c=member(READY))
    assert changed_states(before, before) == []
    assert changed_states(before, after) == ["app/a was maint and is ready", "app/b had weight 10 and has 100", "app/d was ready and is gone"]
