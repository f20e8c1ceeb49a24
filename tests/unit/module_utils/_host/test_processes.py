# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import processes as host_processes
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.processes import (
    OF_THE_MACHINE, Controller, has_ended, is_same_machine, proof_of_death, started, this_controller,
)

HERE = Controller(machine="m", boot="b", namespace=f"{OF_THE_MACHINE} time:[1]", pid=os.getpid(), started=started(os.getpid()), hardware="h")


@pytest.fixture(name="process")
def _process():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def recorded(process, **changes):
    return {**HERE._asdict(), "pid": process.pid, "started": started(process.pid), **changes}


def test_this_controller_is_the_process_that_forks_the_workers():
    def ask(answers):
        answers.put(this_controller())

    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    worker = context.Process(target=ask, args=(answers,))
    worker.start()
    seen_by_a_worker = answers.get(timeout=30)
    worker.join()
    assert seen_by_a_worker == this_controller()
    assert (seen_by_a_worker.pid, seen_by_a_worker.started) == (os.getpid(), started(os.getpid()))
    assert seen_by_a_worker.run == this_controller().run and len(seen_by_a_worker.run) == 32


def test_another_process_is_another_run(process):
    assert HERE.run != HERE._replace(pid=process.pid).run != HERE._replace(pid=process.pid, started="1").run


def test_a_process_that_lives_or_is_stopped_is_not_dead(process):
    for number in (signal.SIGCONT, signal.SIGSTOP):
        process.send_signal(number)
        assert proof_of_death(recorded(process), HERE) == ""


def test_a_process_that_ended_is_dead_also_while_its_parent_has_not_noticed(process):
    former = recorded(process)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    for _twice in range(2):
        assert proof_of_death(former, HERE) == f"its controller, process {process.pid} on this machine, has ended"
        process.wait()


def test_a_process_with_the_same_id_that_began_at_another_time_is_another_one(process):
    assert proof_of_death(recorded(process, started="1"), HERE).endswith("has ended")


@pytest.mark.parametrize("changes", [{"boot": ""}, {"namespace": ""}, {"namespace": "pid:[1] time:[1]"}, {"namespace": f"{OF_THE_MACHINE} time:[2]"}])
def test_nothing_is_proven_where_process_ids_mean_something_else(process, changes):
    former = recorded(process, **changes)
    process.kill()
    process.wait()
    assert proof_of_death(former, HERE) == ""


def test_when_a_process_began_may_be_unknown(process, monkeypatch):
    assert proof_of_death(recorded(process, started=""), HERE) == ""
    monkeypatch.setattr(host_processes, "started", lambda pid: "")
    assert proof_of_death(recorded(process), HERE) == ""


def test_a_hidden_process_of_another_user_is_not_dead(monkeypatch):
    def kill(_pid, _number):
        raise PermissionError

    monkeypatch.setattr(host_processes.os, "kill", kill)
    monkeypatch.setattr(host_processes, "started", lambda pid: "")
    assert not has_ended(1, "5")


def test_a_restart_of_the_machine_itself_is_a_proof(process):
    assert "ended when the machine was restarted" in proof_of_death(recorded(process, boot="before"), HERE)


@pytest.mark.parametrize(("there", "here"), [("", ""), ("h", ""), ("", "h"), ("h", "of the clone")])
def test_another_boot_of_a_clone_is_no_restart(process, there, here):
    """Two machines of one image have one id and one name. Where the id of the hardware is not known, they may be two."""
    former = recorded(process, boot="before", hardware=there)
    assert proof_of_death(former, HERE._replace(hardware=here)) == ""
    # As a version before this one wrote it.
    assert proof_of_death({name: value for name, value in former.items() if name != "hardware"}, HERE._replace(hardware=here)) == ""


@pytest.mark.parametrize("there", [{"machine": "of the clone"}, {"hardware": "of the clone"}, {"machine": "of the clone", "hardware": "of the clone"}])
@pytest.mark.parametrize("boot", ["b", "before"])
def test_a_clone_that_was_made_while_the_machine_ran_is_another_machine(process, there, boot):
    """It has the boot id, and the same process ids mean other processes."""
    former = recorded(process, boot=boot, **there)
    assert not is_same_machine(former, HERE)
    process.kill()
    process.wait()
    assert proof_of_death(former, HERE) == ""


@pytest.mark.parametrize("hardware", ["", "h"])
def test_an_account_that_may_not_read_the_hardware_id_is_on_this_machine(process, hardware):
    former = recorded(process, hardware="" if hardware else "h")
    assert is_same_machine(former, HERE._replace(hardware=hardware))
    process.kill()
    process.wait()
    assert proof_of_death(former, HERE._replace(hardware=hardware)).endswith("has ended")


@pytest.mark.parametrize("found", ["", "Not Settable", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                   "03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009",
                                   "12345678-1234-5678-90ab-cddeefaabbcc", "4c4c4544-0042-3510-8052-b4c04f393733"])
def test_an_id_of_hardware_that_is_none_tells_no_machine(monkeypatch, tmp_path, found):
    (tmp_path / "product_uuid").write_text(found + "\n", encoding="ascii")
    monkeypatch.setattr(host_processes, "HARDWARE_ID", str(tmp_path / "product_uuid"))
    reported = this_controller().hardware
    assert (len(reported) == 32) == found.startswith("4c4c4544") and "4c4c4544" not in reported
    monkeypatch.setattr(host_processes, "HARDWARE_ID", str(tmp_path / "absent"))
    assert this_controller().hardware == ""


@pytest.mark.parametrize(
    ("changes", "here"),
    [({"machine": "other"}, {}), ({"machine": ""}, {"machine": ""}), ({"namespace": "pid:[1]"}, {}), ({}, {"namespace": "pid:[1]"}), ({}, {"boot": ""})],
)
def test_another_boot_of_another_machine_or_of_a_container_proves_nothing(process, changes, here):
    assert proof_of_death(recorded(process, **{"boot": "before", **changes}), HERE._replace(**here)) == ""


@pytest.mark.parametrize("pid", [0, -1, 1.0, True, "1", None, 2**31, 2**70])
def test_a_process_id_that_is_none_proves_nothing(process, pid):
    assert proof_of_death(recorded(process, pid=pid), HERE) == ""


@pytest.mark.parametrize("name", [name for name in Controller._fields if name != "hardware"])
def test_a_record_without_everything_proves_nothing(process, name):
    former = recorded(process)
    del former[name]
    assert proof_of_death(former, HERE) == "" and proof_of_death({}, HERE) == ""


def test_the_machine_is_named_without_its_id(monkeypatch, tmp_path):
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n", encoding="ascii")
    monkeypatch.setattr(host_processes, "MACHINE_IDS", (str(tmp_path / "none"), str(tmp_path / "machine-id")))
    first = this_controller().machine
    assert len(first) == 32 and "0123456789abcdef" not in first
    monkeypatch.setattr(host_processes.platform, "node", lambda: "its twin")
    assert this_controller().machine != first
    (tmp_path / "machine-id").write_text("uninitialized\n", encoding="ascii")
    assert this_controller().machine == ""


def test_a_system_that_tells_nothing_names_nothing(monkeypatch):
    for name in ("BOOT_ID", "PROCESS_NAMESPACE", "TIME_NAMESPACE"):
        monkeypatch.setattr(host_processes, name, "/nowhere")
    monkeypatch.setattr(host_processes, "MACHINE_IDS", ())
    assert this_controller()[:3] == ("", "", "")
