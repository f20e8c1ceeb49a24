# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: every change is found, a torn line is not taken for one, and trouble with the disk never ends a run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from ansible_collections.alwayson.upgrade.plugins.filter.journal import journal_problem as filter_problem
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.append_only import AppendOnlyFile, replace_privately
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.journal import (
    BEFORE_THE_FIRST, CONTRADICTED, PASSED, Head, contradiction, head_text, journal_problem, next_line, passing, read,
)
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._run.journal_writer import JournalWriter

EVENTS = [{"event": "run_begins", "playbook": "upgrade.yml"}, {"event": "started", "member": "app1"}, {"event": "finished", "member": "app1", "seconds": 8.25},
          {"event": "run_ends", "hosts": {"app1": {"ok": 3}}}]


def journal_of(events: list | None = None) -> tuple[bytes, list[Head]]:
    content, heads, head = b"", [], Head()
    for number, event in enumerate(EVENTS if events is None else events):
        line, head = next_line(event, 1000 + number, head)
        content += line
        heads.append(head)
    return content, heads


def test_entries_are_chained_as_documented():
    content, heads = journal_of()
    lines = content.decode("ascii").splitlines()
    assert len(lines) == 4
    previous = BEFORE_THE_FIRST
    for number, line in enumerate(lines, start=1):
        entry = json.loads(line)
        said = entry.pop("hash")
        assert (entry["seq"], entry["prev"], entry["at"]) == (number, previous, 999 + number)
        assert said == hashlib.sha256(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        previous = said
    reading = read(content)
    assert reading.problem == "" and reading.head == heads[-1] == Head(4, previous) and [entry["event"] for entry in reading.entries] == [
        event["event"] for event in EVENTS]


def test_every_single_byte_that_is_edited_is_found():
    content, _heads = journal_of()
    found = 0
    for position, byte in enumerate(content):
        for other in {byte ^ 1, ord(" "), ord("0"), ord("\n")} - {byte}:
            edited = content[:position] + bytes([other]) + content[position + 1:]
            problem = journal_problem(edited)
            assert "line " in problem, (position, bytes([other]), edited)
            found += 1
    assert found > 3 * len(content) - 100


def test_removed_inserted_and_moved_lines_are_found_and_named():
    lines = journal_of()[0].splitlines(keepends=True)
    assert journal_problem(b"".join(lines[:1] + lines[2:])).startswith("line 2 does not follow")
    assert journal_problem(b"".join(lines[:2] + lines[1:])).startswith("line 3 does not follow")
    assert journal_problem(b"".join([lines[0], lines[2], lines[1], lines[3]])).startswith("line 2 does not follow")
    assert journal_problem(lines[0] + lines[1].replace(b"app1", b"app2") + lines[2]) == "line 2 was changed: its hash does not match what it says"
    assert journal_problem(lines[0] + b"something else\n" + lines[1]) == "line 2 is no entry of a journal"
    assert journal_problem(lines[0] + b'{"event": "x", ' + lines[1][1:]) != ""  # a duplicate key cannot hide


def test_a_head_that_was_kept_elsewhere_finds_what_the_chain_cannot():
    content, heads = journal_of()
    cut = b"".join(content.splitlines(keepends=True)[:2])
    again, _heads = journal_of([{**event, "who": "somebody else"} for event in EVENTS])
    assert journal_problem(content, heads[1]) == journal_problem(content, heads[3]) == journal_problem(b"", Head()) == ""
    assert journal_problem(cut) == "" and "newest entries were cut off" in journal_problem(cut, heads[3])
    assert journal_problem(again) == "" and "rewritten" in journal_problem(again, heads[1])
    assert "cut off" in journal_problem(b"", heads[0])


def test_a_line_that_is_torn_anywhere_is_told_from_an_edited_one():
    content, heads = journal_of()
    line, _head = next_line({"event": "stopped", "reason": "x"}, 2000, heads[-1])
    torn = 0
    for length in range(1, len(line) - 1):
        reading = read(content + line[:length])
        assert reading.problem == "" and reading.torn == line[:length] and reading.head == heads[-1]
        torn += 1
    assert torn == len(line) - 2
    whole = read(content + line[:-1])
    assert whole.unended and not whole.torn and whole.head.seq == 5 and whole.begins_with == b"\n"
    assert read(content + b"\0" * 40).torn == b"\0" * 40
    # What only looks like one: a fragment of something else, and a fragment that somebody gave an end.
    assert "line 5" in journal_problem(content + b"{\"at\":")
    assert "line 5" in journal_problem(content + line[:20] + b"\n")
    assert "line 5" in journal_problem(content + line[:-1] + b" ")


def test_the_journal_goes_on_after_a_torn_line_and_the_fragment_is_sealed():
    content, heads = journal_of()
    torn = content + next_line({"event": "stopped"}, 2000, heads[-1])[0][:30]
    reading = read(torn)
    line, head = next_line(passing(reading), 3000, reading.head)
    mended = torn + reading.begins_with + line + next_line({"event": "run_begins"}, 3001, head)[0]
    assert journal_problem(mended) == "" and [entry["event"] for entry in read(mended).entries][-2:] == [PASSED, "run_begins"]
    assert "line 5" in journal_problem(mended.replace(b'"at":200', b'"at":201'))
    # Killed again while it went on: still torn, and everything behind the last whole entry is sealed at the next try.
    again = read(torn + b"\n" + line[:40])
    assert again.problem == "" and again.torn.count(b"\n") == 1
    line, _head = next_line(passing(again), 4000, again.head)
    assert journal_problem(torn + b"\n" + next_line(passing(reading), 3000, reading.head)[0][:40] + b"\n" + line) == ""


def test_the_names_of_the_chain_cannot_be_used():
    with pytest.raises(ValueError, match="hash, seq"):
        next_line({"event": "x", "seq": 1, "hash": "y"}, 0, Head())


def test_odd_values_become_plain_ones():
    line, _head = next_line({"event": "x", "names": {"b"}, "nan": float("nan"), "path": Path("/a"), "text": "\u202e\ud800\n"}, 1, Head())
    assert journal_problem(line) == "" and line.count(b"\n") == 1 and line.isascii()
    entry = json.loads(line)
    assert entry["names"] == ["b"] and entry["nan"] == "nan" and entry["path"] == "/a"


# -- the writer, on a real disk

@pytest.fixture
def writer(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "home"))

    def make() -> JournalWriter:
        return JournalWriter(AppendOnlyFile, replace_privately)
    return make


