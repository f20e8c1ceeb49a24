# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: rollout
type: stdout
author: The alwayson.upgrade maintainers (@alwayson)
version_added: 0.2.0
short_description: Show a roll on one screen, in a few lines of a log, or as JSON, and keep its journal
description:
  - On a terminal, a panel shows the intended and actual state of the members, live capacity and its floor, the results of users' requests, and the time left.
    Failures, warnings and messages are written above the panel and stay in the terminal's history. A killed run leaves the terminal in its normal mode.
  - Without a terminal, each notable event is one line. Tasks that changed nothing are not shown. C(-v) shows them with their results.
  - It can be used with any playbook. It shows more with P(alwayson.upgrade.rolling#strategy) and the plays of this collection, which report more events.
  - The journal C(journal.jsonl) is a chain of hashes, so that a changed line is detected. It has names, outcomes and sentences, and nothing that is marked
    C(no_log). C(journal.head) beside it has the number and the hash of the newest entry. The same is kept in C(alwayson/journals) in this user's
    C(ANSIBLE_HOME), and with the service's lock. A run that finds a different journal gives a warning.
extends_documentation_fragment:
  - result_format_callback
options:
  format:
    description:
      - V(screen) draws the panel, V(plain) writes lines, V(json) writes one JSON object per line.
      - V(auto) is V(screen) on a terminal and V(plain) elsewhere.
    type: str
    choices: [auto, screen, plain, json]
    default: auto
    env:
      - name: ALWAYSON_ROLLOUT_FORMAT
    ini:
      - section: callback_rollout
        key: format
  journal:
    description: Whether to keep a journal.
    type: bool
    default: true
    env:
      - name: ALWAYSON_ROLLOUT_JOURNAL
    ini:
      - section: callback_rollout
        key: journal
  journal_directory:
    description:
      - The directory of the journal, relative to the working directory. When the run describes a service, its report directory is used instead.
      - A run that neither describes a service nor rolls keeps a journal only when this option is set.
    type: path
    default: alwayson-report
    env:
      - name: ALWAYSON_ROLLOUT_JOURNAL_DIRECTORY
    ini:
      - section: callback_rollout
        key: journal_directory
notes:
  - Select it with C(stdout_callback=alwayson.upgrade.rollout) in the section C(defaults) of C(ansible.cfg), or with the variable C(ANSIBLE_STDOUT_CALLBACK).
  - C(NO_COLOR) and ansible-core's settings for colours are used.
"""

import atexit
import getpass
import os
import platform
import sys
import time
from collections.abc import Mapping
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.utils import color
from ansible.utils.color import colorize, hostcolor

from ..module_utils._probe.live_figures import LiveFigures
from ..plugin_utils._controller.append_only import AppendOnlyFile, replace_privately
from ..plugin_utils._controller.panel import Panel
from ..plugin_utils._live.outlet import JSON, PLAIN, SCREEN, Outlet
from ..plugin_utils._live.results import delegate_of, facts_of, failure_of, inert_deeply, is_hidden, message_of
from ..plugin_utils._live.dispatcher import Dispatcher
from ..plugin_utils._live.view import View
from ..plugin_utils._run.journal_writer import JournalWriter
from ..plugin_utils._text.terminal import inert_lines

DEBUG_ACTIONS = ("debug", "ansible.builtin.debug", "ansible.legacy.debug")
PAUSE_ACTIONS = ("pause", "ansible.builtin.pause", "ansible.legacy.pause")
SUCCESSES = ("ok", "changed", "skipped")
COLOURS = {"detail": "COLOR_VERBOSE", "good": "COLOR_OK", "warning": "COLOR_WARN", "bad": "COLOR_ERROR"}
RECAP = (("ok", "ok", C.COLOR_OK), ("changed", "changed", C.COLOR_CHANGED), ("unreachable", "unreachable", C.COLOR_UNREACHABLE),
         ("failed", "failures", C.COLOR_ERROR), ("skipped", "skipped", C.COLOR_SKIP), ("rescued", "rescued", C.COLOR_OK), ("ignored", "ignored", C.COLOR_WARN))


class CallbackModule(CallbackBase):
    """Thin shell: turns what ansible-core and the strategy call into events. It is called by two threads; Dispatcher takes care of that."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "alwayson.upgrade.rollout"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._journal: JournalWriter | None = None
        self._dispatcher = Dispatcher(Outlet(PLAIN, self._write), time.time)
        self._items_reported: set[tuple[str, str]] = set()
        self._warnings_shown: set[str] = set()

    def rollout_event(self, event: Mapping[str, Any]) -> None:
        """Receive an event of the strategy; docs/screen.md lists the events."""
        self._dispatcher.take(event)

    # -- the run

    def v2_playbook_on_start(self, playbook: Any) -> None:
        if self._journal is None and self.get_option("journal"):
            self._journal = JournalWriter(AppendOnlyFile, replace_privately)
        directory, origin = self.get_option_and_origin("journal_directory")
        self._dispatcher = Dispatcher(self._outlet(), time.time, figures=LiveFigures(time.time()), journal=self._journal,
                                      directory=(directory, origin != "default"))
        atexit.register(self._dispatcher.breaks_off)
        self._dispatcher.take({"event": "run_begins", "playbook": os.path.basename(playbook._file_name), "check": bool(context.CLIARGS.get("check")),
                               "user": _user(), "machine": platform.node()})

    def _outlet(self) -> Outlet:
        wanted, terminal = self.get_option("format"), _has_terminal()
        # With --step or the task debugger, the operator answers prompts on the terminal.
        asks = context.CLIARGS.get("step") or C.ENABLE_TASK_DEBUGGER
        style = SCREEN if wanted in ("auto", "screen") and terminal and not asks else JSON if wanted == "json" else PLAIN
        if wanted == "screen" and style != SCREEN:
            self._write("the screen needs a terminal on which nothing else asks questions: the run is shown in lines", "warning")
        return Outlet(style, self._write, verbosity=self._display.verbosity, colour=color.ANSIBLE_COLOR,
                      panel=Panel(sys.stdout.fileno()) if style == SCREEN else None, control=_control)

    def _write(self, text: str, level: str) -> None:
        self._display.display(text, color=getattr(C, COLOURS[level]) if level in COLOURS else None)

    def v2_playbook_on_vars_prompt(self, *args: Any, **kwargs: Any) -> None:
        self._dispatcher.outlet.suspend()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._dispatcher.outlet.resume()
        self._dispatcher.take({"event": "play_begins", "play": play.get_name().strip(), "strategy": play.strategy})

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._dispatcher.take({"event": "no_hosts", "play": self._dispatcher.view.play})

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        self._dispatcher.take({"event": "no_hosts_left", "play": self._dispatcher.view.play})

    def v2_playbook_on_stats(self, stats: Any) -> None:
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self._dispatcher.take({"event": "run_ends", "hosts": {host: {shown: counts[name] for shown, name, _colour in RECAP} for host, counts in hosts.items()}})
        self._dispatcher.ends()
        if self._dispatcher.outlet.style == JSON:
            return
        for host, counts in hosts.items():
            # The default callback's form, which people and programs know.
            for coloured, only in ((True, {"screen_only": True}), (False, {"log_only": True})):
                figures = " ".join(colorize(shown, counts[name], colour if coloured else None) for shown, name, colour in RECAP)
                self._display.display(f"{hostcolor(host, counts, coloured)} : {figures}", **only)

    # -- tasks

    def v2_playbook_on_task_start(self, task: Any, is_conditional: Any) -> None:
        self._dispatcher.take({"event": "task_begins", "task": _name(task)})

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._dispatcher.take({"event": "task_begins", "task": _name(task)})

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if _action(task) in PAUSE_ACTIONS:
            self._dispatcher.outlet.suspend()
        if task.debugger not in (None, "never"):
            self._dispatcher.outlet.give_up("a task asks for the debugger")
        state = task.args.get("state")
        self._dispatcher.take({"event": "host_begins", "host": host.get_name(), "task": _name(task), "action": _action(task),
                               "state": state if isinstance(state, str) else None})

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result, "failure ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result(result, "unreachable ignored" if result.task.ignore_unreachable else "unreachable")

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._result(result, "changed" if result.result.get("changed") else "ok", item=True)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._items_reported.add((result.host.get_name(), result.task._uuid))
        self._result(result, "failure ignored" if result.task.ignore_errors is True else "failed", item=True)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        self._result(result, "skipped", item=True)

    def v2_runner_retry(self, result: Any) -> None:
        left = result.result.get("retries", 0) - result.result.get("attempts", 0)
        self._dispatcher.take({"event": "retry", "host": result.host.get_name(), "task": _name(result.task), "left": left})

    def v2_playbook_on_include(self, included_file: Any) -> None:
        self._dispatcher.take({"event": "included", "file": str(included_file._filename),
                               "hosts": [host.name for host in included_file._hosts]})

    def v2_on_file_diff(self, result: Any) -> None:
        data = result.result
        for part in data.get("results", [data]) if result.task.loop else [data]:
            if part.get("diff") and part.get("changed"):
                text = self._get_diff(inert_deeply(part["diff"]))
                if text:
                    self._dispatcher.take({"event": "diff", "host": result.host.get_name(), "task": _name(result.task), "text": text})

    def _result(self, result: Any, outcome: str, *, item: bool = False) -> None:
        task, data, host, action = result.task, result.result, result.host.get_name(), _action(result.task)
        if action in PAUSE_ACTIONS:
            self._dispatcher.outlet.resume()
        self._tell_warnings(data, host)
        facts = facts_of(data) if outcome in SUCCESSES else {}
        if facts:
            self._dispatcher.take({"event": "facts", "host": host, "facts": facts})
        if outcome == "ok" and action in DEBUG_ACTIONS and "results" not in data:
            self._dispatcher.take({"event": "message", "host": host, "task": _name(task), "lines": message_of(data)})
        event = {"event": "result", "host": host, "task": _name(task), "outcome": outcome, "check": bool(task.check_mode)}
        if item:
            event["item"] = str(self._get_item_label(data))
        event["summary"] = bool(task.loop) and not item and "results" in data
        if task.delegate_to and (other := delegate_of(data, task.delegate_to, host)):
            event["on"] = other
        if outcome not in SUCCESSES:
            event.update(failure_of(data, reported=not item and (host, task._uuid) in self._items_reported, path=task.get_path()))
        if self._display.verbosity and self._run_is_verbose(result) and action not in DEBUG_ACTIONS:
            event["details"] = [*event.get("details", []), *inert_lines(self._dump_results(data, indent=2))]
        self._dispatcher.take(event)

    def _tell_warnings(self, data: dict[str, Any], host: str) -> None:
        for text in map(str, data.pop("warnings", None) or []):
            if text not in self._warnings_shown:
                self._warnings_shown.add(text)
                self._dispatcher.take({"event": "warning", "host": host, "text": text, "hidden": is_hidden(data)})
        self._handle_warnings(data)  # deprecations, as ansible-core shows them


def _name(task: Any) -> str:
    """The task's name without its role, or what it does when it has none."""
    return str(task.name or _action(task)).strip()


def _action(task: Any) -> str:
    return str(getattr(task, "resolved_action", None) or task.action)


def _control(view: View) -> str:
    """The file that pauses the roll, from where the user stands."""
    if not view.directory:
        return ""
    path = os.path.join(view.directory, "control")
    near = os.path.relpath(path)
    return near if not near.startswith("..") else path


def _has_terminal() -> bool:
    try:
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:
        return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
