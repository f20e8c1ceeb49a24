# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.alwayson.upgrade.plugins.action import fleet_lock as action_plugin
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.processes import started, this_controller
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.lock import FleetLockError, HeldError
from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.store import FleetLock
from ansible_collections.alwayson.upgrade.plugins.modules import fleet_lock as module
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.append_only import AppendOnlyFile, replace_privately
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.journal_writer import JournalWriter

ELSEWHERE = {"machine": "other", "boot": "other", "namespace": "other", "pid": 1, "started": "1"}


class House:
    """A lock's host, on which the module is called as a function."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.calls = []

    def lock_owner(self):
        return FleetLock(self.directory, "shop").history(1)[0]["owner"]

    @property
    def lock(self):
        return FleetLock(self.directory, "shop").read()

    def run(self, check_mode=False, **arguments):
        task = SimpleNamespace(action="fleet_lock", args={"service": "shop", "directory": self.directory, **arguments}, async_val=0,
                               check_mode=check_mode, diff=False, no_log=False)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"), transport="ssh")
        action = action_plugin.ActionModule(task, connection, SimpleNamespace(check_mode=check_mode), None, None, None)
        action._execute_module = lambda module_name, module_args, task_vars, wrap_async: self._module(module_name, module_args, check_mode)
        return action.run(task_vars={})

    def _module(self, module_name, module_args, check_mode):
        assert module_name == "alwayson.upgrade.fleet_lock"
        self.calls.append(module_args)
        validated = ArgumentSpecValidator(module.ARGUMENTS).validate(module_args)
        assert validated.error_messages == []
        try:
            outcome = module.do(validated.validated_parameters, check_mode, 1_798_804_800.0)
        except HeldError as error:
            return {"failed": True, "msg": str(error), "held_by": error.lock.as_dict()}
        except FleetLockError as error:
            return {"failed": True, "msg": str(error)}
        locks = {name: lock and lock.as_dict() for name, lock in outcome._asdict().items() if name in ("lock", "taken_over", "released")}
        return {"changed": outcome.changed, "warnings": [outcome.warning] if outcome.warning else [], "journal_heads": list(outcome.journal_heads), **locks}


@pytest.fixture(name="house")
def _house(tmp_path):
    return House(tmp_path / "state")


@pytest.fixture(name="former")
def _former():
    """A controller of this machine: a process that can be ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def controller_of(process):
    return {**this_controller()._asdict(), "pid": process.pid, "started": started(process.pid)}


def held_by_anna(house, controller, **more):
    """Anna's lock, as her controller would have taken it."""
    arguments = {"service": "shop", "directory": house.directory, "owner": "anna", "host": "ctl1", "run": "run-1", "controller": controller, **more}
    return house._module("alwayson.upgrade.fleet_lock", arguments, False)["lock"]


def test_who_asks_is_filled_in(house, monkeypatch):
    monkeypatch.setattr(action_plugin.getpass, "getuser", lambda: "root")
    monkeypatch.setenv("SUDO_USER", "anna")
    lock = house.run()["lock"]
    assert (lock["owner"], lock["host"], lock["run"]) == ("anna (as root)", action_plugin.platform.node(), this_controller().run)
    assert lock["controller"] == this_controller()._asdict()


def test_a_user_without_a_name_is_a_number(house, monkeypatch):
    def nobody_knows():
        raise KeyError("uid not found")

    monkeypatch.setattr(action_plugin.getpass, "getuser", nobody_knows)
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert house.run()["lock"]["owner"] == f"uid {os.getuid()}"


def test_what_was_said_is_kept_and_what_was_left_empty_is_filled_in(house):
    lock = house.run(owner="carol", host="", run=None, plan="4f1f5a")["lock"]
    assert (lock["owner"], lock["plan"]) == ("carol", "4f1f5a")
    assert lock["host"] and lock["run"] == this_controller().run


def test_the_controller_is_never_what_a_task_says(house):
    assert house.run(controller=ELSEWHERE)["lock"]["controller"] == this_controller()._asdict()


def test_a_task_that_asks_again_has_the_lock_and_another_one_releases_it(house):
    first, again = house.run(), house.run()
    assert (first["changed"], again["changed"], again["lock"]) == (True, False, first["lock"])
    released = house.run(state="released")
    assert (released["changed"], released["released"], house.lock) == (True, first["lock"], None)
    assert house.run(state="released")["changed"] is False


def test_a_dead_holder_of_this_machine_is_taken_over_visibly(house, former):
    anna = held_by_anna(house, controller_of(former))
    refused = house.run()
    assert refused["failed"] and refused["held_by"] == anna and house.lock.owner == "anna"
    former.kill()
    former.wait()
    result = house.run()
    assert (result["taken_over"], result["lock"]["token"]) == (anna, 2)
    assert len(result["warnings"]) == 1 and f"its controller, process {former.pid} on this machine, has ended. Before, anna" in result["warnings"][0]


def test_check_mode_tells_of_a_take_over_and_does_not_do_it(house, former):
    anna = held_by_anna(house, controller_of(former))
    former.kill()
    former.wait()
    result = house.run(check_mode=True)
    assert (result["changed"], result["taken_over"], result["lock"]["id"]) == (True, anna, "")
    assert house.lock.as_dict() == anna