def content_of(tmp_path) -> bytes:
    return (tmp_path / "j" / "journal.jsonl").read_bytes()


def test_entries_wait_for_the_directory_and_the_head_is_kept_beside_them(writer, tmp_path):
    journal = writer()
    assert journal.adds(EVENTS[0], 1.0) == [] and not (tmp_path / "j").exists()
    assert journal.opens(str(tmp_path / "j"), 2.0) == [] and journal.adds(EVENTS[1], 3.0) == []
    reading = read(content_of(tmp_path))
    assert [entry["at"] for entry in reading.entries] == [1.0, 3.0] and reading.problem == ""
    head = json.loads((tmp_path / "j" / "journal.head").read_text())
    assert head == {"seq": 2, "hash": reading.head.hash}
    assert filter_problem(content_of(tmp_path).decode(), head) == ""
    assert {os.stat(tmp_path / "j" / name).st_mode & 0o777 for name in ("journal.jsonl", "journal.head")} == {0o600}


def test_an_open_file_becomes_private_and_the_next_run_goes_on(writer, tmp_path):
    writer().opens(str(tmp_path / "j"), 1.0)
    (tmp_path / "j" / "journal.jsonl").chmod(0o644)
    for run in range(3):
        journal = writer()
        journal.adds({"event": "run_begins", "run": run}, 1.0)
        assert journal.opens(str(tmp_path / "j"), 1.0) == []
    assert os.stat(tmp_path / "j" / "journal.jsonl").st_mode & 0o777 == 0o600
    assert [entry["run"] for entry in read(content_of(tmp_path)).entries] == [0, 1, 2]


def test_a_folder_in_which_everybody_may_write_is_warned_of_once_a_run(writer, tmp_path):
    (tmp_path / "j").mkdir()
    (tmp_path / "j").chmod(0o777)
    for _run in range(2):
        journal = writer()
        [reported] = journal.opens(str(tmp_path / "j"), 1.0)
        assert reported.startswith(f"{tmp_path}/j, where the journal, the plan and the reports are, may be written by every account (mode 0777): ")
        assert reported.endswith(f"chmod o-w {tmp_path}/j") and journal.adds(EVENTS[0], 2.0) == []
    (tmp_path / "j").chmod(0o775)
    assert writer().opens(str(tmp_path / "j"), 3.0) == []


def test_two_runs_at_the_same_time_make_one_chain(writer, tmp_path):
    first, second = writer(), writer()
    first.opens(str(tmp_path / "j"), 1.0)
    second.opens(str(tmp_path / "j"), 1.0)
    for number in range(10):
        assert (first if number % 3 else second).adds({"event": "x", "number": number}, 2.0) == []
    reading = read(content_of(tmp_path))
    assert reading.problem == "" and [entry["number"] for entry in reading.entries] == list(range(10))


