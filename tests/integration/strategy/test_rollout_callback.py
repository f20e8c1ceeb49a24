# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback in small plays, as lines, as JSON and on a terminal, on every supported ansible-core that this machine can run."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest
from integration.cores import CORES, EACH_CORE
from integration.strategy.rollout_bench import RECAP, Bench, Run, play, task

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.journal import Head, journal_problem, next_line

SECRET = "correct-horse-battery"


@pytest.fixture(scope="module", params=EACH_CORE)
def core(request, tmp_path_factory):
    program = CORES[request.param]
    if not program.exists():
        pytest.skip(f"ansible-core {request.param}: no Python on this machine runs it (see tests/cores.sh)")
    return program


@pytest.fixture
def bench(core, tmp_path):
    return Bench(core, tmp_path)


@pytest.fixture(scope="module")
def everything(core, tmp_path_factory):
    """One run of the playbook that has everything, told in lines."""
    return Bench(core, tmp_path_factory.mktemp("everything")).run(EVERYTHING, files=MORE)


EVERYTHING = [
    play([
        task("loop", "command", "echo {{ item }}", loop=["x", "y"], notify="told", when="inventory_hostname == 'w1'"),
        task("ignored", "command", "sh -c 'echo to stderr >&2; exit 3'", ignore_errors=True, when="inventory_hostname == 'w1'"),
        task("hidden", "command", f"sh -c 'echo {SECRET} >&2; exit 3'", ignore_errors=True, no_log=True, when="inventory_hostname == 'w1'"),
        task("hidden items", "command", f"test {SECRET}-{{{{ item }}}} = x", ignore_errors=True, no_log=True, loop=[f"{SECRET}-item"],
             when="inventory_hostname == 'w1'"),
        {"name": "rescued", "block": [task("break", "fail", {"msg": ["line one", "line two \x1b[2J"]}, when="inventory_hostname == 'w2'")],
         "rescue": [task("mend", "debug", {"msg": "mended \x1b]0;owned\x07"})]},
        task("file", "copy", {"content": "old\x1b[2J\n", "dest": "{{ playbook_dir }}/file"}, diff=True, when="inventory_hostname == 'w1'"),
        task("items fail", "command", "test {{ item }} = good", loop=["good", "bad"], when="inventory_hostname == 'w3'"),
        task("include", "include_tasks", "more.yml"),
        task("a list", "debug", {"msg": ["the plan", "  is this"]}, when="inventory_hostname == 'w1'"),
        task("a variable", "debug", {"var": "groups.web"}, when="inventory_hostname == 'w1'"),
        task("retry", "command", "false", retries=1, delay=0, until="false", register="x", ignore_errors=True, when="inventory_hostname == 'w1'"),
    ], handlers=[task("told", "command", "echo told")]),
    {"name": "nobody", "hosts": "nothere", "tasks": []},
    {"name": "second", "hosts": "localhost", "gather_facts": False, "tasks": [task("last", "command", "echo the end")]},
]
MORE = {"more.yml": [task("included", "command", "echo included", when="inventory_hostname == 'w1'")]}


def test_any_playbook_is_reported_in_lines_and_nothing_that_failed_is_silent(everything):
    run = everything
    assert run.code == 2, run.output + run.errors
    said = run.lines
    assert said.count("play a play") == 1 and said.count("play second") == 1 and "play nobody: no host matches, nothing is done" in said
    assert "changed w1: loop (item x)" in said and "changed w1: told" in said and "changed w1: included" in said and "changed localhost: last" in said
    assert "changed w1: loop" not in said and not [line for line in said if line.startswith(("ok ", "skipped ", "included "))]
    assert [line for line in said if line.startswith("ignored w1: ignored failed: ")]
    assert "         stderr: to stderr" in run.output and "         rc 3" in run.output
    assert "ignored w1: hidden failed: what it said is hidden by no_log" in said
    assert "FAILED w2: break: line one" in said and "         line two \ufffd[2J" in run.output and "w2: mended \ufffd]0;owned\ufffd" in said
    assert [line for line in said if line.startswith("FAILED w3: items fail (item bad): ")] and "changed w3: items fail (item good)" in said
    assert "         +old\ufffd[2J" in run.output and "w1: a list" in said and "\nthe plan\n  is this\n" in run.output and "groups.web: [" in run.output
    assert sum(bool(re.match(r"w1: retry: not yet, \d tr(y|ies) left$", line)) for line in said) == 1 and "play.yml:" in run.output
    assert "\x1b" not in run.output and "***" not in run.output
    assert SECRET not in run.output + run.errors and "Traceback" not in run.errors and "DEPRECATION" not in run.errors
    assert not (run.directory / "alwayson-report").exists(), "a playbook that does not roll keeps no journal"


