# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes that a reload has left at work: who they are, and what of their sessions counts."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy_stat import AnswerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._haproxy_workers import OldWorkers, parse_old_workers
from ansible_collections.alwayson.upgrade.plugins.module_utils._load_balancer import READY, UP, Backend, Member, View

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
HEADER = "# pxname,svname,qcur,qmax,scur,\n"
VIEW = View("2.8.25", {"app": Backend({name: Member(name, READY, UP, sessions=1) for name in ("s1", "s2")}, "SRV")})


def test_only_old_workers_are_old():
    assert parse_old_workers(PROCESSES) == [1233, 1240]
    assert parse_old_workers(PROCESSES.replace("# old workers\n", "")) == []


@pytest.mark.parametrize("answer", ["", "Unknown command: 'show proc'", "\n"])
def test_what_is_no_masters_answer_is_refused(answer):
    with pytest.raises(AnswerError, match="is this the master's socket"):
        parse_old_workers(answer)


def master(answers):
    """A master process that answers so, and what it was asked."""
    asked = []

    def ask(line):
        asked.append(line)
        return answers[line]

    return OldWorkers(ask), asked


def test_their_sessions_are_added_and_foreign_servers_do_not_count():
    workers, asked = master({
        "show proc": PROCESSES,
        "@!1233 show stat app 4 -1": f"{HEADER}app,s1,2,9,3,\napp,gone,1,1,1,\n\n",
        "@!1240 show stat app 4 -1": "No such proxy.\n\n",
    })
    members = workers.added_to(VIEW, "app").backends["app"].members
    assert {name: (member.sessions, member.queued) for name, member in members.items()} == {"s1": (4, 2), "s2": (1, 0)}
    assert len(asked) == 3


def test_a_worker_that_ends_meanwhile_has_no_sessions_and_one_that_says_nonsense_is_an_error():
    answers = {"show proc": PROCESSES, "@!1233 show stat app 4 -1": "", "@!1240 show stat app 4 -1": f"{HEADER}app,s1,0,9,1,\n\n"}
    workers, _asked = master(answers)
    with pytest.raises(AnswerError):
        workers.added_to(VIEW, "app")

    class Ends(dict):
        """After the question the first old worker is gone."""

        def __getitem__(self, line):
            if line.startswith("@!1233"):
                self["show proc"] = PROCESSES.replace("1233            worker          3               0d00h00m43s     2.8.25-5cf5d0683\n", "")
            return super().__getitem__(line)

    workers, _asked = master(Ends(answers))
    assert workers.added_to(VIEW, "app").backends["app"].members["s1"].sessions == 2


def test_all_of_them_are_told():
    workers, asked = master({"show proc": PROCESSES, "@!1233 shutdown sessions server app/s1": "\n", "@!1240 shutdown sessions server app/s1": ""})
    workers.tell("shutdown sessions server app/s1")
    assert asked == ["show proc", "@!1233 shutdown sessions server app/s1", "@!1240 shutdown sessions server app/s1"]