def test_a_broken_chain_is_kept_under_a_name_that_says_so(writer, tmp_path):
    journal = writer()
    journal.opens(str(tmp_path / "j"), 1.0)
    for event in EVENTS:
        journal.adds(event, 1.0)
    edited = content_of(tmp_path).replace(b"app1", b"app9", 1)
    (tmp_path / "j" / "journal.jsonl").write_bytes(edited)
    for expected in ("journal.broken-20260305T140211Z.jsonl", "journal.broken-20260305T140211Z-2.jsonl"):
        later = writer()
        later.adds(EVENTS[0], 1.0)
        reported = later.opens(str(tmp_path / "j"), 1_772_719_331.0)
        assert len(reported) == 1 and "line 2 was changed" in reported[0] and expected in reported[0]
        assert (tmp_path / "j" / expected).read_bytes() == edited
        reading = read(content_of(tmp_path))
        assert reading.problem == "" and [entry["event"] for entry in reading.entries] == ["journal_begins_anew", "run_begins"]
        assert reading.entries[0]["kept"] == expected and "line 2" in reading.entries[0]["why"]
        (tmp_path / "j" / "journal.jsonl").write_bytes(edited)


def test_a_torn_journal_is_reported_once_and_goes_on(writer, tmp_path):
    journal = writer()
    journal.adds(EVENTS[0], 1.0)
    journal.opens(str(tmp_path / "j"), 1.0)
    with (tmp_path / "j" / "journal.jsonl").open("ab") as file:
        file.write(b'{"seq":2,"at":17')
    later = writer()
    later.adds(EVENTS[0], 2.0)
    assert ["torn" in sentence for sentence in later.opens(str(tmp_path / "j"), 2.0)] == [True]
    assert later.adds(EVENTS[1], 3.0) == [] and journal_problem(content_of(tmp_path)) == ""
    assert writer().opens(str(tmp_path / "j"), 4.0) == []


def test_a_full_disk_is_said_once_leaves_no_torn_line_and_loses_nothing_when_it_has_room_again(writer, tmp_path, monkeypatch):
    journal = writer()
    journal.adds(EVENTS[0], 1.0)
    journal.opens(str(tmp_path / "j"), 1.0)
    before = content_of(tmp_path)
    real = os.write
    for broken in (lambda handle, data: real(handle, data[:7]), _no_space):
        monkeypatch.setattr(os, "write", broken)
        reported = journal.adds(EVENTS[1], 2.0) + journal.adds(EVENTS[2], 3.0)
        monkeypatch.setattr(os, "write", real)
        assert content_of(tmp_path) == before
        assert sum("cannot be written: No space left on device" in sentence for sentence in reported) == (1 if broken is not _no_space else 0)
    assert "4 entries of this run are not in the journal" in journal.ends()[0]
    assert ["is complete again" in sentence for sentence in journal.adds(EVENTS[3], 4.0)] == [True]
    assert journal.ends() == [] and len(read(content_of(tmp_path)).entries) == 6 and journal_problem(content_of(tmp_path)) == ""


def _no_space(handle, data):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_link_in_the_journals_place_is_not_followed(writer, tmp_path):
    (tmp_path / "j").mkdir()
    (tmp_path / "target").write_text("mine")
    (tmp_path / "j" / "journal.jsonl").symlink_to(tmp_path / "target")
    journal = writer()
    journal.adds(EVENTS[0], 1.0)
    assert "cannot be written" in journal.opens(str(tmp_path / "j"), 1.0)[0]
    assert (tmp_path / "target").read_text() == "mine"


def test_a_journal_that_was_moved_away_begins_again(writer, tmp_path):
    journal = writer()
    journal.adds(EVENTS[0], 1.0)
    journal.opens(str(tmp_path / "j"), 1.0)
    (tmp_path / "j" / "journal.jsonl").rename(tmp_path / "j" / "old")
    reported = journal.adds(EVENTS[1], 2.0)
    assert [entry["event"] for entry in read(content_of(tmp_path)).entries] == [CONTRADICTED, "started"] and read(content_of(tmp_path)).problem == ""
    assert len(reported) == 1 and "its newest entries were cut off" in reported[0]
    # Moved away as a whole, as somebody does who wants another one.
    (tmp_path / "j").rename(tmp_path / "k")
    assert writer().opens(str(tmp_path / "j"), 3.0) == [] == journal.adds(EVENTS[2], 3.0)


def lines_of(tmp_path):
    return content_of(tmp_path).splitlines(keepends=True)


def forge(tmp_path):
    """A journal and a head that fit each other, as anybody can make them who may write there."""
    head, content = Head(), b""
    for _turn in range(3):
        line, head = next_line({"event": "forged"}, 1.0, head)
        content += line
    (tmp_path / "j" / "journal.jsonl").write_bytes(content)
    (tmp_path / "j" / "journal.head").write_text(json.dumps(head._asdict()), encoding="ascii")


