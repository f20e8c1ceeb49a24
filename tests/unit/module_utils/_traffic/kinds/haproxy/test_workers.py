# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes that a reload has left at work: who they are, and what of their sessions counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import UnavailableError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import READY, UP, Backend, Member, View
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.stats import AnswerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.workers import OldWorkers, parse_streams, parse_workers

PROCESSES = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
1162            master          5 [failed: 0]   0d00h02m07s     2.8.25-5cf5d0683
# workers
1271            worker          1               0d00h00m00s     2.8.25-5cf5d0683
# old workers
1233            worker          3               0d00h00m43s     2.8.25-5cf5d0683
1240            worker          2               0d00h00m09s     2.8.25-5cf5d0683
# programs

"""
HEADER = "# pxname,svname,qcur,scur,status,type,\n"
VIEW = View("2.8.25", {"app": Backend({name: Member(name, READY, UP, sessions=1) for name in ("s1", "s2")}, "SRV")})
STREAM = "0x2f0e{number}: proto=tcpv4 src=127.0.0.1:{number} fe=users be=app srv={server} ts=00 epoch=0 age=1s calls=2 rate=0 cpu=0 lat=0"
OWN = "0x2f0ec620: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s calls=1"


def stat(*servers, clients=0):
    """What a worker says of its frontend and of servers such as ``("s1", 3)``: name, sessions, and perhaps queued and status."""
    rows = [f"users,FRONTEND,,{clients},STOP,0,"]
    for name, sessions, *more in servers:
        queued, status = (*more, *(0, "UP")[len(more):])
        rows.append(f"app,{name},{queued},{sessions},{status},2,")
    rows.append("app,BACKEND,0,99,UP,1,")
    return HEADER + "\n".join(rows) + "\n\n"


def test_current_and_old_workers_are_told_apart():
    assert parse_workers(PROCESSES) == ((1271,), (1233, 1240))
    assert parse_workers(PROCESSES.replace("# old workers\n", "")) == ((1271, 1233, 1240), ())


@pytest.mark.parametrize("answer", ["", "Unknown command: 'show proc'", "\n"])
def test_what_is_no_masters_answer_is_refused(answer):
    with pytest.raises(AnswerError, match="is this the master's socket"):
        parse_workers(answer)


def master(answers):
    """A master process that answers so, and what it was asked."""
    asked = []

    def ask(line):
        asked.append(line)
        return answers[line]

    return OldWorkers(ask, ask), asked


def members_of(workers):
    return workers.added_to(VIEW, "app").backends["app"].members


def test_their_sessions_are_added_and_foreign_servers_do_not_count():
    workers, asked = master({
        "show proc": PROCESSES,
        "@!1233 show stat -1 7 -1": stat(("s1", 3, 2), ("gone", 1, 1), clients=4),
        "@!1233 show sess": "\n".join(STREAM.format(number=1000 + number, server="s1") for number in range(4)),
        "@!1240 show stat -1 7 -1": stat(),
    })
    assert {name: (member.sessions, member.queued, member.lingering) for name, member in members_of(workers).items()} == {"s1": (4, 2, 0), "s2": (1, 0, 0)}
    assert asked == ["show proc", "@!1233 show stat -1 7 -1", "@!1233 show sess", "@!1240 show stat -1 7 -1"]


def test_connections_that_are_busy_with_nobody_may_bring_a_member_more_unless_it_was_in_maintenance_there():
    workers, _asked = master({
        "show proc": PROCESSES,
        "@!1233 show stat -1 7 -1": stat(("s1", 1), ("s2", 0, 0, "MAINT"), clients=4),
        "@!1240 show stat -1 7 -1": stat(("s1", 0, 0, "DRAIN"), ("s2", 0), clients=2),
    })
    assert {name: member.lingering for name, member in members_of(workers).items()} == {"s1": 5, "s2": 2}


def test_where_one_connection_has_several_requests_the_streams_are_counted():
    streams = [STREAM.format(number=1001, server="s1")] * 3 + [STREAM.format(number=1002, server="<none>"), OWN]
    workers, asked = master({
        "show proc": PROCESSES,
        "@!1233 show stat -1 7 -1": stat(("s1", 3), ("s2", 0), clients=3),
        "@!1233 show sess": "\n".join(streams) + "\n\n",
        "@!1240 show stat -1 7 -1": stat(clients=0),
    })
    assert members_of(workers)["s2"].lingering == 2 and asked.count("@!1233 show sess") == 1
    assert [(stream.source, stream.server) for stream in parse_streams("\n".join(streams))] == [
        *[("127.0.0.1:1001", "s1")] * 3, ("127.0.0.1:1002", "<none>"), ("unix:2", "<none>")]


@pytest.mark.parametrize("answer", ["Can't connect to the target CLI!\n\n", HEADER + "app,s1,0\n\n"])
def test_a_worker_that_is_about_to_end_is_to_be_asked_again_and_one_that_has_ended_has_nothing(answer):
    answers = {"show proc": PROCESSES, "@!1233 show stat -1 7 -1": answer, "@!1240 show stat -1 7 -1": stat(("s1", 1), clients=2)}
    workers, _asked = master(answers)
    with pytest.raises(UnavailableError, match="process 1233 is an old worker that cannot be asked"):
        members_of(workers)

    class Ends(dict):
        """Once it was asked, the first old worker is gone."""

        def __getitem__(self, line):
            if line in asked[:-1] and line == "show proc":
                self["show proc"] = PROCESSES.replace("1233            worker          3               0d00h00m43s     2.8.25-5cf5d0683\n", "")
            return super().__getitem__(line)

    workers, asked = master(Ends(answers))
    assert members_of(workers)["s1"].sessions == 2 and asked.count("@!1233 show stat -1 7 -1") == 1


@pytest.mark.parametrize("process", [1233, 1300])
def test_what_another_process_than_the_current_worker_answers_is_no_proof(process):
    """A reload is under way: the new worker has read the state file already, and does not know what the old one was told since."""
    workers, asked = master({"show proc": PROCESSES})
    with pytest.raises(UnavailableError, match=rf"process {process} answered, and the master has process 1271 at work"):
        workers.added_to(replace(VIEW, process=process), "app")
    assert asked == ["show proc"]
    workers, _asked = master({"show proc": PROCESSES, "@!1233 show stat -1 7 -1": stat(), "@!1240 show stat -1 7 -1": stat()})
    assert workers.added_to(replace(VIEW, process=1271), "app").process == 1271


def test_all_of_them_are_reported():
    workers, asked = master({"show proc": PROCESSES, "@!1233 set map m k v": "\n", "@!1240 set map m k v": ""})
    workers.tell("set map m k v")
    assert asked == ["show proc", "@!1233 set map m k v", "@!1240 set map m k v"]


def test_the_sessions_of_a_member_are_closed_one_by_one_and_no_others():
    streams = "\n".join(STREAM.format(number=number, server=server) for number, server in ((1001, "s1"), (1002, "s2"), (1003, "s1")))
    workers, asked = master({"show proc": PROCESSES, "@!1233 show sess": f"{streams}\n{OWN}\n\n", "@!1240 show sess": "\n",
                             "@!1233 shutdown session 0x2f0e1001": "\n", "@!1233 shutdown session 0x2f0e1003": "\n"})
    workers.cut("app", ["s1"])
    assert [line for line in asked if "shutdown" in line] == ["@!1233 shutdown session 0x2f0e1001", "@!1233 shutdown session 0x2f0e1003"]
