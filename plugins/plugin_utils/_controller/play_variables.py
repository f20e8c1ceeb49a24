# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some of a host's variables in a play, templated by ansible-core. Without importing ansible-core."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Callable


def templated(names: Iterable[str], variables: Mapping[str, Any], template: Callable[[Any], Any], host_name: str, omitted: type[Exception],
              error: type[Exception]) -> dict[str, Any]:
    """The values of these variables, without those that are omitted; nothing else of the host's variables is touched.

    :param template: gives the value of one of them.
    :param omitted: what it raises for one that is omitted; `error` is what it raises for all else, and what is raised here.
    :raises error: for one that cannot be templated, with its name and the host's.
    """
    values: dict[str, Any] = {}
    name = ""
    try:
        for name in sorted(names):
            with contextlib.suppress(omitted):
                values[name] = template(variables[name])
    except error as cause:
        raise error(f"{name} of {host_name} cannot be read: {cause}") from cause
    return values
