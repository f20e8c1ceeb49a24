# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some of a host's variables in a play, templated by ansible-core. On the controller only."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ansible.errors import AnsibleError, AnsibleValueOmittedError
from ansible.template import Templar


def templated(names: Iterable[str], variables: Mapping[str, Any], loader: Any, host_name: str) -> dict[str, Any]:
    """The values of these variables, without those that are omitted; nothing else of the host's variables is touched.

    :raises AnsibleError: for one that cannot be templated, with its name and the host's.
    """
    templar = Templar(loader=loader, variables=variables)
    values = {}
    for name in sorted(names):
        try:
            values[name] = templar.template(variables[name])
        except AnsibleValueOmittedError:
            continue
        except AnsibleError as error:
            raise AnsibleError(f"{name} of {host_name} cannot be read: {error}") from error
    return values
