# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the fleet_lock module: who asks, and whether the lock's holder is proven dead."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ..module_utils._host import private_copy, small_files
from ..module_utils._host.processes import Controller, proof_of_death, this_controller
from ..module_utils._locking.lock import FleetLockError, require_service
from ..modules import fleet_lock
from ..plugin_utils._controller.in_worker import ModuleInWorker
from ..plugin_utils._run import journal
from ..plugin_utils._run.journal_writer import FILE, HEAD_FILE

# Of a journal; an entry has kilobytes.
LONGEST_LINE = 1 << 20


class ActionModule(ModuleInWorker):
    """Runs the module on the lock's host, and once more when the holder that it found is proven dead."""

    worked_by = fleet_lock

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        del tmp
        self._task_vars = task_vars
        self._controller = this_controller()
        arguments = _filled_in(self._task.args, self._controller)
        kept_at = _path_of(arguments.pop("journal", None))
        if kept_at:
            arguments["journal_head"] = arguments.get("journal_head") or _head_of(kept_at)
        try:
            require_service(str(arguments.get("service") or ""))
        except FleetLockError as error:
            raise AnsibleActionFail(f"{error}. The lock was not asked for") from error
        if arguments["state"] != "held":
            return self._ask(arguments)
        answer = self._hold(arguments)
        return self._compared(answer, kept_at) if kept_at and answer.get("lock") and not self._task.check_mode else answer

    def _hold(self, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = self._ask(arguments)
        holder = answer.get("held_by")
        if not isinstance(holder, Mapping):
            return answer
        reason = proof_of_death(holder.get("controller") or {}, self._controller)
        return self._ask({**arguments, "take_over": holder["id"], "reason": reason}) if reason else answer

    def _compared(self, answer: dict[str, Any], path: str) -> dict[str, Any]:
        """The answer, with a warning when the journal at `path` lacks entries of the previous run on this machine. Another journal is only displayed."""
        kept = answer.get("journal_heads") or []
        try:
            with private_copy.open_regular(path) as file:
                content = file.read()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            return {**answer, "warnings": [*answer.get("warnings", []), f"the journal {path} cannot be compared with what is kept of it: {error}"]}
        problem, number = journal.contradiction(content, path, [entry["journal_head"] for entry in kept])
        if not problem:
            return answer
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(kept[number]["at"]))
        words = f"the journal {path} is not the one that the run of {kept[number]['owner']} left at {when}, says the history of the lock: "
        if journal.is_another(content, kept[number]["journal_head"]):
            self._display.display(f"{words}it is another one, which was begun since. That is so where the folder is emptied between runs")
            return answer
        words += f"{problem}. If you emptied or moved its folder, that is why; if not, another account or program has changed it"
        return {**answer, "warnings": [*answer.get("warnings", []), words]}

    def _ask(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return self.result_of_module(arguments, self._task_vars)


def _filled_in(given: Mapping[str, Any], controller: Controller) -> dict[str, Any]:
    """The task's arguments with who asks, where that was not said."""
    known = {"state": "held", "owner": _user(), "host": platform.node() or "(unnamed)", "run": controller.run}
    return {**given, **{name: given.get(name) or value for name, value in known.items()}, "controller": controller._asdict()}


def _path_of(given: Any) -> str:
    """The path of the journal on this machine; empty when none is given."""
    path = os.path.realpath(os.path.expanduser(str(given))) if given else ""
    return os.path.join(path, FILE) if os.path.isdir(path) else path


def _head_of(path: str) -> str:
    """The head of the journal at `path`, as it is kept with the lock; empty when the journal has no head that can be read."""
    with contextlib.suppress(small_files.SmallFileError, OSError):
        head = journal.head_from(small_files.read_json(os.path.join(os.path.dirname(path), HEAD_FILE)))
        with private_copy.open_regular(path) as file:
            first = journal.first_of(file.readline(LONGEST_LINE))
        return journal.head_text(head, path, first) if head else ""
    return ""


def _user() -> str:
    """The user who runs the playbook, or the user id without a name; behind sudo, the user who called it, too."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    person = os.environ.get("SUDO_USER")
    return f"{person} (as {user})" if person and person != user else user