def test_a_holder_elsewhere_is_never_taken_over_by_itself(house):
    anna = held_by_anna(house, ELSEWHERE)
    result = house.run()
    assert result["failed"] and result["held_by"] == anna and len(house.calls) == 2
    assert house.run(take_over=anna["id"], reason="she is on holiday")["taken_over"] == anna


def test_the_same_command_again_goes_on_although_it_names_a_lock_that_is_gone(house, former):
    anna = held_by_anna(house, controller_of(former))
    stale = {"take_over": "0123456789abcdef", "reason": "of another time"}
    refused = house.run(**stale)
    assert refused["failed"] and "lock 0123456789abcdef is not the one that is held now" in refused["msg"] and house.lock.owner == "anna"
    former.kill()
    former.wait()
    result = house.run(**stale)
    assert result["taken_over"] == anna and "has ended. Before, anna" in result["warnings"][0] and "of another time" not in result["warnings"][0]


def test_a_lock_that_changes_hands_in_between_is_not_taken_over(house, former, monkeypatch):
    anna = held_by_anna(house, controller_of(former))

    def proof(_recorded, _here):
        house._module("alwayson.upgrade.fleet_lock", {"service": "shop", "directory": house.directory, "owner": "bob", "host": "ctl2", "run": "run-2",
                                                      "take_over": anna["id"], "reason": "why"}, False)
        return "it is dead"

    monkeypatch.setattr(action_plugin, "proof_of_death", proof)
    result = house.run()
    assert result["failed"] and result["held_by"]["owner"] == "bob" and house.lock.owner == "bob"


@pytest.mark.parametrize("service", ["../shop", "", None])
def test_a_service_that_is_no_file_name_is_refused_before_anything_is_started(house, service):
    with pytest.raises(AnsibleActionFail, match="service"):
        house.run(service=service)
    assert house.calls == []


@pytest.fixture(name="journal")
def _journal(tmp_path, monkeypatch):
    """The journal of a run that ended well, in a folder of reports."""
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "home"))
    write_journal(tmp_path / "report", 6)
    return tmp_path / "report" / "journal.jsonl"


def write_journal(folder, entries, event="n"):
    writer = JournalWriter(AppendOnlyFile, replace_privately)
    for number in range(entries):
        writer.adds({"event": event, "n": number}, float(number))
    assert writer.opens(str(folder), 1.0) == []


def runs(house, journal, **arguments):
    """A run that takes the lock and releases it; what it warned of."""
    taken, released = house.run(journal=str(journal), **arguments), house.run(journal=str(journal), state="released")
    assert not taken.get("failed") and not released.get("failed")
    return taken["warnings"] + released["warnings"]


def test_the_head_of_the_journal_is_kept_with_the_lock(house, journal):
    assert runs(house, journal) == []
    kept = [json.loads(entry["journal_head"]) for entry in FleetLock(house.directory, "shop").history(2)]
    assert [(head["seq"], len(head["hash"])) for head in kept] == [(6, 64), (6, 64)]
    assert "journal" not in house.calls[-1]
    with open(journal, "ab"):
        assert runs(house, journal.parent) == []


@pytest.mark.parametrize("attack", ["cut", "gone"])
def test_the_next_run_tells_of_a_journal_that_is_not_the_one_that_was_left(house, journal, attack):
    """Who may write in the folder of reports writes journal and head as he likes, and as this user he finds what that keeps; not the host of the lock."""
    runs(house, journal)
    shutil.rmtree(os.environ["ANSIBLE_HOME"])
    lines = journal.read_bytes().splitlines(keepends=True)
    shutil.rmtree(journal.parent)
    if attack == "cut":
        journal.parent.mkdir()
        journal.write_bytes(b"".join(lines[:3]))
    if attack != "gone":
        # The next run's own entries, before it takes the lock.
        write_journal(journal.parent, 1, "other")
    [warning] = runs(house, journal)
    assert f"the journal {journal} is not the one that the run of {house.lock_owner()} left at 2027-01-01 12:00:00 UTC" in warning
    assert "cut off" in warning
    assert attack == "gone" or runs(house, journal) == []


@pytest.mark.parametrize("entries", [2, 7])
def test_a_journal_that_is_begun_in_an_emptied_folder_is_a_notice_and_no_warning(house, journal, entries, monkeypatch):
    """A CI runner keeps its name and path, and cleans its workspace."""
    notices = []
    monkeypatch.setattr("ansible.utils.display.Display.display", lambda self, text, *more, **options: notices.append(text))
    runs(house, journal)
    for run in range(2):
        shutil.rmtree(os.environ["ANSIBLE_HOME"])
        shutil.rmtree(journal.parent)
        write_journal(journal.parent, entries, f"run {run}")
        assert runs(house, journal) == [] and "another one, which was begun since" in notices[-1] and len(notices) == run + 1
    # The same one, and shorter.
    shutil.rmtree(os.environ["ANSIBLE_HOME"])
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    assert "cut off" in runs(house, journal)[0] and len(notices) == 2


def test_a_journal_on_another_machine_or_in_another_folder_is_another_one(house, journal, tmp_path):
    runs(house, journal)
    write_journal(tmp_path / "elsewhere", 1)
    assert runs(house, tmp_path / "elsewhere" / "journal.jsonl") == []
    journal.unlink()
    assert runs(house, journal, host="ctl2") == []
    os.mkfifo(journal)
    [warning] = runs(house, journal)
    assert "cannot be compared" in warning and "no regular file" in warning