def test_the_recap_is_the_default_callbacks(everything, bench):
    default = bench.run(EVERYTHING, files=MORE, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    recap = [line for line in default.output.splitlines() if RECAP.match(line)]
    assert everything.code == default.code and len(recap) == 4 and everything.recap["w3"][3] == 1 and everything.recap["w2"][5] == 1
    assert [line for line in everything.output.splitlines() if RECAP.match(line)] == recap


def test_json_is_one_object_per_line(bench):
    run = bench.run(EVERYTHING, files=MORE, ALWAYSON_ROLLOUT_FORMAT="json")
    events = [json.loads(line) for line in run.output.splitlines()]
    outcomes = [event["outcome"] for event in events if event["event"] == "result"]
    assert events[0]["event"] == "run_begins" and events[-1]["event"] == "run_ends" and events[-1]["hosts"]["w3"]["failed"] == 1
    assert outcomes.count("failed") == 3 and outcomes.count("failure ignored") == 5 and "ok" not in outcomes
    assert SECRET not in run.output and all("at" in event for event in events)


def test_unreachable_hosts_are_reported_and_lost(bench):
    (bench.directory / "lost").mkdir()
    (bench.directory / "lost" / "w2").touch()
    run = bench.run([play([task("come", "command", "true", ignore_unreachable=True), task("go", "command", "true")])])
    assert run.code == 4
    assert [line for line in run.lines if line.startswith("ignored w2: come was unreachable: ")] and [
        line for line in run.lines if line.startswith("UNREACHABLE w2: go: ")]
    assert run.recap["w2"][2] == 1


def test_check_mode_says_would_and_verbose_shows_results(bench):
    copy = [play([task("copy", "copy", {"content": "x", "dest": "{{ playbook_dir }}/new-{{ inventory_hostname }}"}), task("look", "stat", {"path": "/"})])]
    run = bench.run(copy, "--check", "-v")
    assert run.code == 0 and run.lines.count("would change w1: copy") == 1 and not (run.directory / "new-w1").exists()
    assert run.lines.count("ok w1: look") == 1 and '"exists": true' in run.output


BREAKS = "{{ 'false' if inventory_hostname == broken | default('') else 'true' }}"
ROLL = [play([task("Take it out", "command", "sleep 0.3"), task("Put it back", "command", BREAKS)], name="roll", strategy="alwayson.upgrade.rolling"),
        {"name": "after", "hosts": "localhost", "gather_facts": False, "tasks": [task("after", "debug", {"msg": "afterwards"})]}]


def test_a_roll_is_reported_and_journaled(bench):
    run = bench.run(ROLL, "-e", "broken=w2")
    assert run.code != 0 and [line for line in run.lines if line.startswith("FAILED w2: Put it back: ")], run.output
    assert not any("w3: Put it back" in line for line in run.lines) and "afterwards" not in run.output
    entries = run.journal
    assert next(entry["event"] for entry in entries) == "run_begins" and entries[-1]["event"] == "run_ends"
    assert [(entry["host"], entry["outcome"]) for entry in entries if entry["event"] == "result"] == [("w2", "failed")]
    assert [entry["member"] for entry in entries if entry["event"] == "started"] == ["w1", "w2"]
    head = json.loads((run.directory / "alwayson-report" / "journal.head").read_text())
    assert (head["seq"], head["hash"]) == (entries[-1]["seq"], entries[-1]["hash"])
    assert {os.stat(run.directory / "alwayson-report" / name).st_mode & 0o777 for name in ("journal.jsonl", "journal.head")} == {0o600}
    chosen = bench.run(EVERYTHING[-1:], ALWAYSON_ROLLOUT_JOURNAL_DIRECTORY="elsewhere/kept")
    assert (chosen.directory / "elsewhere" / "kept" / "journal.jsonl").exists(), "a directory that was set is used by every playbook"
    assert chosen.journal == entries


def test_an_edited_journal_is_kept_and_said_and_a_play_can_verify_one(bench):
    head, content = Head(), b""
    for number in range(4):
        line, head = next_line({"event": "started", "member": f"w{number}"}, number, head)
        content += line
    path = bench.directory / "alwayson-report" / "journal.jsonl"
    path.parent.mkdir()
    path.write_bytes(content.replace(b"w2", b"w9"))
    (bench.directory / "whole").write_bytes(content)
    (bench.directory / "cut").write_bytes(b"".join(content.splitlines(keepends=True)[:3]))
    text = "lookup('ansible.builtin.file', playbook_dir ~ '/{}', rstrip=false) | alwayson.upgrade.journal_problem({})"
    verify = [task(name, "debug", {"msg": f"{name} [{{{{ {text.format(name, argument)} }}}}]"})
              for name, argument in (("whole", "head=head"), ("cut", "head=head"), ("alwayson-report/journal.jsonl", ""))]
    run = bench.run([{"hosts": "localhost", "gather_facts": False, "tasks": verify}, *ROLL], "-e", json.dumps({"head": head._asdict()}))
    kept = list(path.parent.glob("journal.broken-*.jsonl"))
    assert run.code == 0 and len(kept) == 1 and kept[0].read_bytes() == content.replace(b"w2", b"w9")
    assert "whole []" in run.output and "newest entries were cut off]" in run.output
    assert "alwayson-report/journal.jsonl [line 3 was changed: its hash does not match what it says]" in run.output
    assert "the journal's chain is broken: line 3 was changed" in run.output and kept[0].name in run.output
    assert run.journal[0]["event"] == "journal_begins_anew" and run.journal[0]["kept"] == kept[0].name


def test_a_journal_that_cannot_be_written_is_said_once_and_the_run_goes_on(bench):
    (bench.directory / "alwayson-report").write_text("a file where the directory should be")
    run = bench.run(ROLL)
    assert run.code == 0 and run.output.count("cannot be written") == 1 and "entries of this run are not in the journal" in run.output


# -- on a terminal

def the_panel(run: Run) -> list[str]:
    """The last picture: from its title to the recap."""
    lines = [line for line in run.output.splitlines() if line]
    begin = max(index for index, line in enumerate(lines) if line.startswith("play.yml  "))
    return lines[begin:]


def test_the_screen_shows_the_roll_and_leaves_the_terminal_as_it_was(bench):
    run = bench.on_terminal([*ROLL, EVERYTHING[-1]])
    assert run.code == 0, run.output
    assert run.terminal.is_as_before and "[32m" in run.raw
    panel = the_panel(run)
    assert "ended after" in panel[0] and sum(bool(re.match(r"(├ |└ )?w[123] .*✔ done", line)) for line in panel) == 3, run.output
    assert len([line for line in run.output.splitlines() if line.startswith("play.yml  ")]) == 1, "one picture stays, the others were drawn over"
    assert len(run.recap) == 4 and "localhost: afterwards" in run.output and "w1 is done in" in run.output
    assert run.journal[-1]["event"] == "run_ends"


def test_failures_stay_on_the_terminal_with_their_full_message(bench):
    shown = task("a list", "debug", {"msg": ["the plan", "  is this"]}, when="inventory_hostname == 'w1'")
    failing = task("break", "command", "sh -c 'echo the first line; echo the \x1b[2Jlast line >&2; exit 3'", when="inventory_hostname == 'w2'")
    run = bench.on_terminal([play([shown, failing])])
    assert run.code == 2 and run.terminal.is_as_before
    for line in ("the plan", "stdout: the first line", "stderr: the \ufffd[2Jlast line", "rc 3", "FAILED w2: break: "):
        assert line in run.output, run.output
    assert len(run.recap) == 3 and "play.yml  " not in run.output, "a panel that says nothing any more does not stay"


def test_an_interrupt_leaves_the_terminal_as_it_was_and_names_who_is_under_way(bench):
    slow = [play([task("Take it out", "command", "sleep 20")], name="roll", strategy="alwayson.upgrade.rolling")]

    def interrupt(pid: int) -> None:
        os.kill(pid, signal.SIGINT)

    run = bench.on_terminal(slow, script=(("▶ Take it out", interrupt), ("a second Ctrl-C ends", interrupt)))
    assert run.code != 0 and run.terminal.is_as_before, run.output
    assert "the run broke off before its end; under way: w1" in run.output and "broke off after" in the_panel(run)[0]
    assert run.journal[-1]["event"] == "breaks_off"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_the_terminal_as_it_was(bench, number):
    slow = [play([task("Take it out", "command", "sleep 4")], name="roll", strategy="alwayson.upgrade.rolling")]
    run = bench.on_terminal(slow, script=(("▶ Take it out", lambda pid: os.kill(pid, number)),))
    assert run.code == -number and run.terminal.is_as_before and "▶ Take it out" in run.output
    assert journal_problem((run.directory / "alwayson-report" / "journal.jsonl").read_bytes()) == ""


def test_an_error_that_ends_the_playbook_leaves_the_terminal_as_it_was(bench):
    refused = [play([task("x", "command", "true")], name="roll", strategy="alwayson.upgrade.rolling", serial=2)]
    run = bench.on_terminal(refused)
    assert run.code != 0 and run.terminal.is_as_before and "replaces serial" in run.output and "the run broke off before its end" in run.output


def test_without_colours_there_are_none_and_the_picture_is_the_same(bench):
    run = bench.on_terminal(ROLL, NO_COLOR="1")
    assert run.code == 0 and "✔ done" in run.output and not re.search(r"\x1b\[[0-9;]*m", run.raw)


def test_a_dumb_terminal_gets_no_panel(bench):
    run = bench.on_terminal(ROLL, TERM="dumb")
    assert run.code == 0 and "✔ done" not in run.output and "w1 is done in" in run.output and "\x1b[?" not in run.raw
