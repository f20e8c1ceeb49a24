# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a module's work in the worker's own process where that is what a module would run on: nothing is packed, sent, started or compiled for the call.

It behaves like a module's process: its options are plain data, its result is masked and plain data, and a signal undoes what is half done. The
module itself runs where a worker cannot do the same: on another host, with another user, interpreter or environment, with async, and with invalid options,
for which the module has its own messages.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from functools import partial
from typing import Any, Callable
from collections.abc import Iterator, Mapping

from ansible import constants
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase

from ...module_utils._host.ansible_module import hidden_values
from ...module_utils._host.signals import HANGING_UP, unwind_when_ended

LOCAL = ("local", "ansible.builtin.local")
# A setting, which is the variable ansible_python_interpreter where that is set.
INTERPRETER = "INTERPRETER_PYTHON"
# From ansible-core 2.21 on, a setting: whether results repeat the options.
REPEATS_OPTIONS = "INJECT_INVOCATION"
# These say that the interpreter is still to be found: it is one of this host's.
NOT_CHOSEN = (None, "", "auto", "auto_legacy", "auto_silent", "auto_legacy_silent")
ENDING = (signal.SIGINT, *HANGING_UP)


class ModuleInWorker(ActionBase):
    """An action plugin of a module with the functions and names `answer`, `ARGUMENTS` and `ERRORS`, whose result it gets by `result_of_module`.

    The module may have `RULES` besides, how its options go together, such as ``required_if``, and its errors `facts`, which it returns of a failure
    beside its message.

    `worked_by`: the module. `unwound_by`: the error among its ERRORS with which a signal ends it; None where it ends at once.
    """

    _supports_check_mode = True
    _supports_async = False
    worked_by: Any
    unwound_by: type[Exception] | None = None

    def result_of_module(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """The module's result with these options, worked out here or by the module."""
        params = self._params(arguments) if self._is_worked_here(task_vars or {}) else None
        if params is not None:
            return self._answer(params)
        asynchronous = bool(self._task.async_val and not self._connection.has_native_async)
        return self._execute_module(module_name=self._module_name(), module_args=arguments, task_vars=task_vars, wrap_async=asynchronous)

    def _module_name(self) -> str:
        """Such as ``alwayson.upgrade.traffic_info``."""
        _root, namespace, collection, *_folders, name = self.worked_by.__name__.split(".")
        return f"{namespace}.{collection}.{name}"

    def _is_worked_here(self, task_vars: Mapping[str, Any]) -> bool:
        """Whether the module would run on this host, as this user, by this interpreter, in this environment."""
        if self._task.async_val or self._connection.transport not in LOCAL or self._connection.become or any(self._task.environment or ()):
            return False
        delegated = task_vars.get("ansible_delegated_vars") or {}
        own = delegated.get(self._task.delegate_to, {}) if self._task.delegate_to else task_vars
        chosen = self._templar.template(constants.config.get_config_value(INTERPRETER, variables=own))
        return chosen in NOT_CHOSEN or is_this_interpreter(str(chosen))

    def _params(self, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """The options as the module would have them; None where it would have something to say of them."""
        try:
            given = json.loads(json.dumps(arguments))
        except (TypeError, ValueError):
            return None
        checked = ArgumentSpecValidator(self.worked_by.ARGUMENTS, **getattr(self.worked_by, "RULES", {})).validate(given)
        is_fine = not (checked.error_messages or checked._warnings or checked._deprecations)
        return checked.validated_parameters if is_fine else None

    def _answer(self, params: dict[str, Any]) -> dict[str, Any]:
        masked = partial(remove_values, no_log_strings=hidden_values(params, self.worked_by.ARGUMENTS))
        deciding: dict[str, Any] = {}
        try:
            # Where a module of a local connection runs: what is relative is found there.
            with contextlib.chdir(self._loader.get_basedir()), ended_as_a_module(self.unwound_by):
                deciding, answer = self._work(params, masked)
        except self.worked_by.ERRORS as error:
            answer = {"failed": True, "msg": str(error), **getattr(error, "facts", {})}
        if getattr(constants, REPEATS_OPTIONS, True):
            answer["invocation"] = {"module_args": params}
        if not answer.get("warnings"):
            answer.pop("warnings", None)
        # As JSON and back: what a load balancer has said is plain text, whatever the options were that it repeats.
        return json.loads(json.dumps({**masked(answer), **deciding}))

    def _work(self, params: dict[str, Any], _masked: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is returned as it is, and what is masked."""
        return {}, self.worked_by.answer(params, self._task.check_mode)


class InWorker(ModuleInWorker):
    """The controller's half of a module whose result is the task's."""

    _supports_async = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        result.update(self.result_of_module(dict(self._task.args), task_vars))
        return result


class ForVerdict(ModuleInWorker):
    """Of a module with `evidence` instead of `answer`: the values that are checked on the controller are returned unmasked, see `exit_for_verdict`."""

    def _work(self, params: dict[str, Any], masked: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.worked_by.evidence(params, self._task.check_mode, masked)


def is_this_interpreter(path: str) -> bool:
    """Whether a path leads to the Python that runs here. Another virtual environment has the same one behind its link, and other libraries."""
    return all(os.path.realpath(part(path)) == os.path.realpath(part(sys.executable)) for part in (str, os.path.dirname))


@contextlib.contextmanager
def ended_as_a_module(error: type[Exception] | None) -> Iterator[None]:
    """A signal that ends the worker raises `error` in the block, as it does in a module's process, and ends the worker after it. None: at once, as ever."""
    if error is None:
        yield
        return
    received: list[signal.Signals] = []

    def said(number: signal.Signals) -> str:
        received.append(number)
        return f"ended by signal {int(number)}"

    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        try:
            unwind_when_ended(error, ENDING, said)
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if received:
            os.kill(os.getpid(), received[0])