def cut(tmp_path):
    (tmp_path / "j" / "journal.jsonl").write_bytes(b"".join(lines_of(tmp_path)[:2]))


def cut_with_its_head(tmp_path):
    cut(tmp_path)
    (tmp_path / "j" / "journal.head").write_text(json.dumps(read(content_of(tmp_path)).head._asdict()), encoding="ascii")


def cut_without_its_head(tmp_path):
    cut(tmp_path)
    (tmp_path / "j" / "journal.head").unlink()


def cut_with_a_pipe_as_its_head(tmp_path):
    cut_without_its_head(tmp_path)
    os.mkfifo(tmp_path / "j" / "journal.head")


@pytest.mark.parametrize(("attack", "said"), [(cut, "cut off"), (cut_with_its_head, "cut off"), (cut_without_its_head, "cut off"), (forge, "cut off"),
                                              (cut_with_a_pipe_as_its_head, "cut off")])
def test_a_journal_that_was_cut_or_forged_is_reported_by_the_next_run_once(writer, tmp_path, attack, said):
    journal = writer()
    for event in EVENTS:
        journal.adds(event, 1.0)
    assert journal.opens(str(tmp_path / "j"), 1.0) == []
    attack(tmp_path)
    left = content_of(tmp_path)
    reported = writer().opens(str(tmp_path / "j"), 2.0)
    assert len(reported) == 1 and said in reported[0] and str(tmp_path / "j" / "journal.jsonl") in reported[0]
    reading = read(content_of(tmp_path))
    assert content_of(tmp_path).startswith(left) and reading.problem == "" and reading.entries[-1]["event"] == CONTRADICTED
    assert writer().opens(str(tmp_path / "j"), 3.0) == []


def test_a_journal_as_long_as_it_was_and_written_anew_is_reported(writer, tmp_path):
    journal = writer()
    for event in EVENTS[:3]:
        journal.adds(event, 1.0)
    journal.opens(str(tmp_path / "j"), 1.0)
    forge(tmp_path)
    assert "the journal was rewritten" in writer().opens(str(tmp_path / "j"), 2.0)[0]


def test_where_nothing_can_be_kept_elsewhere_the_head_beside_the_journal_counts(writer, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "file"))
    journal = writer()
    for event in EVENTS:
        journal.adds(event, 1.0)
    assert journal.opens(str(tmp_path / "j"), 1.0) == []
    cut(tmp_path)
    assert "cut off" in writer().opens(str(tmp_path / "j"), 2.0)[0]


def test_what_is_kept_of_journals_that_are_gone_is_forgotten(writer, tmp_path):
    for name in ("j", "k", "l"):
        writer().opens(str(tmp_path / name), 1.0)
        assert len(list((tmp_path / "home" / "alwayson" / "journals").iterdir())) == 1
        (tmp_path / name / "journal.jsonl").unlink()
        (tmp_path / name / "journal.head").unlink()
        (tmp_path / name).rmdir()


def test_a_head_that_is_kept_with_a_lock_is_of_one_journal(writer, tmp_path):
    content, heads = journal_of()
    texts = [head_text(heads[0], "/a"), "no JSON", head_text(heads[3], "/a"), head_text(Head(9, "0" * 64), "/b"), json.dumps([1]), "[" * 100_000]
    assert all(len(text) < 400 for text in texts[:3])
    assert contradiction(content, "/a", texts) == ("", 2)
    assert "cut off" in contradiction(b"".join(content.splitlines(keepends=True)[:2]), "/a", texts)[0]
    assert contradiction(content, "/b", texts)[1] == 3 and contradiction(b"", "/c", texts) == ("", 0) == contradiction(b"", "/a", [])


def test_the_filter_refuses_what_is_no_journal_or_head():
    from ansible.errors import AnsibleFilterError
    with pytest.raises(AnsibleFilterError, match="give the text"):
        filter_problem(["line"])
    with pytest.raises(AnsibleFilterError, match="no head"):
        filter_problem("", {"seq": "1"})


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: os.symlink("elsewhere", path), lambda path: path.write_text("left")])
def test_what_stands_in_the_place_of_the_head_s_temporary_file_is_not_waited_for(writer, tmp_path, put):
    (tmp_path / "j").mkdir()
    put(tmp_path / "j" / ".journal.head.new")
    journal = writer()
    journal.adds(EVENTS[0], 1.0)
    assert journal.opens(str(tmp_path / "j"), 1.0) == []
    assert json.loads((tmp_path / "j" / "journal.head").read_text(encoding="ascii"))["seq"] == 1
    assert sorted(os.listdir(tmp_path / "j")) == ["journal.head", "journal.jsonl"]
