# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the fleet_lock module: who asks, whether the lock's holder is proven dead, and the coordination lock."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import time
from typing import Any, Mapping

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase
from ansible_collections.alwayson.upgrade.plugins.module_utils import _coordination, _private_copy, _small_file
from ansible_collections.alwayson.upgrade.plugins.module_utils._controller import (
    Controller, is_alive_here, is_same_machine, proof_of_death, this_controller,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._fleet_lock import FleetLockError, require_service
from ansible_collections.alwayson.upgrade.plugins.plugin_utils import journal
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.journal_writer import FILE, HEAD_FILE

MODULE = "alwayson.upgrade.fleet_lock"
# Of a journal; an entry has kilobytes.
LONGEST_LINE = 1 << 20


class ActionModule(ActionBase):
    """Runs the module on the lock's host, and once more when the holder that it found is proven dead."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        del tmp
        self._task_vars = task_vars
        self._controller = this_controller()
        arguments = _filled_in(self._task.args, self._controller)
        url = arguments.pop("coordination_url", None)
        kept_at = _path_of(arguments.pop("journal", None))
        if kept_at:
            arguments["journal_head"] = arguments.get("journal_head") or _head_of(kept_at)
        try:
            service = require_service(str(arguments.get("service") or ""))
            if arguments["state"] != "held":
                return self._release(arguments, _coordination.name_of(service))
            place = _coordination.place_of(str(url), service, self._controller) if url and not self._task.check_mode else None
            answer = self._hold(arguments, place)
            return self._compared(answer, kept_at) if kept_at and answer.get("lock") and not self._task.check_mode else answer
        except _coordination.MissingToozError as error:
            raise AnsibleActionFail(f"coordination_url cannot be used: {missing_required_lib(str(error))}") from error
        except (_coordination.CoordinationError, FleetLockError) as error:
            raise AnsibleActionFail(f"{error}. The lock was not asked for") from error

    def _hold(self, arguments: dict, place: _coordination.Place | None) -> dict:
        answer: dict = {}
        try:
            taken = self._take(place)
            answer = self._ask(arguments, _coordination_of(place, taken))
            holder = answer.get("held_by")
            reason = self._proof(holder, place if taken else None) if isinstance(holder, Mapping) else ""
            if reason and place is not None:
                taken = self._take_patiently(place)
            if reason and (place is None or taken):
                answer = self._ask({**arguments, "take_over": holder["id"], "reason": reason}, _coordination_of(place, taken))
        finally:
            if place is not None and not answer.get("lock"):
                _coordination.end(place.name, C.DEFAULT_LOCAL_TMP)
        return answer

    def _release(self, arguments: dict, name: str) -> dict:
        answer = self._ask(arguments, {})
        released = answer.get("released")
        is_own = not arguments.get("id") or isinstance(released, Mapping) and released.get("run") == arguments["run"]
        if is_own and not answer.get("failed") and not self._task.check_mode:
            _coordination.end(name, C.DEFAULT_LOCAL_TMP)
        return answer

    def _proof(self, holder: Mapping, taken: _coordination.Place | None) -> str:
        """Why the holder is dead; empty when that is not proven. `taken` is the coordination lock when this run has it now."""
        recorded = holder.get("controller") or {}
        proof = proof_of_death(recorded, self._controller)
        if proof or taken is None or not taken.identity or holder.get("coordination") != taken.identity or is_alive_here(recorded, self._controller):
            return proof
        if taken.is_local and not is_same_machine(recorded, self._controller):
            return proof
        return f"its coordination lock {taken.name} at {taken.shown} was free"

    def _take(self, place: _coordination.Place | None) -> bool:
        return place is not None and _coordination.take(place, self._controller, C.DEFAULT_LOCAL_TMP)

    def _take_patiently(self, place: _coordination.Place) -> bool:
        """Leave the coordination lock to a holder that lives, and to one that is about to end, before it is taken for good."""
        _coordination.end(place.name, C.DEFAULT_LOCAL_TMP)
        time.sleep(_coordination.PATIENCE_SECONDS)
        return self._take(place)

    def _compared(self, answer: dict, path: str) -> dict:
        """The answer, with a warning when the journal at `path` lacks entries of the previous run on this machine. Another journal is only displayed."""
        kept = answer.get("journal_heads") or []
        try:
            with _private_copy.open_regular(path) as file:
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

    def _ask(self, arguments: dict, coordination: dict) -> dict:
        return self._execute_module(module_name=MODULE, module_args={**arguments, "coordination": coordination}, task_vars=self._task_vars)


def _filled_in(given: Mapping[str, Any], controller: Controller) -> dict:
    """The task's arguments with who asks, where that was not said."""
    known = {"state": "held", "owner": _user(), "host": platform.node() or "(unnamed)", "run": controller.run}
    return {**given, **{name: given.get(name) or value for name, value in known.items()}, "controller": controller._asdict()}


def _path_of(given: Any) -> str:
    """The path of the journal on this machine; empty when none is given."""
    path = os.path.realpath(os.path.expanduser(str(given))) if given else ""
    return os.path.join(path, FILE) if os.path.isdir(path) else path


def _head_of(path: str) -> str:
    """The head of the journal at `path`, as it is kept with the lock; empty when the journal has no head that can be read."""
    with contextlib.suppress(_small_file.SmallFileError, OSError):
        head = journal.head_from(_small_file.read_json(os.path.join(os.path.dirname(path), HEAD_FILE)))
        with _private_copy.open_regular(path) as file:
            first = journal.first_of(file.readline(LONGEST_LINE))
        return journal.head_text(head, path, first) if head else ""
    return ""


def _user() -> str:
    """The person, as far as this system tells."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    person = os.environ.get("SUDO_USER")
    return f"{person} (as {user})" if person and person != user else user


def _coordination_of(place: _coordination.Place | None, taken: bool) -> dict:
    """What the module is told of the coordination lock: the one that this run has, or the one that somebody else has."""
    if place is None:
        return {}
    return {"held": place.identity} if taken else {"elsewhere": f"{place.name} at {place.shown}"}
