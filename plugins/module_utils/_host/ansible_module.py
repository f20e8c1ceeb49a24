# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AnsibleModule of every module of this collection. It masks secrets in its result and in the system log, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils import basic
from ansible.module_utils.common.parameters import remove_values
from .credentials import SHORTEST, secrets_in


class FailedWithFacts(Exception):
    """An error of a module; `facts` are returned beside its message."""

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})


class AnsibleModule(basic.AnsibleModule):
    """Masks too what is a secret within an option that is none as a whole; leaves alone what is too short to be one.

    A header may be "1". Ansible masks each value of an option with no_log wherever it comes up in the result, and "1" comes up in every figure.
    """

    no_log_values: set[str]

    def _log_invocation(self) -> None:
        # Called at the end of Ansible's own constructor: before this, nothing of the options was written anywhere.
        kept = set(_passwords(self.params, self.argument_spec))
        self.no_log_values = {value for value in self.no_log_values if len(str(value)) >= SHORTEST or value in kept}
        self.no_log_values |= secrets_in(self.params, self.argument_spec)
        super()._log_invocation()

    def masked(self, value: Any) -> Any:
        """The value as Ansible would mask it in a result."""
        return remove_values(value, self.no_log_values)

    def exit_for_verdict(self, deciding: Mapping[str, Any], **masked: Any) -> None:
        """Return a result of which the values in `deciding` are as they were seen: what is checked on the controller must not change on the way there.

        All other values are masked. The action plugin that checks these masks what it reports of them.
        """
        result = self.masked({**masked, "invocation": {"module_args": self.params}})
        self.no_log_values = set()
        self.exit_json(**result, **deciding)


def hidden_values(params: Mapping[str, Any], spec: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """What is masked in a result, of options that are validated."""
    return {*_passwords(params, spec), *secrets_in(params, spec)}


def _passwords(params: Any, spec: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The values of options that are one secret each, however short; of a dictionary of headers or variables most are none."""
    for row in params if isinstance(params, list) else [params]:
        for name, option in spec.items():
            value = row.get(name) if isinstance(row, Mapping) else None
            if option.get("no_log") and isinstance(value, str):
                yield value
            elif value and option.get("options"):
                yield from _passwords(value, option["options"])
