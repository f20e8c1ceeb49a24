# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin shell: what failover.yml asks, refuses and says, and how modules log in to database servers. Each filter's documentation stands in its own .yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils._controller.old_names import warn_of_old_name
from ..plugin_utils._plan import database_logins, failover


def renamed(value: Any, old: str, new: str) -> Any:
    """The value of a variable that is set under its old name, with a deprecation warning that gives the new one."""
    warn_of_old_name(old, new)
    return value


def failover_request(variables: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The request of failover.yml, with a deprecation warning for each variable that is set under its old name."""
    request = failover.failover_request(variables, groups)
    for old, new in request["renamed"].items():
        warn_of_old_name(old, new)
    return request


def _explained(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a user got wrong into the filter's own error, with its words."""
    def explain(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (ValueError, KeyError, TypeError) as error:
            raise AnsibleFilterError(f"alwayson.upgrade.{function.__name__}: {error}") from error
    return explain


class FilterModule:
    """The filters of a failover."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        core = (failover.variables_of_failover, failover.known_databases, failover.failover_refusal, failover.failover_text, database_logins.database_login,
                database_logins.switchover_login, database_logins.database_server)
        return {"renamed": renamed, "failover_request": _explained(failover_request), **{function.__name__: _explained(function) for function in core}}
