# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task's result says to a person, and what of an event may be kept for good. Pure: plain dictionaries in, sentences out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._text.terminal import inert_lines, one_line
from .facts import NAMES

HIDDEN = "what it said is hidden by no_log"
_NOT_THE_VARIABLE = ("changed", "failed", "skipped", "invocation", "skip_reason", "warnings", "deprecations", "exception")
_MOST_KEPT = 2000

# What the journal keeps of each event: names, outcomes and sentences, never whole results.
_KEPT: dict[str, tuple[str, ...]] = {
    "run_begins": ("playbook", "check", "user", "machine"),
    "service": ("service", "method", "direction", "release"),
    "plan": ("release_from", "release_to", "method", "direction", "pending", "waves", "refusals"),
    "phase_begins": ("phase",), "phase_ends": ("phase", "seconds"),
    "roll_begins": ("play", "pools", "members"),
    "started": ("member", "pool", "direction"), "stage": ("member", "pool", "stage", "back"),
    "finished": ("member", "pool", "outcome", "seconds", "why"), "member_outcome": ("member", "outcome", "why"),
    "live": ("pools",), "flipped": ("members",),
    "waiting": ("reason",), "stopped": ("reason",), "paused": ("reason",), "turns_back": ("reason",), "goes_on": ("reason",),
    "under_floor": ("pool", "live", "size", "floor"), "above_floor": ("pool", "live", "size", "floor"),
    "roll_ends": ("not_started",), "problem": ("why",), "breaks_off": (), "run_ends": ("hosts",),
}
_KEPT_OUTCOMES = ("failed", "unreachable", "failure ignored", "unreachable ignored")


def is_hidden(result: Mapping[str, Any]) -> bool:
    """Whether no_log hides what the result says."""
    return bool(result.get("_ansible_no_log")) or "censored" in result


def delegate_of(result: Mapping[str, Any], delegate_to: object, host: str) -> str:
    """The other host on which a task ran; empty for none. Of a loop, the task itself has a template only, and each item's result has the host."""
    delegate = str((result.get("_ansible_delegated_vars") or {}).get("ansible_delegated_host") or delegate_to or "")
    return "" if delegate == host or "{{" in delegate else delegate


def why_of(result: Mapping[str, Any]) -> str:
    """The message of a failure, whole; lines stay lines."""
    if is_hidden(result):
        return HIDDEN
    for name in ("msg", "reason", "module_stderr", "stderr", "module_stdout"):
        text = _text(result.get(name))
        if text:
            return text
    return "it failed without a message"


def details_of(result: Mapping[str, Any]) -> list[str]:
    """What else a person needs to understand a failure: the return code and what a command wrote."""
    if is_hidden(result):
        return []
    message = why_of(result)
    lines = [f"rc {result['rc']}"] if result.get("rc") not in (None, 0) else []
    for name in ("stderr", "stdout", "module_stderr", "module_stdout"):
        text = _text(result.get(name))
        if text and text not in message:
            lines += [f"{name.replace('_', ' ')}: {line}" for line in inert_lines(text)]
    return lines


def failure_of(result: Mapping[str, Any], *, reported: bool, path: str | None) -> dict[str, Any]:
    """``{why, details}`` of a failure. *reported* is true when its items have been shown already, *path* is the task's place."""
    if reported:
        return {"why": "its items failed, see above", "details": []}
    return {"why": why_of(result), "details": [*details_of(result), *([f"at {path}"] if path else [])]}


def facts_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a set_fact that say something about the run; empty when there are none."""
    facts = result.get("ansible_facts")
    if not isinstance(facts, Mapping) or is_hidden(result):
        return {}
    return {name: facts[name] for name in NAMES if name in facts}


def inert_deeply(value: Any) -> Any:
    """The value with all its texts inert; their lines stay lines."""
    if isinstance(value, str):
        return "\n".join(inert_lines(value))
    if isinstance(value, Mapping):
        return {name: inert_deeply(inner) for name, inner in value.items()}
    return [inert_deeply(inner) for inner in value] if isinstance(value, list) else value


def message_of(result: Mapping[str, Any]) -> list[str]:
    """The lines that a debug task shows."""
    if is_hidden(result):
        return [HIDDEN]
    if "msg" in result:
        return inert_lines(_text(result["msg"]))
    shown = {name: value for name, value in result.items() if not name.startswith("_") and name not in _NOT_THE_VARIABLE}
    return [line for name, value in shown.items() for line in inert_lines(f"{name}: {value if isinstance(value, str) else _json(value)}")]


def kept_of(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the journal keeps of an event; None when it keeps nothing."""
    name = event["event"]
    if name == "result":
        if event["outcome"] not in _KEPT_OUTCOMES:
            return None
        item = {"item": one_line(event["item"], 200)} if event.get("item") else {}
        return {"event": "result", "host": event["host"], "task": one_line(event["task"]), **item, "outcome": event["outcome"],
                "why": one_line(event.get("why", ""), _MOST_KEPT)}
    if name == "stage" and not event["known"]:
        return None
    if name == "warning":
        return None if event.get("hidden") else {"event": name, "text": one_line(event["text"], _MOST_KEPT)}
    if name not in _KEPT:
        return None
    return {"event": name, **{field: event[field] for field in _KEPT[name] if event.get(field) not in (None, "")}}


def _text(value: Any) -> str:
    """A message as text: a list is one line for each entry, anything else that is no text is JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip("\n")
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return "\n".join(value)
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
