# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of what runs leave behind: the journal's head, and who held the lock."""

from __future__ import annotations

from guards.guard import Guard

JOURNAL = ("tests/unit/plugin_utils/_run/test_journal.py",)
LOCK = ("tests/unit/action/test_fleet_lock_action.py",)

JOURNALS = (
    Guard("journal, next run", "the next run does not compare the journal with what was kept of it", JOURNAL, (
        ("plugins/plugin_utils/_run/journal_writer.py", "        return sentences + self._compare(reading, now)\n", "        return sentences\n"),)),
    Guard("journal, own folder", "who writes beside the journal also writes all that is kept of it", JOURNAL, (
        ("plugins/plugin_utils/_run/journal_writer.py", "                self._opened.keep(self._head._asdict())\n", ""),)),
    Guard("journal, lock", "what is kept of the journal with the lock is not compared", LOCK, (
        ("plugins/action/fleet_lock.py", "        if not problem:\n            return answer\n", "        if True:\n            return answer\n"),)),
    Guard("journal, head", "the journal's head is not kept with the lock", LOCK, (
        ("plugins/action/fleet_lock.py", "        return journal.head_text(head, path, first) if head else \"\"\n", "        return \"\"\n"),)),
    Guard("journal, another", "a journal that was restarted is taken for one that was cut", LOCK, (
        ("plugins/action/fleet_lock.py", "        if journal.is_another(content, kept[number][\"journal_head\"]):\n", "        if False:\n"),)),
    Guard("journal, strangers", "it is not reported that others may write in the folder of the journal", JOURNAL, (
        ("plugins/plugin_utils/_run/journal_writer.py", "[*self._write(at), *self._strangers()]", "self._write(at)"),)),
    Guard("journal, pipe", "a pipe in the place of the head's temporary file is waited for", JOURNAL, (
        ("plugins/module_utils/_host/small_files.py", "    with contextlib.suppress(FileNotFoundError):\n        os.unlink(partial)\n", ""),)),
    Guard("lock, clone", "a clone of a machine is that machine after a restart", ("tests/unit/module_utils/_host/test_processes.py",), (
        ("plugins/module_utils/_host/processes.py",
         "    same = former.machine and former.hardware and (former.machine, former.hardware) == (here.machine, here.hardware)\n",
         "    same = former.machine and former.machine == here.machine\n"),)),
    Guard("lock, running clone", "a clone of a running machine is that machine", ("tests/unit/module_utils/_host/test_processes.py",), (
        ("plugins/module_utils/_host/processes.py", "former.boot == here.boot and not differs", "former.boot == here.boot"),)),
)
