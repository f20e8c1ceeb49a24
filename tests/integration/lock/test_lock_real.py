# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock as operators meet it: real plays, real kills."""

from __future__ import annotations

import json

from ansible_collections.alwayson.upgrade.plugins.module_utils._locking.store import FleetLock

ROUNDS = 20


def store(operators) -> FleetLock:
    return FleetLock(str(operators.directory), "shop")


def test_a_run_takes_its_lock_once_and_releases_it(on_each_core):
    run = on_each_core.run(
        on_each_core.lock(plan="4f1f5a"), on_each_core.lock(register="more"),
        {"ansible.builtin.assert": {"that": "not more.changed and more.lock == seen.lock"}},
        on_each_core.lock("fleet_lock_info", register="more"), {"ansible.builtin.assert": {"that": "more.lock == seen.lock and more.token == 1"}},
        on_each_core.lock(state="released", journal_head="0a1b"), on_each_core.lock("fleet_lock_info", register="more"),
    )
    assert run.code == 0, run.output
    assert (run.seen["more"]["lock"], run.seen["more"]["token"]) == (None, 1)
    assert [(line["event"], line.get("journal_head")) for line in run.seen["more"]["history"]] == [("taken", None), ("released", "0a1b")]
    again = on_each_core.run().seen["seen"]
    assert (again["changed"], again["lock"]["token"]) == (True, 2)


def test_check_mode_tells_what_would_happen_and_leaves_nothing(operators):
    run = operators.run(arguments=("--check",))
    assert run.code == 0 and run.seen["seen"]["changed"] is True and run.seen["seen"]["lock"]["token"] == 1, run.output
    assert not operators.directory.exists()


def test_a_second_operator_is_refused_and_told_how_to_go_on(on_each_core):
    with on_each_core.at_work(owner="anna", plan="4f1f5a") as anna:
        lock = store(on_each_core).read()
        refused = on_each_core.run(owner="bob")
        assert refused.code != 0 and refused.seen["seen"]["failed"]
        assert refused.seen["seen"]["held_by"] == lock.as_dict() and lock.controller["pid"] == anna.pid
        for words in ("the lock of shop is taken: anna has held it since 20", " UTC from ", f", process {anna.pid}, for plan 4f1f5a (lock {lock.id}).",
                      f"""-e upgrade_take_over={lock.id} -e "upgrade_reason='...'\""""):
            assert words in refused.words
        anna.stop()
        assert on_each_core.run(owner="bob").code != 0, "one that is stopped is not dead"
        assert store(on_each_core).read() == lock


def test_a_killed_controller_of_this_machine_is_taken_over_visibly(on_each_core):
    with on_each_core.at_work(owner="anna") as anna:
        lock = store(on_each_core).read()
        anna.kill()
        run = on_each_core.run(owner="bob")
    assert run.code == 0, run.output
    assert run.seen["seen"]["taken_over"] == lock.as_dict() and run.seen["seen"]["lock"]["token"] == lock.token + 1
    reason = f"its controller, process {anna.pid} on this machine, has ended"
    assert f"[WARNING]: the lock of shop was taken over, for this reason: {reason}. Before, anna has held it since" in run.words
    last = store(on_each_core).history(1)[0]
    assert (last["event"], last["owner"], last["former"]["owner"], last["reason"]) == ("taken_over", "bob", "anna", reason)


def test_a_lock_from_another_machine_is_refused_and_taken_over_by_its_id(operators):
    operators.run(owner="anna")
    path = operators.directory / "shop.lock"
    lock = json.loads(path.read_text(encoding="utf-8"))
    lock["controller"].update(machine="0" * 32, boot="of another machine")
    path.write_text(json.dumps(lock), encoding="utf-8")
    way_on = {"take_over": "{{ upgrade_take_over | default(omit) }}", "reason": "{{ upgrade_reason | default(omit) }}", "owner": "bob"}
    assert operators.run(**way_on).code != 0
    arguments = ("-e", f"upgrade_take_over={lock['id']}", "-e", "upgrade_reason='her laptop was stolen'")
    run = operators.run(arguments=arguments, **way_on)
    assert run.code == 0 and run.seen["seen"]["taken_over"] == lock, run.output
    assert "for this reason: her laptop was stolen. Before, anna" in run.words


def test_a_torn_lock_is_refused_by_its_name(operators):
    operators.run(owner="anna")
    path = operators.directory / "shop.lock"
    path.write_bytes(path.read_bytes()[:40])
    run = operators.run(owner="{{ 'b' ~ 'ob' }}")
    assert run.code != 0 and str(path) in run.words and path.stat().st_size == 40


def test_what_a_lock_file_says_is_never_a_template(operators):
    operators.run(owner="anna")
    path = operators.directory / "shop.lock"
    lock = json.loads(path.read_text(encoding="utf-8"))
    lock["controller"].update(machine="0" * 32, boot="of another machine")
    path.write_text(json.dumps({**lock, "owner": "{{ lookup('pipe', 'touch " + str(operators.folder / "hacked") + "') }}"}), encoding="utf-8")
    run = operators.run({"ansible.builtin.debug": {"msg": "{{ seen.held_by.owner | default('none') }}"}}, operators.lock(), operators.lock("fleet_lock_info"))
    assert run.code != 0 and "{{ lookup('pipe'" in run.words
    assert not (operators.folder / "hacked").exists()


def test_of_two_operators_at_the_same_time_exactly_one_wins_each_time(operators):
    services = [f"shop-{number}" for number in range(ROUNDS)]
    task = {**operators.lock(service="{{ item }}", owner="{{ me }}"), "loop": services, "ignore_errors": True}
    # Both stay until both have asked: a controller that has ended would be taken over, as it should.
    meet = [{"ansible.builtin.copy": {"content": "", "dest": f"{operators.folder}/{{{{ me }}}}-asked", "mode": "0600"}},
            *({"ansible.builtin.wait_for": {"path": f"{operators.folder}/{name}-asked", "timeout": 60}} for name in ("anna", "bob"))]
    runs = dict(zip(("anna", "bob"), operators.together(*(((task, *meet), ("-e", f"me={name}")) for name in ("anna", "bob")))))
    assert [run.code for run in runs.values()] == [0, 0], [run.output for run in runs.values()]
    results = {name: run.seen["seen"]["results"] for name, run in runs.items()}
    wins = {name: [not result.get("failed", False) for result in of] for name, of in results.items()}
    assert len(wins["anna"]) == ROUNDS
    assert all(first != second for first, second in zip(wins["anna"], wins["bob"])), wins
    for name, other in (("anna", "bob"), ("bob", "anna")):
        for won, result in zip(wins[name], results[name]):
            assert result["lock"]["owner"] == name if won else result["held_by"]["owner"] == other
