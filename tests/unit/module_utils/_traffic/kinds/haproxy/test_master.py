# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the installed HAProxy is asked whether it accepts the configuration of the master that runs, and what of its answer is told."""

from __future__ import annotations

import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy import master as haproxy_master
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.master import (
    Account, Running, account_of, check_command, environment_of, reason_of, require_accepted,
)

LB = Haproxy("lb1", "unix:/run/lb1")


def started(*argv, **more):
    return Running("2.8", 8, 7, argv, argv[0], **more)


@pytest.mark.parametrize(("argv", "asked"), [
    (("/x/haproxy", "-Ws", "-f", "/etc/h.cfg", "-p", "/run/pid", "-S", "/run/m"), ["-Ws", "-f", "/etc/h.cfg", "-p", "/run/pid", "-S", "/run/m"]),
    (("/x/haproxy", "-sf", "12", "13", "-x", "sockpair@3", "-W", "-C", "/d", "-f", "a"), ["-W", "-C", "/d", "-f", "a"]),
    (("/x/haproxy", "-st", "12", "-W", "-q", "--", "-q", "-x"), ["-W", "--", "-q", "-x"]),
    (("/x/haproxy", "-L", "one", "-f", "a", "-f", "b"), ["-L", "one", "-f", "a", "-f", "b"]),
])
def test_it_is_asked_by_its_own_command_line(argv, asked):
    assert check_command(started(*argv)) == ["/x/haproxy", "-c", *asked]


def test_it_is_found_as_the_master_would_find_it(tmp_path):
    program = tmp_path / "haproxy"
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    assert started("haproxy", environment={"PATH": str(tmp_path)}).program == str(program)
    assert started("./haproxy", folder=str(tmp_path)).program == f"{tmp_path}/./haproxy"
    assert started("haproxy", environment={"PATH": "/nowhere"}).program == "haproxy"


def test_it_is_asked_in_its_folder_with_its_environment(tmp_path):
    program = tmp_path / "haproxy"
    program.write_text("#!/bin/sh\npwd; env; exit 1\n", encoding="ascii")
    program.chmod(0o755)
    environment = environment_of(["PATH=/usr/bin:/bin", "PORT=80=1", "no variable", "HAPROXY_MWORKER_WAIT_ONLY=1", "HAPROXY_PROCESSES=x", "HAPROXY_OWN=2"])
    os.environ["OF_THIS_TEST"] = "1"
    try:
        with pytest.raises(LoadBalancerError) as refused:
            require_accepted(LB, started(str(program), folder=str(tmp_path), environment=environment))
    finally:
        del os.environ["OF_THIS_TEST"]
    said = str(refused.value)
    assert f"lb1 (unix:/run/lb1) is not handed over: {program} does not accept its configuration: {tmp_path} " in said
    assert "PORT=80=1" in said and "HAPROXY_OWN=2" in said and "WAIT_ONLY" not in said and "PROCESSES" not in said and "OF_THIS_TEST" not in said
    with pytest.raises(LoadBalancerError, match=r"cannot be checked by /nowhere/haproxy -c in /: .*Nothing was changed"):
        require_accepted(LB, started("/nowhere/haproxy"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another account")
def test_it_is_asked_as_the_masters_account(tmp_path):
    """Its binary and its environment are that account's: with them, it could have anything run."""
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
        if folder.name.startswith("pytest-of-"):
            break
    program = tmp_path / "haproxy"
    program.write_text("#!/bin/sh\nid -u; id -G; exit 1\n", encoding="ascii")
    program.chmod(0o755)
    with pytest.raises(LoadBalancerError, match=r"does not accept its configuration: 4711 4712 4713\. Nothing"):
        require_accepted(LB, started(str(program), folder="/", environment={"PATH": os.environ["PATH"]}, account=Account(4711, 4712, (4713,))))


def test_an_account_is_read():
    status = "Name:\thaproxy\nUid:\t0\t99\t0\t99\nGid:\t5\t6\t5\t6\nGroups:\t7 8 \n"
    assert account_of(status) == (99, 6, (7, 8)) and account_of(status.replace("7 8 ", "")) == (99, 6, ())


@pytest.mark.parametrize(("said", "reported"), [
    ("[NOTICE] (1) : haproxy version\n[WARNING] (1) : a\n[ALERT] (1) : b\n[ALERT] (1) :  c\n", "[ALERT] (1) : b [ALERT] (1) : c"),
    ("haproxy: error while loading\n", "haproxy: error while loading"),
    (" \n", "it says nothing"),
])
def test_the_alerts_are_reported(said, reported):
    assert reason_of(said) == reported


def test_a_process_that_is_no_haproxy_is_none_whatever_its_number():
    assert not haproxy_master._is_haproxy(os.getpid())
